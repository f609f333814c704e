"""Looking at overrides before a job starts: a mistake shall be told at once, and with what comes near.

What takes seconds to import, torch and Lightning, comes with the job.
"""

import difflib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, cast

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gcvideo.command.configuration._config_folder import config_folder
from gcvideo.command.configuration._path_word import key_of
from gcvideo.command.configuration._value_rule import check_values
from gcvideo.command.configuration._warmup import check_warmup


class OverrideError(ValueError):
    """An override on the command line that fits no key and no group."""


def initialized() -> AbstractContextManager[None]:
    """Within, ``hydra.compose`` reads ``conf``."""
    return initialize_config_dir(str(config_folder()), version_base="1.3")


def check_overrides(config_name: str, overrides: Sequence[str]) -> None:
    """Compose, once for every value of a sweep, to find overrides that are misspelled or out of bounds.

    Args:
        config_name: of a file in ``conf``.
        overrides: in Hydra's grammar.

    Raises:
        OverrideError: with Hydra's reason and the nearest keys and choices.
        ValueRuleError: for a value that breaks the rule of its key.
    """
    register_groups(config_name)
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as error:
        raise OverrideError(
            f"{str(error).splitlines()[0]}; Hydra reads ( ) [ ] {{ }} , : = and quotes in values: put such a "
            "value into quotes within quotes, key=\"'value'\""
        ) from error
    every = list(_single_values(parsed))
    for words in every:
        with initialized():
            try:
                cfg = compose(config_name, words)
            except (HydraException, OmegaConfBaseException) as error:
                known = sorted({*_groups(), *_keys(_composable(config_name, parsed))})
                others = [word for word in words if word not in every[0]]
                where = f"\nwith {' '.join(others)} of the sweep" if others else ""
                raise OverrideError(_explain(error, parsed, known) + where) from error
            defaults = compose(config_name, [w for w in words if _chooses(w)])
        check_values(cfg, defaults)
        if config_name == "train":
            check_warmup(cfg, {key_of(word) for word in words})


def register_groups(config_name: str) -> None:
    """Complete the configuration groups: only a training starts from weights."""
    if config_name == "train":
        from gcvideo.command.configuration._weight_group import register_published_weights  # noqa: PLC0415 (torch)

        register_published_weights()


def _single_values(parsed: Sequence[Override]) -> Iterator[list[str]]:
    """Overrides without sweeps: the first values of all, then each other value among the first ones."""
    choices = [_choices(override) for override in parsed]
    first = [values[0] for values in choices]
    yield first
    for place, values in enumerate(choices):
        for value in values[1:]:
            yield [*first[:place], value, *first[place + 1 :]]


def _choices(override: Override) -> list[str]:
    if not override.is_sweep_override():
        return [override.input_line or ""]
    key = override.get_key_element()
    return [f"{key}={value}" for value in override.sweep_string_iterator()]


def _composable(config_name: str, parsed: Sequence[Override]) -> DictConfig:
    """The configuration with as many of the overrides as compose together."""
    accepted: list[str] = []
    config = OmegaConf.create()
    for words in ([], *([_choices(override)[0]] for override in parsed)):
        try:
            config = compose(config_name, [*accepted, *words])
        except (HydraException, OmegaConfBaseException):
            continue
        accepted.extend(words)
    return config


def _chooses(word: str) -> bool:
    """Whether an override takes a file of a group, not a value."""
    key = key_of(word)
    return key.partition("@")[0] in set(_groups()) or "searchpath" in key


def _groups() -> Iterator[str]:
    return (path.name for path in config_folder().iterdir() if path.is_dir())


def _keys(config: DictConfig) -> Iterator[str]:
    content = cast(dict[str, Any], OmegaConf.to_container(config, resolve=False))
    for key, value in content.items():
        yield from _nested_keys(key, value)


def _nested_keys(name: str, value: Any) -> Iterator[str]:
    yield name
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _nested_keys(f"{name}.{key}", child)


def _explain(error: Exception, parsed: Sequence[Override], known: Sequence[str]) -> str:
    reason = str(error).strip()
    hints = []
    for override in parsed:
        key = override.key_or_group
        if key in known or override.is_add() or key.startswith("hydra"):
            continue
        near = difflib.get_close_matches(key, known, n=3, cutoff=0.6) or _same_leaf(key, known)
        hint = f"did you mean {' or '.join(near)}?" if near else "no key comes near"
        hints.append(f"'{key}' is no key of this configuration: {hint}")
    return "\n".join(hints) if hints else reason


def _same_leaf(key: str, known: Sequence[str]) -> list[str]:
    leaf = key.rpartition(".")[2]
    return [name for name in known if name.rpartition(".")[2] == leaf][:3]
