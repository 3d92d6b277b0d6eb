"""The page in a browser: nothing to complain of, nothing too wide, light and dark."""

from __future__ import annotations

import pytest

from tests.report.browser import Browser, found
from tests.report.made import told

pytestmark = pytest.mark.skipif(found() is None, reason="no chromium here (apt install chromium)")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser.start(found(), tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return told().write(tmp_path_factory.mktemp("page") / "report.html")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_opens_without_complaint_and_fits(browser, page, width, dark):
    seen = browser.open(page, width, dark)
    assert browser.errors == []
    assert seen["inner"] == width
    assert seen["scroll"] <= width  # less where a bar to scroll by has its place
    assert seen["wide"] == []
    assert seen["dark"] == dark
    assert seen["ground"] == ("rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)")


def test_the_browser_would_see_what_is_wrong(browser, tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<meta name='viewport' content='width=device-width'>"
        "<div style='width: 900px'>x</div><script>console.error('boo')</script>"
    )
    seen = browser.open(bad, 390, dark=False)
    assert seen["scroll"] > 390
    assert seen["wide"]
    assert any("boo" in e for e in browser.errors)
    browser.errors.clear()
