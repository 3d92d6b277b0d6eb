"""Pictures that stand in a page: of shapes and words only, and alike each time."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import pytest

from bayeslaw.report.picture import inline, picture
from tests.report.made import HOSTILE


def drawing(body: str, more: str = "") -> str:
    space = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'<?xml version="1.0"?><svg {space} width="9pt" height="9pt" {more}>{body}</svg>'


@pytest.mark.parametrize(
    "body",
    [
        "<script>alert(1)</script>",
        '<g onclick="alert(1)"/>',
        '<foreignObject><body xmlns="http://www.w3.org/1999/xhtml"/></foreignObject>',
        "<style>* { color: red }</style>",
        '<image xlink:href="http://example.org/x.png"/>',
        '<use xlink:href="other.svg#x"/>',
        "<metadata>2026</metadata>",
        '<a xlink:href="javascript:alert(1)"><path d="M 0 0"/></a>',
    ],
)
def test_what_could_act_or_reach_out_is_left_out(body):
    found = inline(drawing(body), "p", "seen")
    for part in ("script", "onclick", "foreignObject", "style", "example", "other.svg", "2026"):
        assert part not in found


def test_ids_and_what_points_at_them_are_the_pictures_own():
    body = ('<defs><clipPath id="a"><path id="b" d="M 0 0"/></clipPath></defs>'
            '<g clip-path="url(#a)"><use xlink:href="#b"/></g>')  # fmt: skip
    found = inline(drawing(body), "one", "seen")
    assert re.findall(r'id="([^"]+)"', found) == ["one-a", "one-b"]
    assert 'clip-path="url(#one-a)"' in found
    assert 'href="#one-b"' in found


def test_it_has_no_size_of_its_own_and_a_name_for_those_who_do_not_see():
    found = inline(drawing("", 'viewBox="0 0 9 9"'), "one", 'losses & "bands"')
    root = ElementTree.fromstring(found)
    assert "width" not in root.attrib
    assert root.attrib["viewBox"] == "0 0 9 9"
    assert (root.attrib["role"], root.attrib["aria-label"]) == ("img", 'losses & "bands"')
    assert not found.startswith("<?xml")


class Words(HTMLParser):
    """Tags and words as a browser reads them."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.words.append(data)


def bars(names):
    def draw(width):
        figure, axes = plt.subplots(figsize=(width / 100, 2))
        axes.barh(range(len(names)), [1.0] * len(names))
        axes.set_yticks(range(len(names)), names)
        axes.set_xticks([0, 1], ["none", "all"])
        return figure

    return draw


def test_hostile_names_stay_words():
    found = picture("p", "seen", bars([*HOSTILE, "nul\x00bell\x07"]))
    seen = Words(found.wide)
    assert set(HOSTILE) <= {w.strip() for w in seen.words}
    assert not {"script", "img"} & set(seen.tags)
    assert "\x07" not in found.wide
    assert not plt.get_fignums()


def test_the_same_is_drawn_the_same():
    assert picture("p", "seen", bars(["a"])) == picture("p", "seen", bars(["a"]))
