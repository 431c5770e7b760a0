"""Small charts as inline SVG: positions of bars, lines, grid and labels.

A chart has its own units, y downwards, and scales with the page. The style sheet colours its
classes, so that a chart is readable in light and dark themes and on paper.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_STEPS: Final = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True)
class Box:
    """Size of a chart and the margins that its labels need."""

    width: float = 380.0
    height: float = 132.0
    left: float = 44.0
    right: float = 10.0
    top: float = 10.0
    bottom: float = 20.0

    @property
    def floor(self) -> float:
        """Where y is zero."""
        return self.height - self.bottom

    def x(self, share: float) -> float:
        """Return the x of a share of the plot's width."""
        return self.left + share * (self.width - self.left - self.right)

    def y(self, share: float) -> float:
        """Return the y of a share of the plot's height, from the floor upwards."""
        return self.floor - share * (self.floor - self.top)


@dataclass(frozen=True)
class Mark:
    """A path with its class, or a text if ``text`` is given."""

    kind: str
    path: str = ""
    x: float = 0.0
    y: float = 0.0
    text: str = ""
    anchor: str = "start"


@dataclass(frozen=True)
class Chart:
    """A chart for the template to draw, and its description for screen readers.

    Parameters
    ----------
    box
        Size and margins.
    grid
        Heights of the grid lines with their labels.
    dates
        Positions along the floor with labels and anchors.
    marks
        Bars, lines, points and texts, drawn in this order.
    summary
        The chart in a sentence.
    """

    box: Box
    grid: tuple[tuple[float, str], ...]
    dates: tuple[tuple[float, str, str], ...]
    marks: tuple[Mark, ...]
    summary: str


def ceiling(largest: float, ticks: int = 2, whole: bool = False) -> list[float]:
    """Return round heights from 0 to at least ``largest``, in about ``ticks`` equal steps.

    A step is 1, 2, 2.5 or 5 times a power of ten, at least 1 where heights are ``whole`` numbers.
    """
    if not largest > 0.0:
        return [0.0, 1.0]
    rough = largest / ticks
    power = 10.0 ** math.floor(math.log10(rough))
    steps = (step * power for step in _STEPS)
    step = next(step for step in steps if step >= rough * (1.0 - 1e-9))
    if whole:
        step = max(1.0, math.ceil(step))
    return [step * number for number in range(math.ceil(largest / step - 1e-9) + 1)]


def grid(
    box: Box, heights: Sequence[float], write: Callable[[float], str]
) -> tuple[tuple[float, str], ...]:
    """Return the heights of the grid lines in the box, with their labels."""
    return tuple((box.y(height / heights[-1]), write(height)) for height in heights)


def bars(box: Box, values: Sequence[float | None], top: float, inset: float = 0.18) -> str:
    """Return a path of bars side by side; ``top`` is the value at the plot's top. None: no bar."""
    slot = 1.0 / max(len(values), 1)
    parts = []
    for number, value in enumerate(values):
        if value:
            left, right = box.x((number + inset) * slot), box.x((number + 1 - inset) * slot)
            parts.append(_rectangle(left, right, box.floor, box.y(value / top)))
    return "".join(parts)


def stacked(
    box: Box, layers: Sequence[Sequence[float]], top: float, inset: float = 0.14
) -> list[str]:
    """Return one path of bars per layer, each on top of those before."""
    base = [0.0] * len(layers[0])
    paths = []
    slot = 1.0 / max(len(base), 1)
    for layer in layers:
        parts = []
        for number, value in enumerate(layer):
            if value:
                left, right = box.x((number + inset) * slot), box.x((number + 1 - inset) * slot)
                lower, upper = box.y(base[number] / top), box.y((base[number] + value) / top)
                parts.append(_rectangle(left, right, lower, upper))
            base[number] += value
        paths.append("".join(parts))
    return paths


def _rectangle(left: float, right: float, lower: float, upper: float) -> str:
    return f"M{left:.1f} {lower:.1f}V{upper:.1f}H{right:.1f}V{lower:.1f}z"


def line(box: Box, points: Sequence[tuple[float, float]]) -> str:
    """Return a path through points given as shares of width and height."""
    return "".join(
        f"{'L' if number else 'M'}{box.x(x):.1f} {box.y(y):.1f}"
        for number, (x, y) in enumerate(points)
    )


def staircase(box: Box, points: Sequence[tuple[float, float]]) -> str:
    """Return a path that stays at each height until the next point, like a survival curve."""
    parts = []
    for number, (x, y) in enumerate(points):
        parts.append(
            f"H{box.x(x):.1f}V{box.y(y):.1f}" if number else f"M{box.x(x):.1f} {box.y(y):.1f}"
        )
    return "".join(parts)


def dots(box: Box, points: Sequence[tuple[float, float]], radius: float = 2.5) -> str:
    """Return a path of small discs."""
    r = radius
    return "".join(
        f"M{box.x(x) - r:.1f} {box.y(y):.1f}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0z"
        for x, y in points
    )


def crosses(box: Box, places: Sequence[float], height: float, size: float = 3.0) -> str:
    """Return a path of crosses at shares of the width, all at one y of the box."""
    s = size
    return "".join(
        f"M{box.x(x) - s:.1f} {height - s:.1f}l{2 * s} {2 * s}m0 {-2 * s}l{-2 * s} {2 * s}"
        for x in places
    )


def floor_labels(
    box: Box, labels: Sequence[str], limit: int = 4
) -> tuple[tuple[float, str, str], ...]:
    """Return positions of column labels along the floor: first, last and some in between."""
    many = len(labels)
    if not many:
        return ()
    wanted = min(limit, many)
    numbers = (
        sorted({round(k * (many - 1) / (wanted - 1)) for k in range(wanted)}) if wanted > 1 else [0]
    )
    placed = []
    for number in numbers:
        share, anchor = (number + 0.5) / many, "middle"
        if many > 6 and number in (0, many - 1):
            share, anchor = (0.0, "start") if number == 0 else (1.0, "end")
        placed.append((box.x(share), labels[number], anchor))
    return tuple(placed)
