"""The words of a command line: flags of Hydra, overrides, paths, and values that stand alone."""

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import OmegaConf

from gcvideo._invocation import command_line
from gcvideo.command.configuration._composition import config_folder, key_of

_SEARCH_PATH = "hydra.searchpath"
_FLAGS_OF_HYDRA = ("cfg", "info", "hydra_help", "shell_completion", "experimental_rerun")


PATH_KEYS = {
    *("annotated", "bad", "beside", "checkpoint", "classes", "contact_sheets", "csv", "figure"),
    *("folder", "json", "output", "output_dir", "resume", "root", "source", "video", "videos"),
    *("data.classes", "data.index", "data.root", "data.test", "data.train", "data.val"),
    *("weights.path", "hydra.run.dir", "hydra.sweep.dir"),
}
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)


class CommandWordError(ValueError):
    """Words that do not fit the command."""


class CommandWords(NamedTuple):
    """A command line that has been read: overrides in Hydra's grammar, and flags for Hydra itself.

    ``is_shown`` tells whether Hydra is only to show something, as with ``--cfg job``; ``resume`` is the
    folder of the run to continue.
    """

    overrides: tuple[str, ...]
    flags: tuple[str, ...]
    config_name: str
    is_sweep: bool
    wants_help: bool
    is_shown: bool
    resume: str | None


def read_words(
    name: str,
    words: Sequence[str],
    *,
    config_name: str,
    plain: Sequence[str] = (),
    is_swept: bool = False,
) -> CommandWords:
    """Read the words after the name of a command.

    ``plain`` are keys whose values may stand alone; the last takes all that follow if it ends in "*".
    Raises CommandWordError for words that stand alone without a key, a sweep of a command that has none,
    a sweep that resumes, or ``GROUP=null`` where the command needs the group.
    """
    parser = get_args_parser()
    parser.prog = command_line(name)
    found = parser.parse_intermixed_args(list(words))
    if found.multirun and not is_swept:
        raise CommandWordError(f"'{name}' does not take -m: it keeps no run folder for each value")
    resume = [word for word in found.overrides if key_of(word) == "resume"]
    if found.multirun and resume:
        raise CommandWordError(
            f"'{resume[0]}' continues one run, so it cannot be combined with -m; resume each run by itself"
        )
    overrides = _with_plain(name, found.overrides, plain)
    overrides = literal_paths(overrides, is_sweep=found.multirun)
    overrides = list(without_null_groups(overrides, config_name))
    if found.config_dir is not None:
        folder = Path(found.config_dir)
        if not folder.is_dir():
            raise CommandWordError(
                f"--config-dir is '{folder}', which is not a folder; give one with the layout of conf/, "
                "such as mine/model/my_net.yaml"
            )
        overrides.append(f"{_SEARCH_PATH}=[{quoted(f'file://{folder.resolve()}')}]")
    run = resume[-1].partition("=")[2].strip("'\"") if resume else ""
    return CommandWords(
        overrides=tuple(overrides),
        flags=tuple(_flags(words, found)),
        config_name=found.config_name or config_name,
        is_sweep=found.multirun,
        wants_help=found.help,
        is_shown=any(getattr(found, flag) for flag in _FLAGS_OF_HYDRA),
        resume=None if run in ("", "null") else run,
    )


def _with_plain(name: str, words: Sequence[str], plain: Sequence[str]) -> list[str]:
    """The words, with keys for those that stand alone."""
    alone = [
        word
        for word in words
        if ("=" not in word and not word.startswith("~")) or Path(word).exists()
    ]
    keyed = [word for word in words if word not in alone]
    given = {key_of(word) for word in keyed}
    keys = [key for key in plain if key.rstrip("*") not in given]
    if alone and not keys:
        raise CommandWordError(
            f"'{alone[0]}' stands alone, but '{name}' takes words of the form KEY=VALUE; "
            f"`{command_line(name)} --help` lists the keys"
        )
    takes_all = bool(keys) and keys[-1].endswith("*")
    if len(alone) > len(keys) and not takes_all:
        raise CommandWordError(
            f"'{alone[len(keys)]}' is one too many: besides KEY=VALUE, '{name}' takes "
            + " and ".join(key.rstrip("*") for key in keys)
        )
    single = keys[:-1] if takes_all else keys
    pairs = [f"{key}={quoted(word)}" for key, word in zip(single, alone, strict=False)]
    rest = alone[len(single) :]
    if rest:
        values = ",".join(map(quoted, rest))
        pairs.append(f"{keys[-1].rstrip('*')}={values if len(rest) == 1 else f'[{values}]'}")
    return [*pairs, *keyed]


def without_null_groups(words: Sequence[str], config_name: str) -> Iterator[str]:
    """The words, where ``GROUP=null`` has become the choice ``none`` of the group, or its default."""
    file = config_folder() / f"{config_name}.yaml"
    content: Any = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
    groups = [entry for entry in content.get("defaults", []) if isinstance(entry, dict)]
    optional = {group for entry in groups for group, choice in entry.items() if choice is None}
    for word in words:
        group, _, text = word.partition("=")
        choices = text.split(",")
        folder = config_folder() / group
        is_null = group.isidentifier() and "null" in map(str.lower, choices) and folder.is_dir()
        if not is_null:
            yield word
        elif (folder / "none.yaml").is_file():
            yield f"{group}=" + ",".join("none" if c.lower() == "null" else c for c in choices)
        elif len(choices) > 1 or group not in optional:
            names = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
            raise CommandWordError(f"'{word}': a run needs a {group}; choose one of {names}")


def quoted(text: str) -> str:
    """A text as a string of Hydra's grammar."""
    return QuotedString(text, Quote.single).with_quotes()


def literal_paths(words: Sequence[str], *, is_sweep: bool = False) -> list[str]:
    """The words of a command line, with the values of path-valued keys as strings of Hydra's grammar.

    In a path, ``( ) [ ] { } , : = ' "`` and spaces have no meaning. A value stays as it is if it is null,
    quoted already, or a list in brackets that is not the name of a file. Interpolations such as
    ``${data.root}`` keep their meaning. In a sweep, commas separate values.
    """
    read = []
    for word in words:
        name, sign, value = word.partition("=")
        # In a sweep, words in Hydra's own grammar are left to Hydra.
        is_grammar = is_sweep and re.search(r"['\"\[]|^\w+\(", value)
        if sign and key_of(word) in PATH_KEYS and not is_grammar:
            parts = value.split(",") if is_sweep else [value]
            word = f"{name}={','.join(map(_literal_value, parts))}"
        read.append(word)
    return read


def _literal_value(value: str) -> str:
    is_list = value.startswith("[") and value.endswith("]") and not Path(value).exists()
    if value in ("", "null", "???") or is_list or _QUOTED.fullmatch(value):
        return value
    return quoted(value)


def search_path(overrides: Sequence[str]) -> list[Path]:
    """Folders of yaml files that overrides add to ``conf``."""
    parsed = OverridesParser.create().parse_overrides(
        [word for word in overrides if key_of(word) == _SEARCH_PATH]
    )
    return [
        Path(str(folder).removeprefix("file://"))
        for override in parsed
        for folder in cast(Sequence[Any], override.value())
    ]


def _flags(words: Sequence[str], found: argparse.Namespace) -> list[str]:
    """The words that argparse did not take for overrides, without --config-dir, which has become one."""
    overrides, flags = list(found.overrides), []
    for word in words:
        if overrides and word == overrides[0]:
            del overrides[0]
        else:
            flags.append(word)
    for flag in ("--config-dir", "-cd"):
        if flag in flags:
            at = flags.index(flag)
            del flags[at : at + 2]
    return [flag for flag in flags if not flag.startswith(("--config-dir=", "-cd="))]
