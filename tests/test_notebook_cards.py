"""What a notebook shows: every result has a card and a table; nothing in it is taken for HTML."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from bayeslaw import Runs, az
from bayeslaw.card import ROWS, card
from tests.conftest import two_stage
from tests.plots import made

HOSTILE = "<script>alert('x')</script>"


class Seen(HTMLParser):
    """Tags and words of a card."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open, self.tags, self.words = [], [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data + " "


RESULTS = {
    "Runs": lambda: Runs.from_table(two_stage()),
    "Ensemble": made.fitted,
    "Posterior": lambda: made.fitted().members[0],
    "Forecast": made.forecasted,
    "Plan": made.planned,
    "Frontier": made.frontier,
    "Suggestion": made.suggested,
    "Backtest": made.backtested,
}


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_has_a_card_and_a_table(name):
    result = RESULTS[name]()
    seen = Seen(result._repr_html_())
    assert not seen.open
    assert name.split()[0] in seen.words
    assert "color:inherit" in result._repr_html_()  # the page's colours, light or dark
    table = result.to_dataframe()
    assert isinstance(table, pd.DataFrame)
    assert len(table)


def test_words_of_a_user_stay_words():
    runs = Runs.from_table(two_stage().replace({"d0": HOSTILE}))
    member = replace(made.fitted().members[0], domains=(HOSTILE, "d1"))
    for result in (runs, member, replace(made.fitted(), members=(member,))):
        html = result._repr_html_()
        assert "script" not in Seen(html).tags
        assert HOSTILE in Seen(html).words


def test_sizes_are_human_and_long_tables_are_cut():
    html = card("Many", rows=[{"params": 7e9, "loss": 2.34567}] * (ROWS + 3))
    assert "7B" in html
    assert "2.346" in html
    assert html.count("<tr>") == ROWS + 1
    assert "and 3 more rows" in html


def test_a_plan_is_a_row_for_every_design_and_domain():
    p = made.planned()
    table = p.to_dataframe()
    assert len(table) == 2 * (1 + len(p.others))
    first = table.iloc[0]
    assert (first["design"], first["domain"]) == (p.chosen.name, "d0")
    assert first["mean"] == pytest.approx(p.chosen.losses[:, 0].mean())
    assert first["lo"] == pytest.approx(np.quantile(p.chosen.losses[:, 0], 0.05))


def test_draws_are_a_column_for_every_parameter_and_domain():
    member = made.fitted().members[0]
    table = member.to_dataframe()
    np.testing.assert_array_equal(table["a_size[d1]"], member.theta["a_size"][:, 1])
    np.testing.assert_array_equal(table["shares[d0,2]"], member.theta["shares"][:, 0, 2])
    assert len(table) == 100


def test_a_tree_has_every_law_and_the_heaviest_on_top():
    tree = made.fitted().tree
    assert set(tree["laws"].children) == {"additive"}
    assert "posterior" in tree.children
    assert az.summary(tree, var_names=["a_size"], round_to="none").shape[0] == 2


def test_arviz_comes_without_a_warning_when_it_is_asked_for():
    code = (
        "import sys, warnings; warnings.simplefilter('error'); import bayeslaw; az = bayeslaw.az\n"
        "early = any(m.startswith('arviz') for m in sys.modules)\n"
        "print(early, callable(az.plot_trace), callable(az.loo), callable(az.from_dict))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "True", "True"]
    assert not done.stderr


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="ArviZ has no 'plot_everything'"):
        _ = az.plot_everything
