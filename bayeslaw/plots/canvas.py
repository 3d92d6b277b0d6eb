"""The canvas: panels that take lines, bands and points, whatever library draws them.

Shapes are drawn through the backends of arviz-plots: `matplotlib`, `plotly`, and `none`, with which
a panel is the list of what would be drawn. What those have no word for (logarithmic axes, one
legend for all panels) is said here.
"""

from __future__ import annotations

import importlib
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from bayeslaw.errors import BayeslawError
from bayeslaw.plots import palette
from bayeslaw.plots.scale import even_ticks, log_ticks, spanned

Backend = Literal["matplotlib", "plotly", "none"]
BACKENDS: tuple[Backend, ...] = ("matplotlib", "plotly", "none")
WIDTH = 640  # pixels of a figure
NARROWEST = 300  # pixels of a panel: narrower ones stand below each other
HEIGHT = 270  # pixels of a panel
PIXELS = 100  # an inch, for matplotlib
FONT, SMALL = 9.0, 8.0  # points
LETTER = 6.3  # pixels of one, at that size, on average
TICK = {"x": 62, "y": 42}  # pixels that a tick's name takes, with air


@dataclass
class Axis:
    """What an axis shows. low, high: its range; that of the data where it is None."""

    label: str = ""
    log: bool = False
    low: float | None = None
    high: float | None = None
    ticks: tuple[Sequence[float], Sequence[str]] | None = None


@dataclass
class Panel:
    """One plot of a figure. Coordinates are in the units of the data."""

    kit: Any
    target: Any
    backend: Backend
    size: tuple[float, float]  # pixels
    seen: dict[str, list[float]] = field(default_factory=lambda: {"x": [], "y": []})
    legend: list[str] = field(default_factory=list)

    def line(self, x: Any, y: Any, color: str, label: str = "", dash: int = 0,
             width: float = 1.5, alpha: float = 1.0) -> None:  # fmt: skip
        """NaNs break it. dash: 0 solid, 1 dashed, 2 dotted, 3 both."""
        x, y = self._noted(x, y)
        styles = palette.DASHES.get(self.backend, palette.DASHES["matplotlib"])
        self.kit.line(x, y, self.target, color=color, width=width, alpha=alpha,
                      linestyle=styles[dash % 4], **self._label(label))  # fmt: skip

    def band(self, x: Any, low: Any, high: Any, color: str, label: str = "",
             alpha: float = 0.25) -> None:  # fmt: skip
        x, low = self._noted(x, low)
        _, high = self._noted(x, high)
        self.kit.fill_between_y(x, low, high, self.target, color=color, alpha=alpha,
                                **self._label(label))  # fmt: skip

    def points(self, x: Any, y: Any, color: str, label: str = "", marker: str = "o",
               size: float = 18.0, alpha: float = 1.0, hollow: bool = False) -> None:  # fmt: skip
        """size: points squared."""
        x, y = self._noted(x, y)
        sign = palette.SIGNS.get(self.backend, {}).get(marker, marker)
        scale = 2.0 if self.backend == "plotly" else 1.0  # its sizes are pixels
        unfilled = marker in "x+" or not hollow
        face = {"color": color} if unfilled else {"facecolor": "#ffffff", "edgecolor": color}
        self.kit.scatter(x, y, self.target, marker=sign, size=size * scale, alpha=alpha,
                         **face, **self._label(label))  # fmt: skip

    def interval(
        self, low: Any, high: Any, at: Any, color: str, label: str = "", width: float = 2.0,
        upright: bool = False, alpha: float = 1.0,
    ) -> None:  # fmt: skip
        """Lines from low to high at heights, or upright at places, `at`."""
        low, high, at = (np.atleast_1d(np.asarray(v, float)) for v in (low, high, at))
        gap = np.full(len(at), np.nan)
        along = np.stack([low, high, gap], 1).ravel()
        across = np.stack([at, at, gap], 1).ravel()
        x, y = (across, along) if upright else (along, across)
        self.line(x, y, color, label, width=width, alpha=alpha)

    def vertical(self, x: float, color: str = palette.GREY, dash: int = 1, label: str = "") -> None:
        self._noted([x], [])
        styles = palette.DASHES.get(self.backend, palette.DASHES["matplotlib"])
        extra = self._label(label)
        self.kit.vline(x, self.target, color=color, width=1.0, linestyle=styles[dash], **extra)

    def horizontal(self, y: float, color: str = palette.GREY, dash: int = 1) -> None:
        self._noted([], [y])
        styles = palette.DASHES.get(self.backend, palette.DASHES["matplotlib"])
        self.kit.hline(y, self.target, color=color, width=1.0, linestyle=styles[dash])

    def text(self, x: float, y: float, said: str, color: str = palette.GREY,
             across: str = "center", up: str = "center") -> None:  # fmt: skip
        """up: which part of the words lies at y: top, center, bottom."""
        if self.backend == "matplotlib":
            extra = {"bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.75},
                     "zorder": 4, "clip_on": True}  # fmt: skip
        else:
            extra = {}
        up = {"center": "middle"}.get(up, up) if self.backend == "plotly" else up
        size = SMALL if self.backend != "plotly" else SMALL * 1.35
        self.kit.text(x, y, said, self.target, size=size, color=color,
                      horizontal_align=across, vertical_align=up, **extra)  # fmt: skip

    def title(self, said: str) -> None:
        size = FONT if self.backend != "plotly" else FONT * 1.4
        if self.backend == "plotly":
            columns = len(self.target.figure._grid_ref[0])
            place = (self.target.row - 1) * columns + self.target.col - 1
            self.target.figure.layout.annotations[place].update(text=said, font={"size": size})
            return
        self.kit.title(said, self.target, size=size)

    def axes(self, x: Axis, y: Axis) -> None:
        """Say what the axes are, once all is drawn."""
        for side, axis, pixels in (("x", x, self.size[0]), ("y", y, self.size[1])):
            values = np.array(self.seen[side], float)
            values = values[np.isfinite(values) & ((values > 0) | (not axis.log))]
            told = [v for v in (axis.low, axis.high) if v is not None]
            every = [*values, *told] or [1.0, 2.0]
            ends = (float(min(every)), float(max(every)))
            low, high = spanned(*ends, axis.log)
            low = low if axis.low is None else axis.low
            high = high if axis.high is None else axis.high
            most = max(2, int(pixels / TICK[side]))
            if axis.ticks is None:
                places, names = (log_ticks if axis.log else even_ticks)(low, high, most)
            else:
                places, names = list(axis.ticks[0]), list(axis.ticks[1])
            self._scaled(side, axis.log)
            getattr(self.kit, f"{side}ticks")(places, names, self.target)
            limits = np.log10([low, high]) if axis.log and self.backend == "plotly" else (low, high)
            getattr(self.kit, f"{side}lim")([float(v) for v in limits], self.target)
            getattr(self.kit, f"{side}label")(axis.label, self.target, size=self._font)
            self.kit.ticklabel_props(self.target, axis=side, size=self._font)
        if self.backend != "none":
            self.kit.grid(self.target, "both", "#ececec")
        if self.backend == "matplotlib":
            self.target.set_axisbelow(True)
            self.target.spines[["top", "right"]].set_visible(False)

    @property
    def _font(self) -> float:
        return FONT if self.backend != "plotly" else FONT * 1.35

    def _scaled(self, side: str, log: bool) -> None:
        if self.backend == "none":
            self.target.append(
                {"function": "scale", "axis": side, "scale": "log" if log else "linear"}
            )
        elif log and self.backend == "plotly":
            getattr(self.target, f"update_{side}axes")(type="log")
        elif log:
            getattr(self.target, f"set_{side}scale")("log")
            getattr(self.target, f"{side}axis").minorticks_off()

    def _noted(self, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Arrays, remembered for the range of the axes."""
        x, y = (np.atleast_1d(np.asarray(v, float)) for v in (x, y))
        self.seen["x"].extend(x.ravel().tolist())
        self.seen["y"].extend(y.ravel().tolist())
        return x, y

    def _label(self, label: str) -> dict[str, Any]:
        """The name in the legend, as the backend takes it; each stands there once."""
        if not label:
            return {}
        first = label not in self.legend
        self.legend.append(label)
        if self.backend == "plotly":
            return {"name": label, "showlegend": first, "legendgroup": label}
        return (
            {"label": label if first else f"_{label}"}
            if self.backend == "matplotlib"
            else {"label": label}
        )


@dataclass
class Canvas:
    """A figure of one or more panels, as wide as was asked for, with one legend below them."""

    figure: Any
    panels: list[Panel]
    backend: Backend
    width: int

    @classmethod
    def of(
        cls, count: int, backend: str = "matplotlib", width: int = WIDTH, height: int = HEIGHT
    ) -> Canvas:
        """Panels side by side where there is room for them. height: of a row, pixels. Raises
        `BayeslawError` on a backend that is unknown or not installed."""
        kit = kit_of(backend)
        columns = max(1, min(count, width // NARROWEST))
        if count == 4 and columns == 3:
            columns = 2
        rows = math.ceil(count / columns)
        pixels = (width, rows * height + 80)
        options: dict[str, Any] = {"figsize": pixels, "figsize_units": "dots", "squeeze": False}
        if backend == "matplotlib":
            inches = tuple(p / PIXELS for p in pixels)
            options |= {"figsize": inches, "figsize_units": "inches", "layout": "constrained"}
        figure, targets = kit.create_plotting_grid(count, rows, columns, **options)
        size = (width / columns - 60, height - 60.0)
        seen: list[str] = []
        panels = [
            Panel(kit, t, backend, size, legend=seen)  # type: ignore[arg-type]
            for t in targets.ravel()[:count]
        ]
        return cls(figure, panels, backend, width)  # type: ignore[arg-type]

    def done(self, title: str) -> Any:
        """The figure, with its title and its legend: a matplotlib `Figure`, a plotly `Figure`, or a
        list of panels, each a list of what would be drawn."""
        lines = textwrap.wrap(title, max(20, int(self.width / (LETTER + 1.5))))
        labels = list(dict.fromkeys(self.panels[0].legend))
        if self.backend == "none":
            self.panels[0].target.insert(0, {"function": "suptitle", "string": title})
            return [p.target for p in self.panels]
        if self.backend == "plotly":
            self.figure.update_layout(
                title={"text": "<br>".join(lines), "font": {"size": 15}, "x": 0.02},
                legend={"orientation": "h", "y": -0.25, "yanchor": "top"},
                template="plotly_white", margin={"l": 60, "r": 20, "t": 50 + 18 * len(lines)},
            )  # fmt: skip
            return self.figure
        import matplotlib.pyplot as plt

        self.figure.suptitle("\n".join(lines), fontsize=FONT + 1, x=0.01, ha="left")
        self._legend(labels)
        plt.close(self.figure)  # it belongs to the caller, and is shown once
        return self.figure

    def _legend(self, labels: list[str]) -> None:
        found: dict[str, Any] = {}
        for panel in self.panels:
            found |= dict(zip(*panel.target.get_legend_handles_labels()[::-1], strict=True))
        labels = [label for label in labels if label in found]
        if not labels:
            return
        entry = max(map(len, labels)) * LETTER + 46
        columns = max(1, min(len(labels), int(self.width / entry)))
        self.figure.legend(
            [found[label] for label in labels], labels, loc="outside lower center",
            ncols=columns, frameon=False, fontsize=SMALL,
        )  # fmt: skip


def kit_of(backend: str) -> Any:
    """What arviz-plots draws with. Raises `BayeslawError` where that is not to be had."""
    if backend not in BACKENDS:
        raise BayeslawError(f"backend '{backend}' is not one of {', '.join(BACKENDS)}")
    try:
        return importlib.import_module(f"arviz_plots.backend.{backend}")
    except ModuleNotFoundError as error:
        if backend != "plotly":
            raise
        raise BayeslawError(
            f"backend plotly needs {error.name}: pip install 'bayeslaw[plotly]'"
        ) from None
