"""What the values of a configuration have to be, by key.

A wrong value would otherwise show deep in a library, after seconds or hours, and in its words.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException


class ValueRuleError(ValueError):
    """A value that breaks the rule of its key."""


class Rule(NamedTuple):
    """What a value has to be.

    Args:
        text: of the rule, to stand behind "give".
        holds: whether a value obeys it.
    """

    text: str
    holds: Callable[[Any], bool]

    def or_null(self) -> "Rule":
        return Rule(f"{self.text}, or null", lambda value: value is None or self.holds(value))


def _is_number(value: Any) -> bool:
    is_real = isinstance(value, int | float) and not isinstance(value, bool)
    return is_real and math.isfinite(value)


def whole(least: int) -> Rule:
    """A whole number of at least ``least``."""
    return Rule(
        f"a whole number of at least {least}",
        lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= least,
    )


def one_of(*words: str) -> Rule:
    """One of some words."""
    return Rule(f"one of {', '.join(words)}", lambda value: value in words)


POSITIVE = Rule("a number above 0", lambda value: _is_number(value) and value > 0)
NOT_NEGATIVE = Rule("a number of at least 0", lambda value: _is_number(value) and value >= 0)
SHARE = Rule(
    "a number of at least 0 and at most 1", lambda value: _is_number(value) and 0 <= value <= 1
)
PART = Rule(
    "a number of at least 0 and below 1", lambda value: _is_number(value) and 0 <= value < 1
)
BETWEEN = Rule("a number between 0 and 1", lambda value: _is_number(value) and 0 < value < 1)
BOOLEAN = Rule("true or false", lambda value: isinstance(value, bool))
LIMIT = Rule(
    "a whole number of batches, or a share of them such as 0.1",
    lambda value: _is_number(value) and (isinstance(value, int) or value <= 1) and value >= 0,
).or_null()

RULES: dict[str, Rule] = {
    **dict.fromkeys(
        (
            "base_batch_size",
            "batch_norm.group_size",
            "batch_size",
            "checkpoint.every_n_steps",
            "clips_per_video",
            "crop_size",
            "data.test_per_class",
            "data.train_per_class",
            "data.val_per_class",
            "epochs",
            "gop_size",
            "log_every_n_steps",
            "max_short_side",
            "max_videos",
            "num_classes",
            "num_clips",
            "num_crops",
            "num_frames",
            "num_pairs",
            "num_threads",
            "num_videos",
            "protocol.sampling.sample_range",
            "rounds",
            "sampling_rate",
            "short_side",
            "top_k",
            "trainer.accumulate_grad_batches",
            "trainer.check_val_every_n_epoch",
            "trainer.max_epochs",
            "trainer.num_nodes",
            "video_frames",
            "video_size",
            "width",
        ),
        whole(1),
    ),
    **dict.fromkeys(
        (
            "batch_norm.precise_batches",
            "crf",
            "data.seed",
            "num_workers",
            "protocol.sampling.seed",
            "seed",
            "early_stopping.patience",
        ),
        whole(0),
    ),
    **dict.fromkeys(
        ("data.time_budget_seconds", "lr", "stride_seconds", "time_budget_seconds"), POSITIVE
    ),
    **dict.fromkeys(
        (
            "block_lr_multiplier",
            "scheduler.gamma",
            "trainer.gradient_clip_val",
            "warmup_epochs",
            "weight_decay",
        ),
        NOT_NEGATIVE,
    ),
    **dict.fromkeys(
        ("data.max_bad_fraction", "scheduler.start", "threshold", "transform.flip_prob"), SHARE
    ),
    **dict.fromkeys(("dropout", "label_smoothing"), PART),
    **dict.fromkeys(("data.val_fraction", "ema.decay"), BETWEEN),
    **dict.fromkeys(
        (
            "accept_changed_lists",
            "activation_checkpointing",
            "compile",
            "compiled",
            "data.square_pixels",
            "drop_damaged",
            "keep_freed_memory",
            "protocol.by_time",
            "published",
            "trainer.enable_progress_bar",
            "tune_batch_size",
        ),
        BOOLEAN,
    ),
    **dict.fromkeys(
        ("trainer.limit_test_batches", "trainer.limit_train_batches", "trainer.limit_val_batches"),
        LIMIT,
    ),
    "batch_norm.mode": one_of("local", "sync", "frozen"),
    "inflation": one_of("mean", "centre"),
    "output_dir": Rule("a folder", lambda value: isinstance(value, str)),
    "layout": one_of("auto", "contiguous", "channels_last", "folded"),
    "protocol.sampling.reader": one_of("whole", "pyav", "torchvision"),
    "precision": one_of("float32", "bfloat16", "float16"),
    "train_only": one_of("all", "blocks"),
    "val_precision": one_of("float32", "bfloat16", "float16"),
    "what": one_of("block", "net", "training", "end_to_end", "profile"),
}


def check_values(cfg: DictConfig, defaults: DictConfig) -> None:
    """Hold every value against the rule of its key.

    Args:
        cfg: composed from a command line.
        defaults: the same without the command line's values; a key that is null there may stay so.

    Raises:
        ValueRuleError: names key, value and rule, for the first value that breaks its rule.
    """
    for key, rule in RULES.items():
        value = _value(cfg, key)
        if value is _ABSENT:
            continue
        if _is_null(defaults, key):
            rule = rule.or_null()
        if not rule.holds(value):
            raise ValueRuleError(f"{key} is {_shown(value)}; give {rule.text}")
    for key in _wanted(defaults):
        if _value(cfg, key) is None:
            raise ValueRuleError(
                f"{key} is null; it needs a value, and stands for nothing without one"
            )
    _check_order(cfg, "short_side", "max_short_side")
    # Without any validation there is no best checkpoint and nothing to report.
    _check_order(cfg, "trainer.check_val_every_n_epoch", "epochs")


def _wanted(node: DictConfig, above: str = "") -> Iterator[str]:
    """Keys that have no value until the command line gives one."""
    for key in map(str, node):
        if OmegaConf.is_missing(node, key):
            yield f"{above}{key}"
        elif not OmegaConf.is_interpolation(node, key) and OmegaConf.is_dict(node[key]):
            yield from _wanted(cast(DictConfig, node[key]), f"{above}{key}.")


def _check_order(cfg: DictConfig, lower: str, upper: str) -> None:
    low, high = _value(cfg, lower), _value(cfg, upper)
    if _is_number(low) and _is_number(high) and low > high:
        raise ValueRuleError(f"{upper} is {high}, below {lower} of {low}; give at least {low}")


_ABSENT = object()


def _asks_hydra(node: DictConfig, name: str) -> bool:
    """Whether a value is what Hydra says once a job runs."""
    raw: Any = node._get_node(name)
    return "${hydra:" in str(raw._value())


def _is_null(defaults: DictConfig, key: str) -> bool:
    """Whether a key stands as null in a file; what Hydra answers for it in the end does not count."""
    *parents, name = key.split(".")
    node = OmegaConf.select(defaults, ".".join(parents)) if parents else defaults
    return (
        isinstance(node, DictConfig)
        and name in node
        and not OmegaConf.is_interpolation(node, name)
        and not OmegaConf.is_missing(node, name)
        and node[name] is None
    )


def _value(cfg: DictConfig, key: str) -> Any:
    """A value; ``_ABSENT`` where there is no such key, or nobody has given it a value yet."""
    *parents, name = key.split(".")
    try:
        node = OmegaConf.select(cfg, ".".join(parents)) if parents else cfg
        if not isinstance(node, DictConfig) or name not in node or _asks_hydra(node, name):
            return _ABSENT
        return node[name]
    except OmegaConfBaseException:
        return _ABSENT


def _shown(value: Any) -> str:
    return "null" if value is None else repr(value) if isinstance(value, str) else str(value)
