"""What the pages of all reports share: one file without requests, one style, tables for screen and print."""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from string import Template

from gcvideo.comparison._table import Table

_FOLDER = Path(__file__).parent
_PRINTED_COLUMNS = 7  # that fit beside each other on upright paper


def page(title: str, body: str) -> str:
    """A complete HTML file.

    Args:
        title: plain text.
        body: HTML below the title.
    """
    style = (_FOLDER / "style.css").read_text(encoding="utf-8")
    template = Template((_FOLDER / "page.html").read_text(encoding="utf-8"))
    return template.substitute(title=escape(title), style=style, body=body)


def filled(template: str, **parts: object) -> str:
    """A file of HTML beside this module with its ``$names`` replaced."""
    text = (_FOLDER / template).read_text(encoding="utf-8")
    return Template(text).substitute(**parts)


def scrolling_table(table: Table, name: str) -> str:
    """A table that scrolls on narrow screens, and in print stands in parts below each other."""
    return scrolling(table.html(), name, [part.html() for part in table.parts(_PRINTED_COLUMNS)])


def scrolling(table: str, name: str, parts: Sequence[str] = ()) -> str:
    """The same for tables that are HTML already: the whole, and the parts that are printed instead."""
    split = len(parts) > 1
    region = (
        f'<div class="scroll{" split" * split}" role="region" aria-label="table: {name}" tabindex="0">'
        f"{table}</div>"
    )
    return region + (f'<div class="printed">{"".join(parts)}</div>' if split else "")


def paragraphs(texts: Iterable[str]) -> str:
    """Plain texts as paragraphs."""
    return "".join(f"<p>{escape(text)}</p>\n" for text in texts)


def listed(texts: Iterable[str]) -> str:
    """Plain texts as a list; nothing without texts."""
    items = "".join(f"<li>{escape(text)}</li>\n" for text in texts)
    return f"<ul>\n{items}</ul>" if items else ""
