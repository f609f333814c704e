"""The command line of a comparison: what varies, over which seeds, and the one recipe for all."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from gcvideo.command.compare._variant import FACTORS, Variant, expand, knows, short_names
from gcvideo.nn._choice import check_choice

LAUNCHERS = {
    "local": "basic",
    "joblib": "joblib",
    "submitit": "submitit_slurm",
    "submitit_local": "submitit_local",
}
_KEYS = ("preset", "seeds", "launcher", "folder", "baseline", "verify", "estimate", "power")


@dataclass(frozen=True)
class ComparisonRequest:
    """What a comparison is to do.

    ``net`` is a bare choice of ``model``, ``names`` are as short as they can be while they differ,
    ``recipe`` are words for ``conf/train.yaml`` that all cells share, ``settings`` are words for Hydra
    such as "hydra.launcher.n_jobs=2". ``folder`` is None for ``runs/compare/DATA_NET``. ``verify`` names
    a cell that is trained again and must come out the same. ``estimate`` is whether only to estimate, or
    the seconds of a step that were measured elsewhere; ``power`` is whether only to say which difference
    the test set can show.
    """

    net: str
    variants: tuple[Variant, ...]
    names: tuple[str, ...]
    seeds: tuple[int, ...]
    recipe: tuple[str, ...]
    launcher: str
    settings: tuple[str, ...]
    folder: Path | None
    baseline: str
    verify: tuple[str, int] | None
    estimate: Any
    power: bool
    title: str


def parse_request(
    words: Sequence[str],
    presets: Sequence[Path],
    keys_of: Callable[[str, str, Sequence[str]], frozenset[str]],
) -> ComparisonRequest:
    """Read the words of a comparison; ``keys_of`` gives the arguments of a block."""
    own: dict[str, str] = {}
    rest = []
    for word in words:
        key, _, text = word.partition("=")
        if key != "folder":
            text = text.strip("'\"")
        if key in (*_KEYS, "block") or any(knows(key, value) for value in _values(text)):
            own[key] = text
        else:
            rest.append(word)
    preset = _preset(presets, own.get("preset"))
    given = {name: _values(own[name]) for name in FACTORS if name in own}
    for override in OverridesParser.create().parse_overrides(rest):
        if override.is_sweep_override():
            raise ValueError(
                f"'{override.input_line}' has several values, but one recipe holds for all variants; "
                f"what may vary is {', '.join(FACTORS)} and seeds"
            )
    recipe = [*preset.get("train", ()), *rest]
    net = _net(recipe)
    search = tuple(word for word in recipe if word.startswith("hydra.searchpath="))
    groups = [given] if given else [_texts(group) for group in preset.get("variants", [{}])]
    expanded = [v for g in groups for v in expand(g, lambda block: keys_of(net, block, search))]
    # Each once, in whatever order a preset names its factors.
    variants = list({(v.block, frozenset(v.factors)): v for v in expanded}.values())
    names = short_names(variants)
    launcher = own.get("launcher") or preset.get("launcher", "local")
    check_choice("launcher", launcher, LAUNCHERS)
    seeds = _seeds(own.get("seeds"), preset)
    return ComparisonRequest(
        net=net,
        variants=tuple(variants),
        names=tuple(names),
        seeds=seeds,
        recipe=tuple(
            word for word in recipe if word in search or not word.startswith(("model=", "hydra"))
        ),
        launcher=LAUNCHERS[launcher],
        settings=tuple(word for word in recipe if word.startswith("hydra")),
        folder=Path(str(_value("folder", own["folder"]))) if "folder" in own else None,
        baseline=_known("baseline", own.get("baseline") or names[0], names),
        verify=_verify(own.get("verify"), names, seeds),
        estimate=_value("estimate", own.get("estimate", "false")),
        power=_truth("power", own.get("power", "false")),
        title=preset.get("title", "Comparison of blocks"),
    )


def _value(key: str, text: str) -> Any:
    """A text as Hydra reads it: a truth value, a number or a word."""
    return OverridesParser.create().parse_override(f"{key}={text}").value()


def _truth(key: str, text: str) -> bool:
    value = _value(key, text)
    if not isinstance(value, bool):
        raise ValueError(f"{key} is '{text}'; give true or false")
    return value


def _values(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _texts(group: Mapping[str, Any]) -> dict[str, list[str]]:
    return {
        name: [str(v) for v in (values if isinstance(values, list) else [values])]
        for name, values in group.items()
    }


def _preset(presets: Sequence[Path], name: str | None) -> dict[str, Any]:
    if name is None:
        return {}
    known = {file.stem: file for folder in presets for file in sorted(folder.glob("*.yaml"))}
    check_choice("preset", name, sorted(known))
    return cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(known[name])))


def _net(recipe: Sequence[str]) -> str:
    nets = [word.partition("=")[2] for word in recipe if word.startswith("model=")]
    if not nets:
        raise ValueError(
            "no net to put the blocks into; name one, such as model=slow, model=i3d or model=c2d"
        )
    if "_" in nets[-1]:
        raise ValueError(
            f"model is '{nets[-1]}', a net with a block; name the bare net, such as "
            f"model={nets[-1].partition('_')[0]}, and the blocks with block=..."
        )
    return nets[-1]


def _seeds(text: str | None, preset: Mapping[str, Any]) -> tuple[int, ...]:
    words = [str(s) for s in preset.get("seeds", [0])] if text is None else _values(text)
    are_numbers = words and all(word.isdecimal() for word in words)
    if not are_numbers or len(set(map(int, words))) < len(words):
        raise ValueError(
            f"seeds is '{','.join(words)}'; list different whole numbers, such as seeds=0,1,2"
        )
    return tuple(int(word) for word in words)


def _known(key: str, name: str, names: Sequence[str]) -> str:
    if name not in names:
        raise ValueError(f"{key} is '{name}'; choose one of the variants {', '.join(names)}")
    return name


def _verify(text: str | None, names: Sequence[str], seeds: Sequence[int]) -> tuple[str, int] | None:
    if text is None:
        return None
    name, _, seed = text.rpartition(":")
    if not seed.isdecimal() or int(seed) not in seeds:
        raise ValueError(
            f"verify is '{text}'; write VARIANT:SEED of one cell, such as verify={names[0]}:{seeds[0]}"
        )
    return _known("verify", name, names), int(seed)
