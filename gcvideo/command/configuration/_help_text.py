"""What a command knows, from the comments of its configuration file."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, takewhile
from pathlib import Path
from typing import Any, NamedTuple, cast

import yaml
from omegaconf import DictConfig, OmegaConf
from rich.table import Table

from gcvideo._console import Console
from gcvideo._invocation import command_line
from gcvideo.command.configuration._composition import block_words, config_folder

_MOST_WIDE = 100
_NUM_EXAMPLES = 2
_LONGEST = 24
_FLAGS = {
    "-m": "runs once for each value of KEY=A,B",
    "--config-dir FOLDER": "adds your own yaml files",
    "--cfg job": "prints the configuration",
    "--hydra-help": "lists Hydra's flags",
}


def print_help(
    name: str, config_name: str, plain: Sequence[str] = (), *, is_swept: bool = False
) -> None:
    """Print usage, keys with defaults and comments, groups with choices, and two examples."""
    folder = config_folder()
    comments = read_comments(folder / f"{config_name}.yaml")
    content = cast(DictConfig, OmegaConf.load(folder / f"{config_name}.yaml"))
    console = Console()
    console.width = min(console.width, _MOST_WIDE)
    words = [key.rstrip("*").upper() + "..." * key.endswith("*") for key in plain]
    usage = " ".join([command_line(name), *words, "[KEY=VALUE ...]"])
    console.print(comments.summary)
    console.print(f"\nusage: {usage}", soft_wrap=True)
    groups = dict(_groups(content.get("defaults", []), folder))
    blocks = ", ".join(block_words())
    rows = [
        (key, default, text.replace("BLOCKS", blocks))
        for key, default, text in comments.keys
        if key not in groups
    ]
    console.print("\nkeys and their defaults", _table(rows), sep="\n")
    if "recipe" in groups:
        recipe = cast(DictConfig, OmegaConf.load(folder / "recipe" / f"{groups['recipe']}.yaml"))
        numbers = " ".join(f"{key}={value}" for key, value in recipe.items() if key != "defaults")
        console.print(f"the recipe of data={groups['data']}: {numbers}")
    if groups:
        rows = [(group, choice, _choices(folder / group)) for group, choice in groups.items()]
        console.print("\ngroups: the default file, and all there are", _table(rows), sep="\n")
    flags = [f"{flag} {text}" for flag, text in _FLAGS.items() if is_swept or flag != "-m"]
    console.print(f"\n{'; '.join(flags)}\n\nexamples")
    for example in comments.examples[:_NUM_EXAMPLES]:
        line = example.replace(f"gcvideo {name}", command_line(name))
        console.print(f"  {line}", soft_wrap=True)


def _table(rows: Iterable[tuple[str, str, str]]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for key, default, text in rows:
        # A reference to another key is no help here.
        shown = key if "${" in default or len(default) > _LONGEST else f"{key}={default}"
        table.add_row(shown, text)
    return table


def _groups(defaults: Sequence[Any], folder: Path) -> Iterator[tuple[str, str]]:
    """Groups of a defaults list with its default choices."""
    data = "null"
    for entry in defaults:
        for group, choice in entry.items_ex(resolve=False) if isinstance(entry, DictConfig) else ():
            if str(group).startswith("override "):
                continue
            if group == "data":
                data = str(choice)
            if group == "recipe":
                yield "recipe", data
                recipe = cast(DictConfig, OmegaConf.load(folder / "recipe" / f"{data}.yaml"))
                yield from _groups(recipe.defaults, folder)
            else:
                yield str(group).lstrip("/"), "null" if choice is None else str(choice)


def _choices(folder: Path) -> str:
    """Names of files; families with the same endings after an underscore are listed together."""
    names = sorted(file.stem for file in folder.glob("*.yaml"))
    families = {
        base: [name.partition("_")[2] for name in group]
        for base, group in groupby(names, lambda name: name.partition("_")[0])
    }
    shared = next(iter(families.values()))
    if len(families) > 1 and len(shared) > 1 and all(rest == shared for rest in families.values()):
        rests = ", ".join(f"_{rest}" for rest in shared if rest)
        return f"{', '.join(families)}, each alone or with {rests}"
    text = ", ".join(names)
    return f"{text}, and names of published weights" if folder.name == "weights" else text


class KeyComment(NamedTuple):
    """A key of a file, with its parents, its value as written, and its comments."""

    key: str
    default: str
    text: str


class FileComments(NamedTuple):
    """The documentation in a configuration file: sentences, examples, and keys that are not Hydra's."""

    summary: str
    examples: list[str]
    keys: list[KeyComment]


def read_comments(path: Path) -> FileComments:
    """Read a file whose first lines are comments: sentences, then examples indented by two."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    head = [line[2:] for line in takewhile(lambda line: line.startswith("#"), lines)]
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(node, yaml.MappingNode)
    return FileComments(
        summary=" ".join(line for line in head if line and not line.startswith("  ")),
        examples=[line.strip() for line in head if line.startswith("  ")],
        keys=list(_keys(node, lines)),
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
        above_it = takewhile(
            lambda text: text.startswith("# "), map(str.lstrip, lines[:line][::-1])
        )
        comments = [text[2:] for text in above_it][::-1]
        behind = lines[end.line][end.column :].partition("#")[2].strip()
        yield KeyComment(key, default, " ".join([*comments, *filter(None, [behind])]))
