"""Paths on a command line reach the program as they were typed.

In Hydra's grammar ``( ) [ ] { } , : = ' "`` and spaces mean something in a value. In a path they do not.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.types import Quote, QuotedString

PATH_KEYS = frozenset(
    {
        "annotated",
        "bad",
        "beside",
        "checkpoint",
        "classes",
        "contact_sheets",
        "csv",
        "figure",
        "folder",
        "json",
        "output",
        "output_dir",
        "resume",
        "root",
        "source",
        "video",
        "videos",
        "data.classes",
        "data.index",
        "data.root",
        "data.test",
        "data.train",
        "data.val",
        "weights.path",
        "hydra.run.dir",
        "hydra.sweep.dir",
    }
)
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)


def key_of(word: str) -> str:
    """The key of a word ``key=value``, without the signs that Hydra knows in front of it."""
    return word.partition("=")[0].lstrip("+~")


def quoted(text: str) -> str:
    """A text as a string of Hydra's grammar."""
    return QuotedString(text, Quote.single).with_quotes()


def literal_paths(words: Sequence[str], *, is_sweep: bool = False) -> list[str]:
    """The words of a command line, with the values of path-valued keys as strings of Hydra's grammar.

    A value stays as it is if it is null, is quoted already, or is a list in brackets that is no file of
    that name. Interpolations such as ``${data.root}`` keep their meaning.

    Args:
        words: such as "data.root=/data/my videos (new)".
        is_sweep: whether commas separate values.
    """
    return [_literal(word, is_sweep) for word in words]


def _literal(word: str, is_sweep: bool) -> str:
    name, sign, value = word.partition("=")
    if not sign or key_of(word) not in PATH_KEYS:
        return word
    # Where somebody writes Hydra's grammar, the word is left to Hydra.
    if is_sweep and re.search(r"['\"\[]|^\w+\(", value):
        return word
    parts = value.split(",") if is_sweep else [value]
    return f"{name}={','.join(map(_literal_value, parts))}"


def _literal_value(value: str) -> str:
    is_list = value.startswith("[") and value.endswith("]") and not Path(value).exists()
    if value in ("", "null", "???") or is_list or _QUOTED.fullmatch(value):
        return value
    return quoted(value)
