"""What the figures of all reports share: their look, and their way into pages and files."""

import io
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from PIL import Image

from gcvideo._draft import draft_of

FORMATS = ("png", "svg", "pdf")
_MAX_NAME = 22  # letters of a name at an axis
_NUM_END = 9


class Style(NamedTuple):
    """The look of a variant in all plots, in words of Matplotlib."""

    color: str
    marker: str
    linestyle: str


# Okabe and Ito's colours, which colour-blind readers can tell apart, without yellow: too pale on white.
_BASELINE = Style("#000000", "o", "-")
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_MARKERS = "sD^vPX*"
_LINES = ("-", "--", "-.", ":")


# As wide as a phone, so that letters keep their size there.
SIZE = (5.0, 3.6)
SETTINGS: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 15,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
}


def style_of(rank: int) -> Style:
    """The look of the baseline, which has rank 0, or of another variant."""
    if rank == 0:
        return _BASELINE
    index = rank - 1
    return Style(
        _COLORS[index % len(_COLORS)],
        _MARKERS[index % len(_MARKERS)],
        _LINES[index // len(_COLORS) % len(_LINES)],
    )


class NamedFigure:
    """A figure that is laid out once for all files, or twice if Matplotlib lacks letters of its names.

    Args:
        caption: title.
        width: inches.
        draw: what draws it; its argument says whether names must do with the letters of Matplotlib's font.
        has_all_letters: whether that makes no difference.
    """

    def __init__(
        self,
        caption: str,
        width: float,
        draw: Callable[[bool], Figure],
        *,
        has_all_letters: bool = True,
    ) -> None:
        self.caption, self.width = caption, width
        self._draw, self._has_all_letters = draw, has_all_letters
        self._drawn: dict[bool, Figure] = {}

    def drawn(self, *, is_limited: bool) -> Figure:
        """The figure for formats that need a font in the file, or for svg, where the viewer has it."""
        is_limited = is_limited and not self._has_all_letters
        if is_limited not in self._drawn:
            figure = self._drawn[is_limited] = self._draw(is_limited)
            engine = figure.get_layout_engine()
            if engine is not None:
                engine.execute(figure)
                figure.set_layout_engine("none")  # it would be repeated for every file
        return self._drawn[is_limited]


def write_figures(
    figures: Mapping[str, NamedFigure], folder: Path, formats: Iterable[str]
) -> list[str]:
    """Write each figure to ``folder/NAME.FORMAT``; returns the names of the files."""
    written = []
    for file_format in formats:
        for name, figure in figures.items():
            path = folder / f"{name}.{file_format}"
            # Equal figures give equal files.
            stamp = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[file_format]
            settings: dict[Any, Any] = {
                "svg.fonttype": "none",
                "svg.hashsalt": name,
                "pdf.fonttype": 42,
            }
            with draft_of(path) as draft, matplotlib.rc_context(settings), _any_letters():
                drawn = figure.drawn(is_limited=file_format != "svg")
                drawn.savefig(draft, format=file_format, dpi=150, metadata=stamp)
            written.append(path.name)
    return written


def figure_element(figure: NamedFigure, *, is_sized: bool = False) -> str:
    """The figure element of a page; with ``is_sized`` as wide as its names need, so that a phone scrolls it."""
    with _any_letters():
        svg = inline_svg(figure.drawn(is_limited=False), figure.caption)
    caption = escape(figure.caption)
    if not is_sized:
        return f"<figure><figcaption>{caption}</figcaption>{svg}</figure>"
    return (
        f'<figure class="matrix"><figcaption>{caption}</figcaption>'
        f'<div class="scroll" role="region" aria-label="{caption}" tabindex="0">'
        f'<div style="width:{96 * figure.width:.0f}px">{svg}</div></div></figure>'
    )


def figure_pixels(figure: NamedFigure) -> UInt8[np.ndarray, "h w 3"]:
    """A figure as a picture."""
    file = io.BytesIO()
    with _any_letters():
        figure.drawn(is_limited=True).savefig(file, format="png", dpi=100)
    return np.array(Image.open(file).convert("RGB"))


@contextmanager
def _any_letters() -> Iterator[None]:
    """Within, Matplotlib does not warn of letters that it lacks, for in an svg a browser draws them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        yield


def shortened(name: str, is_limited: bool, substitute: str) -> str:
    """A name for an axis: one line of a few letters, or a substitute if the font lacks one of its letters."""
    text = " ".join(name.encode("utf-8", "backslashreplace").decode().split())
    if is_limited:
        known = get_font(findfont("DejaVu Sans")).get_charmap()
        if any(ord(letter) not in known for letter in text):
            text = substitute
    if len(text) <= _MAX_NAME:
        return text
    # Long names of one family differ in their ends.
    return f"{text[: _MAX_NAME - _NUM_END - 1]}…{text[-_NUM_END:]}"


def inline_svg(figure: Figure, title: str = "") -> str:
    """The svg element alone, as wide as its place, without anything that affects the rest of the page."""
    file = io.StringIO()
    # Ids in the file are hashes: with a salt per plot, none occurs twice in a page.
    with matplotlib.rc_context({"svg.hashsalt": f"gcvideo {title}", "svg.fonttype": "none"}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    role = f'role="img" aria-label="{escape(title)}"' if title else 'aria-hidden="true"'
    return re.sub(r'<svg\b(.*?) width="[^"]*"', rf"<svg {role}\1", svg, count=1, flags=re.DOTALL)
