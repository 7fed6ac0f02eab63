"""Paints a picture's SVG as PNG, which every place that shows notebooks shows.

JupyterLab leaves SVG out of a notebook that it does not trust yet, and code hosts differ; only what
`pipeline.notebooks.picture` writes is understood here.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from itertools import pairwise
from xml.etree import ElementTree

from PIL import Image, ImageColor, ImageDraw, ImageFont

FINER = 4
"""Pixels painted for one of the SVG's, in each direction; half of them are kept, which smooths edges."""
KEPT = 2
INK = (115, 123, 136, 255)
COLOURS = 256
"""Colours of the file, which is a third of the size of one in true colour."""

Place = tuple[float, float]
Colour = tuple[int, int, int, int]


def png(svg: str) -> bytes:
    """The PNG, twice as fine as the SVG's pixels, on white."""
    root = ElementTree.fromstring(svg)  # noqa: S314 - written by this program
    width, height = (int(root.attrib[side]) for side in ("width", "height"))
    image = Image.new("RGB", (width * FINER, height * FINER), "white")
    draw = ImageDraw.Draw(image, "RGBA")  # blends colours that are not opaque
    for element in root:
        name = element.tag.rpartition("}")[2]
        if name == "g":  # the only turned thing is the label of the upward axis
            _text(image, element[0], turned=True)
        elif name == "text":
            _text(image, element, turned=False)
        elif name == "path":
            _path(draw, element)
        elif name in ("rect", "circle"):
            _shape(draw, element, name)
    smooth = image.resize((width * KEPT, height * KEPT), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    smooth.quantize(COLOURS, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _number(element: ElementTree.Element, name: str, default: float = 0.0) -> float:
    return float(element.get(name, default))


def _colour(element: ElementTree.Element, what: str) -> Colour | None:
    """Fill or stroke with its opacity; None where there is none."""
    named = element.get(what, "none")
    if named == "none":
        return None
    red, green, blue = ImageColor.getrgb(named)[:3]
    return red, green, blue, round(255 * _number(element, f"{what}-opacity", 1.0))


def _path(draw: ImageDraw.ImageDraw, element: ElementTree.Element) -> None:
    colour, width = _colour(element, "stroke"), max(1, round(_number(element, "stroke-width", 1.0) * FINER))
    dashes = [float(size) * FINER for size in element.get("stroke-dasharray", "").split()]
    for places in _lines(element.get("d", "")):
        for some in _dashed(places, dashes) if dashes else [places]:
            draw.line(some, fill=colour, width=width, joint="curve")


def _lines(path: str) -> Iterator[list[Place]]:
    """The places of each line of a path of the commands M, L, H and V."""
    places: list[Place] = []
    for command, first, second in re.findall(r"([MLHV])(-?[\d.]+)(?: (-?[\d.]+))?", path):
        x, y = places[-1] if places else (0.0, 0.0)
        if command == "M" and places:
            yield places
            places = []
        one = float(first) * FINER
        places.append({"H": (one, y), "V": (x, one)}.get(command) or (one, float(second) * FINER))
    if places:
        yield places


def _dashed(places: list[Place], sizes: list[float]) -> Iterator[list[Place]]:
    """Pieces of the straight line through places; every second one of `sizes` is a gap."""
    for (x, y), (to_x, to_y) in pairwise(places):
        length, at, number = math.hypot(to_x - x, to_y - y), 0.0, 0
        while at < length:
            end = min(at + sizes[number % len(sizes)], length)
            if number % 2 == 0:
                yield [(x + (to_x - x) * share / length, y + (to_y - y) * share / length) for share in (at, end)]
            at, number = end, number + 1


def _shape(draw: ImageDraw.ImageDraw, element: ElementTree.Element, name: str) -> None:
    if name == "rect":
        left, top, width, height = (_number(element, side) * FINER for side in ("x", "y", "width", "height"))
        right, bottom = round(left + width) - 1, round(top + height) - 1  # both are painted
        if right > left and bottom > top:
            draw.rectangle((round(left), round(top), right, bottom), fill=_colour(element, "fill"))
        return
    x, y, radius = (_number(element, side) * FINER for side in ("cx", "cy", "r"))
    width = round(_number(element, "stroke-width") * FINER)
    draw.circle((x, y), radius, fill=_colour(element, "fill"), outline=_colour(element, "stroke"), width=width)


def _text(image: Image.Image, element: ElementTree.Element, *, turned: bool) -> None:
    # the font that Pillow brings has no letter µ
    font = ImageFont.load_default(_number(element, "font-size") * FINER)
    x, y = (_number(element, side) * FINER for side in ("x", "y"))
    anchor = {"middle": "ms", "end": "rs"}.get(element.get("text-anchor", "start"), "ls")
    text, colour = (element.text or "").replace("µs", "microseconds"), _colour(element, "fill") or INK
    if not turned:
        ImageDraw.Draw(image).text((x, y), text, fill=colour, font=font, anchor=anchor)
        return
    left, top, right, bottom = font.getbbox(text, anchor=anchor)
    mask = Image.new("L", (math.ceil(right - left), math.ceil(bottom - top)))
    ImageDraw.Draw(mask).text((-left, -top), text, fill=255, font=font, anchor=anchor)
    mask = mask.rotate(90, expand=True)
    # turned about (x, y): what was above it is left of it now, and half of the text is below
    image.paste(colour[:3], (round(x + top), round(y - right)), mask)
