"""The report: what it says first, that it needs nothing else, and what it refuses."""

from __future__ import annotations

import re
from functools import lru_cache
from html.parser import HTMLParser

import pytest

from bayeslaw import PlanError, Runs, fit, report
from bayeslaw.cli import DONE, FAILED_CHECKS, USER_ERROR
from bayeslaw.infer.source import Source
from tests.conftest import simulated
from tests.fitted import failed, split
from tests.report.made import HOSTILE, RUN, files, posterior, told, written

LARGEST = 3e6  # bytes
# What a page may be made of; nothing here can run or reach out.
TAGS = {
    "html", "head", "meta", "link", "title", "style", "body", "header", "main", "section", "nav",
    "h1", "h2", "h3", "p", "ul", "li", "dl", "dt", "dd", "div", "span", "i", "em", "strong",
    "small", "a", "code", "pre",
    "table", "thead", "tbody", "tr", "th", "td", "figure", "figcaption",
    "svg", "g", "defs", "clippath", "path", "use", "text", "tspan", "rect", "circle", "line",
    "polyline", "polygon", "image",
}  # fmt: skip


class Page(HTMLParser):
    """Tags, attributes, ids and words as a browser reads them."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data):
        self.words.append(data.strip())

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def page():
    return Page(told().html)


def test_it_is_one_file_of_less_than_three_megabytes():
    assert len(told().html.encode()) < LARGEST


def test_it_asks_for_nothing_from_outside(page):
    links = [v for n, v in page.attributes if n in ("href", "src", "xlink:href", "action", "data")]
    assert [v for v in links if not v.startswith(("#", "data:"))] == []
    policy = next(v for n, v in page.attributes if n == "content" and "default-src" in v)
    assert policy.startswith("default-src 'none'")


def test_hostile_names_are_words_and_nothing_else(page):
    assert page.tags <= TAGS
    assert not [n for n, _ in page.attributes if n.startswith("on")]
    for name in (*HOSTILE, RUN, "<i>mine</i>", "no runs of <b>scratch</b>"):
        assert name in page.text


def test_ids_are_of_one_thing_each(page):
    ids = [v for n, v in page.attributes if n == "id"]
    assert len(ids) == len(set(ids))
    inside = {v[1:] for n, v in page.attributes if n == "href" and v.startswith("#")}
    assert inside <= set(ids)


def test_the_decision_comes_first_and_what_speaks_against_it_before_it(page):
    order = [
        "At the edge of what the sweep supports", "Extrapolates beyond the sweep",
        "Train one trunk of 20M parameters", "Loss against compute", "designs that are as good",
        "Where each token goes", "rules of thumb", "What limits the plan",
        "What would change the answer", "What to run next", "The gate", "Commands",
    ]  # fmt: skip
    places = [page.text.index(words) for words in order]
    assert places == sorted(places)


@pytest.mark.parametrize(
    "words",
    [
        "1.900", "1.800 to 2.050, 90 %", "with probability 0.93", "0.012", "> 0.99",
        "independent", "0.0600", "P(plan is better)", "10M to 30M", "8M to 40M",
        "60.2 % are of the general mixture", "Twice the budget would take off about 0.0485 nats",
        "as much as 1.2 times the budget", "× 1.20", "What each law", "bayeslaw suggest",
        "bayeslaw plan p.nc --flops 1e17", "fit: seed 0", "300 joint draws",
    ],
)  # fmt: skip
def test_it_says(page, words):
    if words == "What each law":
        assert words not in page.text  # one law has all the weight
        return
    assert words in page.text


def test_it_names_its_files_by_their_hashes(page):
    for file in files():
        assert Source.of(file).sha256 in page.text


def test_the_run_that_fits_worst_is_named_first(page):
    assert page.text.index("Runs that fit worst") < page.text.index(RUN)


@pytest.mark.slow
def test_the_same_inputs_give_the_same_bytes():
    path, plan = files()
    assert report(path, [plan]).html == told().html


@pytest.fixture
def brief(monkeypatch):
    """A report whose pictures and next runs are left out: they are looked at above."""
    from bayeslaw.report import document
    from bayeslaw.report.next_runs import NextRuns

    class Nothing:
        def __init__(self, _): ...

        def __getattr__(self, _):
            return lambda *_: []

    monkeypatch.setattr(document, "Drawn", Nothing)
    monkeypatch.setattr(document, "next_runs", lambda *_: NextRuns("not looked at"))
    monkeypatch.setattr(document, "_frontier", lambda *_: "not looked at")
    return report


def test_plans_stand_side_by_side(brief, tmp_path):
    path, plan = files()
    of = {"posterior": dict(Source.of(path).to_json())}
    other = written(tmp_path / "other.json", params=3e7, arrangement="joint", **of)
    text = Page(brief(path, [plan, other]).html).text
    assert "The plans side by side" in text
    assert text.count("The decision of") == 2
    for part in (str(plan), str(other), "20M 30M", "trunk joint"):
        assert part in text


def test_without_a_plan_it_says_how_one_is_made(brief):
    path, _ = files()
    text = Page(brief(path).html).text
    assert "No plan was given" in text
    assert f"bayeslaw plan {path} --flops" in text
    assert "What to run next" not in text


@lru_cache
def one_stage():
    return fit(Runs.from_table(simulated(60)), ["chinchilla"], method="huber")


@pytest.mark.parametrize("fitted", [one_stage, split], ids=["one stage", "two stages"])
def test_a_point_fit_has_a_report(brief, fitted):
    text = Page(brief(fitted()).html).text
    assert "The gate" in text
    assert "point only" in text
    assert "This fit is a point" in text


@pytest.mark.slow
def test_a_fit_of_one_stage_is_drawn():
    html = report(one_stage()).html
    assert html.count("<figure") == 1
    assert "No frontier of budgets" not in html


def test_a_plan_of_another_posterior_is_refused(brief, tmp_path):
    path, _ = files()
    plan = written(tmp_path / "plan.json", posterior={"path": "q.nc", "sha256": "0" * 64})
    with pytest.raises(PlanError, match=r"was made with q\.nc .* name that posterior, or plan"):
        brief(path, [plan])


def test_a_plan_of_other_domains_is_refused(brief, tmp_path):
    plan = written(tmp_path / "plan.json")
    with pytest.raises(PlanError, match="the posterior of d0, d1: it was made with another one"):
        brief(split(), [plan])


def test_a_plan_without_its_posterior_is_told_of(brief, tmp_path):
    plan = written(tmp_path / "plan.json")
    text = Page(brief(posterior(), [plan]).html).text
    assert "does not say which posterior it was made with" in text


def test_a_posterior_that_failed_is_refused_and_accepted_said_first(say, brief, tmp_path):
    path = failed(posterior()).save(tmp_path / "p.nc")
    out = tmp_path / "page.html"
    code, _, err = say("report", path, "--out", out)
    assert (code, "--accept" in err, out.exists()) == (FAILED_CHECKS, True, False)
    code, printed, _ = say("report", path, "--out", out, "--accept")
    assert (code, "FAILED its checks" in printed) == (DONE, True)
    text = Page(out.read_text()).text
    assert "This fit failed its own checks" in text
    assert text.index("R-hat 1.300") < text.index("No plan was given")


def test_the_command_writes_the_page(say, brief, tmp_path):
    path, plan = files()
    out = tmp_path / "new" / "page.html"
    code, printed, err = say("report", path, plan, "--out", out)
    assert (code, err) == (DONE, "")
    assert re.search(r"wrote .*page\.html \(0\.\d\d MB\)", printed)
    assert [p.name for p in out.parent.iterdir()] == ["page.html"]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["none.nc"], "none.nc: no such file"),
        (["p.nc", "none.json"], "none.json: no such file"),
        (["p.nc", "p.nc"], "p.nc: not readable as JSON"),
        (["p.nc", "--spend", "much"], "'much' is not a number"),
        (["p.nc", "--out", "."], "is a folder; name a file in it"),
    ],
)
def test_what_cannot_be_is_told_without_a_traceback(say, monkeypatch, arguments, part):
    posterior, _ = files()
    monkeypatch.chdir(posterior.parent)
    code, _, err = say("report", *arguments)
    assert code == USER_ERROR
    assert part in " ".join(err.split())
