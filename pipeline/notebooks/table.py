"""A table that a notebook shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

LEFT, RIGHT = 'align="left" style="text-align: left"', 'align="right"'


@dataclass(frozen=True, slots=True)
class Table:
    """Texts in columns: words to the left, figures to the right, remarks under it."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError for a row that does not fit."""
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"row {row[0]!r}: expected {len(self.columns)} cells, got {len(row)}")

    def column(self, name: str) -> list[str]:
        """The cells below a heading."""
        return [row[self.columns.index(name)] for row in self.rows]

    def _repr_html_(self) -> str:
        """Sides are said twice: code hosts take styles away, Jupyter overrides attributes."""
        sides = [LEFT if one else RIGHT for one in self._is_text()]
        head = "".join(f"<th {side}>{escape(one)}</th>" for side, one in zip(sides, self.columns, strict=True))
        body = "".join(
            f"<tr>{''.join(f'<td {side}>{escape(one)}</td>' for side, one in zip(sides, row, strict=True))}</tr>"
            for row in self.rows
        )
        notes = "".join(f"<p>{escape(one)}</p>" for one in self.notes)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}"

    def __repr__(self) -> str:
        widths = [max(map(len, column)) for column in zip(self.columns, *self.rows, strict=True)]
        lines = [self.columns, tuple("-" * width for width in widths), *self.rows]
        places = list(zip(widths, self._is_text(), strict=True))
        text = [
            "  ".join(
                cell.ljust(width) if left else cell.rjust(width)
                for cell, (width, left) in zip(line, places, strict=True)
            ).rstrip()
            for line in lines
        ]
        return "\n".join([*text, *self.notes])

    def _is_text(self) -> list[bool]:
        """Which columns hold words: the first, and those with a cell that begins with a letter."""
        columns = list(zip(*self.rows, strict=True))
        return [not number or any(cell[:1].isalpha() for cell in column) for number, column in enumerate(columns)]


def share(value: float) -> str:
    """A share with three digits that count: 0.00321, 0, 0.227."""
    return "0" if value == 0 else f"{value:.3g}" if value >= 1e-4 else f"{value:.1e}"


def between(ends: Sequence[float]) -> str:
    """An interval."""
    return f"{share(ends[0])} – {share(ends[1])}"


def count(value: float) -> str:
    """A quantity: 12,000; 3.2; 0.05."""
    return f"{value:,.0f}" if value >= 100 else "0" if value == 0 else f"{value:.2g}"


def nbytes(value: float) -> str:
    """Bytes: 3.2 GB, 540 MB, in powers of 1,000."""
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= unit:
            return f"{value / unit:.3g} {name}"
    return f"{value:.0f} B"


def seconds(value: float) -> str:
    """A time: 0.8 s, 12 min, 3.4 h."""
    if value < 120:
        return f"{value:.2g} s" if value < 10 else f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 7_200 else f"{value / 3_600:.1f} h"
