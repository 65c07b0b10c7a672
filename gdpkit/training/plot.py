"""A plot of a few curves, drawn with Pillow: enough to see a training converge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from gdpkit.atomic import whole_file

SIZE = (960, 600)
LEFT, TOP, RIGHT, BOTTOM = 80, 60, 840, 530
COLOURS = ("#1f5fa8", "#b3541e", "#3d7a35")

Curve = tuple[str, Sequence[float], Sequence[float]]


def draw(file: Path, title: str, across: str, curves: Sequence[Curve]) -> None:
    """Write curves, each a name, x and y, as a PNG with labelled axes; whole or not at all."""
    image = Image.new("RGB", SIZE, "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(16)
    xs = [x for _, across_, _ in curves for x in across_]
    ys = [y for _, _, up in curves for y in up]
    (x0, x1), (y0, y1) = _range(xs), _range(ys)

    def place(x: float, y: float) -> tuple[float, float]:
        return LEFT + (x - x0) / (x1 - x0) * (RIGHT - LEFT), BOTTOM - (y - y0) / (y1 - y0) * (BOTTOM - TOP)

    pen.text((LEFT, 18), title, fill="black", font=ImageFont.load_default(20))
    for y in ticks(y0, y1):
        _, row = place(x0, y)
        pen.line([(LEFT, row), (RIGHT, row)], fill="#dddddd")
        pen.text((LEFT - 8, row), f"{y:g}", fill="black", font=font, anchor="rm")
    for x in ticks(x0, x1):
        column, _ = place(x, y0)
        pen.line([(column, BOTTOM), (column, BOTTOM + 6)], fill="black")
        pen.text((column, BOTTOM + 10), f"{x:g}", fill="black", font=font, anchor="ma")
    pen.text(((LEFT + RIGHT) / 2, BOTTOM + 36), across, fill="black", font=font, anchor="ma")
    pen.line([(LEFT, TOP), (LEFT, BOTTOM), (RIGHT, BOTTOM)], fill="black")
    for (name, across_, up), colour in zip(curves, COLOURS, strict=False):
        points = [place(x, y) for x, y in zip(across_, up, strict=True)]
        if len(points) > 1:
            pen.line(points, fill=colour, width=3, joint="curve")
        column, row = points[-1]
        pen.ellipse([(column - 4, row - 4), (column + 4, row + 4)], fill=colour)
        pen.text((column + 10, row), name, fill=colour, font=font, anchor="lm")
    with whole_file(file) as temporary:
        image.save(temporary, "PNG")


def ticks(least: float, most: float, wanted: int = 6) -> list[float]:
    """Round numbers from `least` to `most`, about so many.

    >>> ticks(0, 10), ticks(27.31, 27.78)
    ([0, 2, 4, 6, 8, 10], [27.4, 27.5, 27.6, 27.7])
    """
    rough = (most - least) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.ceil(least / step - 1e-9), math.floor(most / step + 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


def _range(values: Sequence[float]) -> tuple[float, float]:
    """From least to most, with some room; never empty."""
    least, most = min(values), max(values)
    room = 0.05 * (most - least) or max(0.5, 0.01 * abs(most))
    return least - room, most + room
