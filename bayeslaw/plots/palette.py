"""The palette: colours that people tell apart whether or not they see all of them.

Okabe and Ito, Color Universal Design (2008), for names; a lightness ramp for what is ordered. No
plot says a thing by colour alone: lines differ in their dashes, points in their markers.
"""

from __future__ import annotations

BLACK, GREY, LIGHT = "#000000", "#6e6e6e", "#d9d9d9"
ORANGE, SKY, GREEN, YELLOW, BLUE, RED, PURPLE = (
    "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
# Yellow is last: it is faint on white.
COLORS = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, BLACK, YELLOW)
MARKERS = ("o", "s", "^", "d", "v", "x", "+", ".")
# By backend: solid, dashed, dotted, both.
DASHES = {
    "matplotlib": ("-", "--", ":", "-."),
    "plotly": ("solid", "dash", "dot", "dashdot"),
}
SIGNS = {
    "plotly": dict(zip(MARKERS, ("circle", "square", "triangle-up", "diamond", "triangle-down",
                                 "x", "cross", "circle-open"), strict=True)),
}  # fmt: skip
_RAMP = ("#00224e", "#35456c", "#666970", "#948e77", "#c8b866")  # cividis, without its yellow end


def color(i: int) -> str:
    """Of the i-th thing that has a name."""
    return COLORS[i % len(COLORS)]


def marker(i: int) -> str:
    return MARKERS[i % len(MARKERS)]


def ramp(count: int) -> list[str]:
    """Colours of what is ordered, dark first."""
    if count == 1:
        return [_RAMP[0]]
    places = [i * (len(_RAMP) - 1) / (count - 1) for i in range(count)]
    return [_mixed(_RAMP[int(p)], _RAMP[min(int(p) + 1, len(_RAMP) - 1)], p % 1) for p in places]


def _mixed(first: str, second: str, share: float) -> str:
    one, other = ([int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in (first, second))
    return "#" + "".join(
        f"{round(a + share * (b - a)):02x}" for a, b in zip(one, other, strict=True)
    )
