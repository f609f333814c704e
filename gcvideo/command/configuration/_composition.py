"""From overrides to a configuration; mistakes are reported, with near misses, before a job starts.

Torch and Lightning, which take seconds to import, are imported by the job.
"""

import difflib
import shlex
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import gcvideo
from gcvideo.command.configuration._value_rule import check_values, check_warmup, items_of

_COMPOSING = HydraException, OmegaConfBaseException


class OverrideError(ValueError):
    """An override on the command line that matches no key and no group."""


def config_folder() -> Path:
    """The folder ``conf``: inside an installed package, beside the package in a clone."""
    package = Path(gcvideo.__file__).resolve().parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def block_words(net: str = "*", folders: Sequence[Path] = ()) -> list[str]:
    """The choices of ``block`` in a comparison: for each file model/NET_BLOCK.yaml, its BLOCK."""
    models = [folder / "model" for folder in (config_folder(), *folders)]
    files = (file for folder in models for file in folder.glob(f"{net}_*.yaml"))
    return sorted({file.stem.partition("_")[2] for file in files})


def initialized() -> AbstractContextManager[None]:
    """A context in which ``hydra.compose`` reads ``conf``."""
    return initialize_config_dir(str(config_folder()), version_base="1.3")


def key_of(word: str) -> str:
    """The key of a word ``key=value``, without the signs that Hydra allows in front of it."""
    return word.partition("=")[0].lstrip("+~")


def register_published_weights() -> None:
    """Make every name in the zoo a choice of the configuration group ``weights``."""
    from gcvideo.weights import ZOO  # noqa: PLC0415 (torch)

    for name, record in ZOO.items():
        node = {"_target_": "gcvideo.weights.published_weights", "name": name}
        if record.inflated:
            node["inflation"] = "mean"
        ConfigStore.instance().store(name=name, group="weights", node=node)


def compose_model(words: str, *settings: str) -> DictConfig:
    """The configuration of a training with a net.

    ``words`` are a name in ``conf/model`` and overrides of ``conf/train.yaml``; ``settings`` come before
    those. Raises ValueError for words that name no model.
    """
    name, *overrides = shlex.split(words) or [""]
    try:
        return compose("train", [f"model={name}", *settings, *overrides])
    except HydraException as error:
        reason = str(error).partition("\nConfig search path")[0]
        raise ValueError(
            f"'{words}' is not a model: {reason}\nGive a name in conf/model, followed by overrides if "
            "needed, such as 'slow_gc placement@model.placement=all'"
        ) from error


def check_overrides(config_name: str, overrides: Sequence[str]) -> None:
    """Compose once for every value of a sweep, to find overrides that are misspelled or out of bounds.

    Raises OverrideError with Hydra's reason and the nearest keys and choices, and ValueRuleError for a
    value that breaks the rule of its key.
    """
    if config_name == "train":  # only a training starts from weights
        register_published_weights()
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as error:
        raise OverrideError(
            f"{str(error).splitlines()[0]}; Hydra gives ( ) [ ] {{ }} , : = and quotes a meaning: put such a "
            "value into quotes within quotes, key=\"'value'\""
        ) from error
    groups = {path.name for path in config_folder().iterdir() if path.is_dir()}
    choices = [_choices(override) for override in parsed]
    first = [values[0] for values in choices]
    others = [
        [*first[:place], value, *first[place + 1 :]]
        for place, values in enumerate(choices)
        for value in values[1:]
    ]
    for words in (first, *others):
        choosing = [w for w in words if key_of(w).partition("@")[0] in groups or "searchpath" in w]
        with initialized():
            try:
                cfg = compose(config_name, words)
            except _COMPOSING as error:
                keys = (key for key, _ in items_of(_composable(config_name, first)))
                known = sorted({*groups, *keys})
                swept = " ".join(word for word in words if word not in first)
                where = f"\nwith {swept} of the sweep" if swept else ""
                raise OverrideError(_explained(error, parsed, known) + where) from error
            defaults = compose(config_name, choosing)
        check_values(cfg, defaults)
        if config_name == "train":
            check_warmup(cfg, {key_of(word) for word in words})


def _choices(override: Override) -> list[str]:
    """The override once for each of its values."""
    if not override.is_sweep_override():
        return [override.input_line or ""]
    key = override.get_key_element()
    return [f"{key}={value}" for value in override.sweep_string_iterator()]


def _composable(config_name: str, words: Sequence[str]) -> DictConfig:
    """The configuration with as many of the overrides as compose together."""
    accepted: list[str] = []
    config = OmegaConf.create()
    for added in ([], *([word] for word in words)):
        try:
            config = compose(config_name, [*accepted, *added])
        except _COMPOSING:
            continue
        accepted.extend(added)
    return config


def _explained(error: Exception, parsed: Sequence[Override], known: Sequence[str]) -> str:
    hints = []
    for override in parsed:
        key = override.key_or_group
        if key in known or override.is_add() or key.startswith("hydra"):
            continue
        leaf = key.rpartition(".")[2]
        near = difflib.get_close_matches(key, known, n=3, cutoff=0.6)
        near = near or [name for name in known if name.rpartition(".")[2] == leaf][:3]
        hint = f"did you mean {' or '.join(near)}?" if near else "no key is similar"
        hints.append(f"'{key}' is not a key of this configuration: {hint}")
    return "\n".join(hints) or str(error).strip()
