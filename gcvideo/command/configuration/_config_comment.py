"""The comments of a configuration file, which say what a command and its keys are."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml


class KeyComment(NamedTuple):
    """A key of a file.

    Args:
        key: with those above it, such as "batch_norm.mode".
        default: value as it is written; "" where it has none.
        text: of the comments above and behind the key.
    """

    key: str
    default: str
    text: str


class FileComments(NamedTuple):
    """What a configuration file says of itself.

    Args:
        summary: sentences at its top.
        examples: indented lines below them.
        keys: in the order of the file, without those of Hydra.
    """

    summary: str
    examples: tuple[str, ...]
    keys: tuple[KeyComment, ...]


def read_comments(path: Path) -> FileComments:
    """Read the comments of a file.

    Args:
        path: yaml file whose first lines are comments: sentences, then examples indented by two.
    """
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    head = []
    for line in lines:
        if not line.startswith("#"):
            break
        head.append(line[2:])
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(node, yaml.MappingNode)
    return FileComments(
        summary=" ".join(line for line in head if line and not line.startswith("  ")),
        examples=tuple(line.strip() for line in head if line.startswith("  ")),
        keys=tuple(_keys(node, lines)),
    )


def _keys(node: yaml.MappingNode, lines: list[str], above: str = "") -> Iterator[KeyComment]:
    for name, value in node.value:
        if not above and name.value in ("defaults", "hydra"):
            continue
        key = f"{above}{name.value}"
        if isinstance(value, yaml.MappingNode) and not value.flow_style:
            yield from _keys(value, lines, f"{key}.")
            continue
        line = name.start_mark.line
        is_block = isinstance(value, yaml.SequenceNode) and not value.flow_style
        end = name.end_mark if is_block else value.end_mark
        first = value.start_mark
        default = "[...]" if is_block else lines[line][first.column : value.end_mark.column]
        behind = lines[end.line][end.column :].partition("#")[2].strip()
        yield KeyComment(key, default, " ".join([*_above(lines, line), *filter(None, [behind])]))


def _above(lines: list[str], line: int) -> list[str]:
    """The comment lines that end right above a line."""
    found: list[str] = []
    while line > 0 and lines[line - 1].lstrip().startswith("# "):
        line -= 1
        found.insert(0, lines[line].lstrip()[2:])
    return found
