"""Budgets in device-hours, money and days."""

from __future__ import annotations

import pytest

from bayeslaw.errors import PlanError
from bayeslaw.plan.devices import Device, Hardware, find_device, measured_mfu, read_devices

MINE = Device("mine", {"bf16": 1e15, "fp8": 2e15}, price=2.0, memory=80e9)


@pytest.mark.parametrize("name", read_devices())
def test_every_device_of_the_catalogue_can_be_budgeted(name):
    device = find_device(name)
    precision = next(iter(device.peak))
    hardware = Hardware(device, precision)
    assert hardware.of(hardware.flops(gpu_hours=10))["gpu_hours"] == pytest.approx(10)
    assert hardware.of(hardware.flops(money=100))["money"] == pytest.approx(100)


@pytest.mark.parametrize("name", read_devices())
def test_every_device_of_the_catalogue_says_where_its_peaks_are_from_and_of_when_its_price(name):
    device = find_device(name)
    assert device.source
    assert device.priced.startswith("20")
    # Half the bits, twice the peak, where a matrix unit does both.
    for wide, narrow in (("tf32", "bf16"), ("bf16", "fp8")):
        if {wide, narrow} <= set(device.peak):
            assert device.peak[narrow] / device.peak[wide] == pytest.approx(2, rel=0.03)


def test_hours_money_and_days_are_arithmetic():
    hardware = Hardware(MINE, mfu=0.5, count=4)
    hour = 1e15 * 0.5 * 3600
    assert hardware.flops(gpu_hours=1) == hour
    assert hardware.flops(money=10) == 5 * hour
    assert hardware.flops(days=2) == 2 * 24 * 4 * hour
    assert hardware.flops(gpu_hours=3, money=4) == 2 * hour  # the least binds
    assert Hardware(MINE, "fp8", 0.5).flops(gpu_hours=1) == 2 * hour
    said = hardware.of(96 * hour)
    assert (said["gpu_hours"], said["money"], said["days"]) == (96, 192, 1)


def test_ones_own_devices_come_first(tmp_path):
    file = tmp_path / "devices.toml"
    file.write_text("[h100]\npeak = { bf16 = 1.0 }\n[new]\npeak = { bf16 = 5e14 }\n")
    assert find_device("h100", file).peak == {"bf16": 1.0}
    assert find_device("new", file).price is None
    assert find_device("new", file).priced == ""
    assert find_device("a100", file).price > 0
    with pytest.raises(PlanError, match="new has no price"):
        Hardware(find_device("new", file)).flops(money=1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[x", "not readable as TOML"),
        ("x = 1", "'x' is no table"),
        ("[x]\nprice = 1", "needs peak"),
        ("[x]\npeak = { bf16 = -1 }", "peak.bf16 is -1; it must be a positive number"),
        ("[x]\npeak = { bf16 = 1e12 }\nprise = 2\nmemory = 'big'", "'prise'(.|\n)*memory is 'big'"),
    ],
)
def test_a_file_of_devices_is_refused_with_all_its_faults(tmp_path, text, said):
    file = tmp_path / "d.toml"
    file.write_text(text)
    with pytest.raises(PlanError, match=said):
        read_devices(file)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: find_device("abacus"), "'abacus' is not one of a100"),
        (lambda: Hardware(MINE, "int4"), "no peak in int4; it has bf16, fp8"),
        (lambda: Hardware(MINE, mfu=1.5), "at most 1; got 1.5"),
        (lambda: Hardware(MINE, count=0), "at least 1 device"),
        (lambda: Hardware(MINE).flops(), "give gpu_hours, money or days"),
        (lambda: Hardware(MINE).flops(money=-1), "money must be positive"),
    ],
)
def test_what_cannot_be_is_refused(make, said):
    with pytest.raises(PlanError, match=said):
        make()


def test_the_share_of_the_peak_is_measured_at_the_largest_size(tmp_path):
    file = tmp_path / "timings.csv"
    file.write_text("cell,params,flops,seconds\na,1e6,1e15,100\nb,1e9,4e17,1000\nc,1e9,2e17,500\n")
    assert measured_mfu(file, MINE) == pytest.approx(0.4)
    assert measured_mfu(file, MINE, "fp8") == pytest.approx(0.2)
    file.write_text("flops,wall_seconds,devices\n4e17,250,4\n")
    assert measured_mfu(file, MINE) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cell,seconds\na,1\n", "no column 'flops'"),
        ("flops\n1\n", "no column 'seconds'"),
        ("flops,seconds\n1e17,0\n", "seconds must be positive numbers"),
        ("flops,seconds\nmuch,1\n", "flops must be positive numbers"),
        ("flops,seconds\n1e20,1000\n", "100 times the bf16 peak of mine: they are of another"),
        ("flops,seconds\n", "there are no rows"),
    ],
)
def test_timings_that_say_nothing_are_refused(tmp_path, text, said):
    file = tmp_path / "timings.csv"
    file.write_text(text)
    with pytest.raises(PlanError, match=said):
        measured_mfu(file, MINE)
    with pytest.raises(PlanError, match="not readable as a table of timings"):
        measured_mfu(tmp_path / "none.csv", MINE)
