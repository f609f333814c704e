"""The words of a command line: flags of Hydra, overrides, and values that stand alone."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser

from gcvideo._invocation import command_line
from gcvideo.command.configuration._config_folder import config_folder
from gcvideo.command.configuration._null_group import without_null_groups
from gcvideo.command.configuration._path_word import key_of, literal_paths, quoted

_SEARCH_PATH = "hydra.searchpath"
_FLAGS_OF_HYDRA = ("cfg", "info", "hydra_help", "shell_completion", "experimental_rerun")


class CommandWordError(ValueError):
    """Words that a command has no use for."""


class CommandWords(NamedTuple):
    """A command line that has been read.

    Args:
        overrides: of the configuration, in Hydra's grammar.
        flags: for Hydra, such as "--multirun".
        config_name: of the primary configuration.
        is_sweep: whether ``-m`` was given.
        wants_help: whether ``--help`` was given.
        is_shown: whether Hydra is only to show something, such as with ``--cfg job``.
        resume: run folder to go on with.
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
    """Read the words behind the name of a command.

    Args:
        name: command, for messages.
        words: of the command line.
        config_name: of the command's file in ``conf``.
        plain: keys whose values may stand alone; the last takes all that follow if it ends in "*".
        is_swept: whether the command knows ``-m``.

    Raises:
        CommandWordError: for words that stand alone and mean nothing, a sweep where there is none, or
            a run to go on with that is not one.
    """
    parser = get_args_parser()
    parser.prog = command_line(name)
    found = parser.parse_intermixed_args(list(words))
    if found.multirun and not is_swept:
        raise CommandWordError(f"'{name}' does not take -m: it leaves no run folder for each value")
    resume = [word for word in found.overrides if key_of(word) == "resume"]
    if found.multirun and resume:
        raise CommandWordError(
            f"'{resume[0]}' goes on with one run, so it does not go with -m; resume each run by itself"
        )
    overrides = _with_plain(name, found.overrides, plain)
    overrides = literal_paths(overrides, is_sweep=found.multirun)
    overrides = list(without_null_groups(overrides, config_folder(), config_name))
    if found.config_dir is not None:
        overrides.append(f"{_SEARCH_PATH}=[{quoted(f'file://{_own_folder(found.config_dir)}')}]")
    return CommandWords(
        overrides=tuple(overrides),
        flags=tuple(_flags(words, found)),
        config_name=found.config_name or config_name,
        is_sweep=found.multirun,
        wants_help=found.help,
        is_shown=any(getattr(found, flag) for flag in _FLAGS_OF_HYDRA),
        resume=_value(resume[-1]) if resume else None,
    )


def _with_plain(name: str, words: Sequence[str], plain: Sequence[str]) -> list[str]:
    """The words with keys in front of those that stand alone."""
    alone = [word for word in words if _stands_alone(word)]
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
            f"'{alone[len(keys)]}' is one too many: beside KEY=VALUE, '{name}' takes "
            + " and ".join(key.rstrip("*") for key in keys)
        )
    single = keys[:-1] if takes_all else keys
    pairs = [f"{key}={quoted(word)}" for key, word in zip(single, alone, strict=False)]
    rest = alone[len(single) :]
    if rest and takes_all:
        values = ",".join(map(quoted, rest))
        pairs.append(f"{keys[-1].rstrip('*')}={values if len(rest) == 1 else f'[{values}]'}")
    return [*pairs, *keyed]


def _stands_alone(word: str) -> bool:
    """Whether a word is a value without a key: neither an assignment nor the deletion of a key."""
    return ("=" not in word and not word.startswith("~")) or Path(word).exists()


def _value(word: str) -> str | None:
    value = word.partition("=")[2].strip("'\"")
    return None if value in ("", "null") else value


def search_path(overrides: Sequence[str]) -> list[Path]:
    """Folders of yaml files that overrides name beside ``conf``."""
    parsed = OverridesParser.create().parse_overrides(
        [word for word in overrides if key_of(word) == _SEARCH_PATH]
    )
    return [
        Path(str(folder).removeprefix("file://"))
        for override in parsed
        for folder in cast(Sequence[Any], override.value())
    ]


def _own_folder(folder: str) -> Path:
    path = Path(folder)
    if not path.is_dir():
        raise CommandWordError(
            f"--config-dir is '{folder}', which is no folder; give one that is laid out as conf/ is, "
            "such as mine/model/my_net.yaml"
        )
    return path.resolve()


def _flags(words: Sequence[str], found: argparse.Namespace) -> list[str]:
    """What argparse did not take for overrides, without --config-dir, which has become one."""
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
