"""Variants of a comparison: a block, and what differs from the usual in it or in its place."""

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gcvideo.models import STAGES
from gcvideo.nn._choice import check_choice

BARE = "none"

# What ``transform`` stands for: ratio (None: as configured), LayerNorm, ReLU.
_TRANSFORMS = {
    "linear": ("null", "false", "false"),
    "bottleneck": (None, "false", "false"),
    "bottleneck+relu": (None, "false", "true"),
    "bottleneck+ln+relu": (None, "true", "true"),
}
_POSITIONS = {word: word for word in ("after_conv3", "after_add", "after_relu")}
_AXES = {"thw": "thw", "hw": "hw", "t": "t", "spacetime": "thw", "space": "hw", "time": "t"}
_STAGE_WORD = re.compile(r"res([2-5])(?:(-|\+)(?:res)?([2-5]))?")


@dataclass(frozen=True)
class Variant:
    """A block, as in ``model=NET_BLOCK``, or "none", and factors as the command line writes them."""

    block: str
    factors: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """Such as "gc" or "gc ratio=1/16"."""
        return " ".join([self.block, *(f"{factor}={value}" for factor, value in self.factors)])

    @property
    def folder(self) -> str:
        """The name in letters that file systems and Hydra's command line take as they are."""
        return re.sub(r"[^\w+.-]", "-", self.name.replace(" ", "_"))

    def overrides(self, net: str) -> list[str]:
        """Words for ``conf/train.yaml``."""
        words = [f"model={net}" if self.block == BARE else f"model={net}_{self.block}"]
        for factor, value in self.factors:
            words += [f"++model.{key}={v}" for key, v in _settings(factor, value).items()]
        is_temporal = any(f == "axes" and _AXES[v] == "t" for f, v in self.factors)
        if is_temporal and self.block == "nl":
            # A time line of one place has no keys to pool over space.
            words.append("model.block.sub_sample=none")
        return words


def expand(
    factors: Mapping[str, Sequence[str]], keys_of: Callable[[str], frozenset[str]]
) -> list[Variant]:
    """All combinations of blocks and factors, in order; a factor is left out where a block lacks it."""
    blocks = factors.get("block", ())
    if not blocks:
        raise ValueError(
            "no block to compare; name some, such as block=none,gc,nl, or a preset=..."
        )
    others = {name: values for name, values in factors.items() if name != "block"}
    for name, values in others.items():
        for value in values:
            _settings(name, value)
        if not any(_applies(name, values[0], keys_of(b)) for b in blocks if b != BARE):
            raise ValueError(
                f"{name}={','.join(values)} fits none of the blocks {', '.join(blocks)}; leave it out "
                "or add a block that has it"
            )
    found = []
    for block in blocks:
        mine = {
            name: values
            for name, values in others.items()
            if block != BARE and _applies(name, values[0], keys_of(block))
        }
        for combination in itertools.product(*mine.values()):
            found.append(Variant(block, tuple(zip(mine, combination, strict=True))))
    return found


def short_names(variants: Sequence[Variant]) -> list[str]:
    """Names without the factors that are the same in all variants but the bare net."""
    inserted = [dict(v.factors) for v in variants if v.block != BARE]
    common = {
        factor: value
        for factor, value in (inserted[0] if inserted else {}).items()
        if all(other.get(factor) == value for other in inserted)
    }
    return [
        Variant(v.block, tuple((f, x) for f, x in v.factors if f not in common)).name
        for v in variants
    ]


def knows(factor: str, value: str) -> bool:
    """Whether a word is a factor: ``transform=linear`` is one, ``transform=strong`` is augmentation."""
    if factor not in _FACTORS:
        return False
    return factor != "transform" or value in _TRANSFORMS


def _applies(factor: str, value: str, keys: frozenset[str]) -> bool:
    wanted = {k.removeprefix("block.") for k in _settings(factor, value) if k.startswith("block.")}
    return wanted <= keys


def _settings(factor: str, value: str) -> dict[str, str]:
    """What a factor sets below ``model``."""
    if factor not in _FACTORS:
        raise ValueError(
            f"'{factor}' is not a factor of a comparison; the factors are block, {', '.join(_FACTORS)}"
        )
    return _FACTORS[factor](value)


def _stages(value: str) -> dict[str, str]:
    if value == "five":
        wanted = {"res3": "[1,3]", "res4": "[1,3,5]"}
    else:
        match = _STAGE_WORD.fullmatch(value)
        if match is None:
            raise ValueError(
                f"stages is '{value}'; write five, or stages such as res4, res4+5 or res3-5"
            )
        first, joint, last = match[1], match[2], match[3] or match[1]
        numbers = range(int(first), int(last) + 1) if joint == "-" else (int(first), int(last))
        wanted = {f"res{number}": "all" for number in numbers}
        if not wanted:
            raise ValueError(f"stages is '{value}', which runs backwards; write res{last}-{first}")
    return {f"placement.{stage}": wanted.get(stage, "[]") for stage in STAGES}


def _ratio(value: str) -> dict[str, str]:
    top, _, bottom = value.partition("/")
    try:
        ratio = float(top) / float(bottom or 1)
    except (ValueError, ZeroDivisionError):
        ratio = 0.0
    if not 0 < ratio <= 1:
        raise ValueError(f"ratio is '{value}'; write a share of the channels, such as 1/4 or 0.25")
    return {"block.ratio": repr(ratio)}


def _transform(value: str) -> dict[str, str]:
    ratio, norm, activation = _one_of("transform", value, _TRANSFORMS)
    settings = {"block.norm": norm, "block.activation": activation}
    return settings if ratio is None else settings | {"block.ratio": ratio}


def _fusion(value: str) -> dict[str, str]:
    words = [_one_of("fusion", word, {"add": "add", "mul": "mul"}) for word in value.split("+")]
    return {"block.fusion": f"[{','.join(words)}]"}


def _one_of(factor: str, value: str, choices: Mapping[str, Any]) -> Any:
    check_choice(factor, value, choices)
    return choices[value]


_FACTORS: Mapping[str, Callable[[str], dict[str, str]]] = {
    "stages": _stages,
    "position": lambda value: {"placement.position": _one_of("position", value, _POSITIONS)},
    "ratio": _ratio,
    "transform": _transform,
    "pooling": lambda value: {"block.pooling": value},
    "fusion": _fusion,
    "axes": lambda value: {"block.axes": _one_of("axes", value, _AXES)},
    "kind": lambda value: {"block.kind": value},
}
FACTORS = ("block", *_FACTORS)
