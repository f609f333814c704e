"""The rules for the values of a configuration, by key.

Otherwise a wrong value would only show deep in a library, after seconds or hours, in its own words.
"""

import math
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException


class ValueRuleError(ValueError):
    """A value that breaks the rule of its key."""


class Rule(NamedTuple):
    """A rule, in words that follow "give", and whether a value obeys it."""

    text: str
    holds: Callable[[Any], bool]

    def or_null(self) -> "Rule":
        return Rule(f"{self.text}, or null", lambda value: value is None or self.holds(value))


def _is_number(value: Any) -> bool:
    is_real = isinstance(value, int | float) and not isinstance(value, bool)
    return is_real and math.isfinite(value)


def whole(least: int) -> Rule:
    return Rule(
        f"a whole number of at least {least}",
        lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= least,
    )


def one_of(*words: str) -> Rule:
    return Rule(f"one of {', '.join(words)}", lambda value: value in words)


def some_of(*words: str) -> Rule:
    return Rule(
        f"a list of some of {', '.join(words)}",
        lambda value: (
            not isinstance(value, str | int | float)
            and value is not None
            and all(word in words for word in value)
        ),
    )


def number(where: str, holds: Callable[[float], bool]) -> Rule:
    return Rule(f"a number {where}", lambda value: _is_number(value) and holds(value))


POSITIVE = number("above 0", lambda value: value > 0)
NOT_NEGATIVE = number("of at least 0", lambda value: value >= 0)
SHARE = number("of at least 0 and at most 1", lambda value: 0 <= value <= 1)
REAL_SHARE = number("above 0 and at most 1", lambda value: 0 < value <= 1)
PART = number("of at least 0 and below 1", lambda value: 0 <= value < 1)
BETWEEN = number("between 0 and 1", lambda value: 0 < value < 1)
BOOLEAN = Rule("true or false", lambda value: isinstance(value, bool))
LIMIT = Rule(
    "a whole number of batches, or a share of them such as 0.1",
    lambda value: _is_number(value) and (isinstance(value, int) or value <= 1) and value >= 0,
).or_null()


def _each(rule: Rule, keys: str) -> dict[str, Rule]:
    return dict.fromkeys(keys.split(), rule)


RULES: dict[str, Rule] = {
    **_each(
        whole(1),
        """
        base_batch_size batch_norm.group_size batch_size calibration_clips checkpoint.every_n_steps
        clips_per_video crop_size data.test_per_class data.train_per_class data.val_per_class
        epochs gop_size log_every_n_steps max_short_side max_videos num_classes num_clips
        num_crops num_frames num_pairs num_threads num_videos protocol.sampling.sample_range
        rounds sampling_rate short_side top_k trainer.accumulate_grad_batches
        trainer.check_val_every_n_epoch trainer.max_epochs trainer.num_nodes video_frames
        video_size width
        """,
    ),
    **_each(
        whole(0),
        """
        batch_norm.precise_batches crf data.seed num_workers protocol.sampling.seed seed
        early_stopping.patience
        """,
    ),
    **_each(
        POSITIVE,
        """
        data.time_budget_seconds lr max_upload_mb max_video_seconds stride_seconds
        time_budget_seconds time_limit_seconds
        """,
    ),
    **_each(
        NOT_NEGATIVE,
        """
        block_lr_multiplier frame_cache_gb scheduler.gamma trainer.gradient_clip_val warmup_epochs
        weight_decay
        """,
    ),
    **_each(NOT_NEGATIVE.or_null(), "max_delay_seconds reconnect_seconds"),
    **_each(SHARE, "data.max_bad_fraction scheduler.start threshold transform.flip_prob"),
    **_each(REAL_SHARE, "min_agreement"),
    **_each(PART, "dropout label_smoothing"),
    **_each(BETWEEN, "data.val_fraction ema.decay"),
    **_each(
        BOOLEAN,
        """
        accept_changed_lists activation_checkpointing compile compiled data.square_pixels drop_damaged
        keep_freed_memory overwrite protocol.by_time protocol.sampling.jitter published report
        retry_failures trainer.enable_progress_bar
        tune_batch_size
        """,
    ),
    **_each(
        LIMIT, "trainer.limit_test_batches trainer.limit_train_batches trainer.limit_val_batches"
    ),
    "batch_norm.mode": one_of("local", "sync", "frozen"),
    "figures": some_of("png", "svg", "pdf"),
    "inflation": one_of("mean", "centre"),
    "output_dir": Rule("a folder", lambda value: isinstance(value, str)),
    "layout": one_of("auto", "contiguous", "channels_last", "folded"),
    "protocol.normalization": one_of("constants", "motion"),
    "protocol.sampling.reader": one_of("whole", "pyav", "torchvision"),
    "engine": one_of("torch", "openvino", "onnxruntime"),
    "precision": one_of("float32", "bfloat16", "float16", "int8"),
    "port": number("from 0 to 65535", lambda value: isinstance(value, int) and 0 <= value <= 65535),
    "shard": Rule("a part of the videos such as 0/4", lambda value: isinstance(value, str)),
    "sheet": one_of("png", "pdf", "svg"),
    "train_only": one_of("all", "blocks"),
    "val_precision": one_of("float32", "bfloat16", "float16"),
    "what": one_of("block", "net", "training", "engine", "end_to_end", "profile", "worth"),
}


def check_values(cfg: DictConfig, defaults: DictConfig) -> None:
    """Check every value against the rule of its key; ValueRuleError for the first that breaks it.

    ``defaults`` is the same configuration without the command line; a key that is null there may be null.
    """
    for key, rule in RULES.items():
        value = _value(cfg, key)
        if _value(defaults, key) is None:
            rule = rule.or_null()
        if value is not _ABSENT and not rule.holds(value):
            shown = "null" if value is None else repr(value) if isinstance(value, str) else value
            raise ValueRuleError(f"{key} is {shown}; give {rule.text}")
    for key, default in items_of(defaults):
        if default == "???" and _value(cfg, key) is None:
            raise ValueRuleError(f"{key} is null; it needs a value")
    # Without any validation there is no best checkpoint and nothing to report.
    orders = ("short_side", "max_short_side"), ("trainer.check_val_every_n_epoch", "epochs")
    for lower, upper in orders:
        low, high = _value(cfg, lower), _value(cfg, upper)
        if _is_number(low) and _is_number(high) and low > high:
            raise ValueRuleError(f"{upper} is {high}, below {lower} of {low}; give at least {low}")


def items_of(cfg: Any, *, resolve: bool = False) -> Iterator[tuple[str, Any]]:
    """All keys of a configuration, with their parents, and their plain values."""

    def below(above: str, value: Any) -> Iterator[tuple[str, Any]]:
        for key, child in value.items() if isinstance(value, dict) else ():
            yield f"{above}{key}", child
            yield from below(f"{above}{key}.", child)

    return below("", OmegaConf.to_container(cfg, resolve=resolve))


_ABSENT = object()


def _value(cfg: DictConfig, key: str) -> Any:
    """A value; ``_ABSENT`` if there is no such key, or no value before Hydra runs a job."""
    *parents, name = key.split(".")
    try:
        node = OmegaConf.select(cfg, ".".join(parents)) if parents else cfg
        if not isinstance(node, DictConfig) or name not in node:
            return _ABSENT
        raw: Any = node._get_node(name)
        return _ABSENT if "${hydra:" in str(raw._value()) else node[name]
    except OmegaConfBaseException:
        return _ABSENT


# After the middle of a run a cosine is below half of its rate; recipes have a tenth.
_LONGEST, _SHORTENED = 1 / 2, 1 / 10
_KEYS = {"warmup_epochs", "scheduler.warmup_epochs"}, {"epochs", "trainer.max_epochs"}


def check_warmup(cfg: DictConfig, typed: Collection[str]) -> None:
    """Refuse a warm-up of more than half of the run if both were typed on the command line."""
    # Multigrid schedules stretch a run.
    if cfg.get("multigrid") is None and all(keys & set(typed) for keys in _KEYS) and _is_long(cfg):
        num_epochs = cfg.trainer.max_epochs
        raise ValueRuleError(
            f"warmup_epochs is {cfg.scheduler.warmup_epochs:g} and the run has {num_epochs} epochs, so the "
            f"rate would hardly get past its warm-up; give at most {_LONGEST * num_epochs:g}, or leave "
            "warmup_epochs out"
        )


def shorten_warmup(cfg: DictConfig) -> list[str]:
    """Cut a warm-up of more than half of a new run to a tenth of it, and return a line that says so.

    The warm-ups of recipes are meant for their many epochs. A resumed run keeps its schedule.
    """
    if cfg.resume is not None or not _is_long(cfg):
        return []
    wanted, num_epochs = cfg.scheduler.warmup_epochs, cfg.trainer.max_epochs
    cfg.scheduler.warmup_epochs = round(_SHORTENED * num_epochs, 6)
    if "warmup_epochs" in cfg:
        cfg.warmup_epochs = cfg.scheduler.warmup_epochs
    return [
        f"warm-up    {cfg.scheduler.warmup_epochs:g} epochs, a tenth of the run: warmup_epochs is {wanted:g}, "
        f"more than half of {num_epochs}, and the rate would hardly be reached"
    ]


def _is_long(cfg: DictConfig) -> bool:
    warmup = cfg.scheduler.get("warmup_epochs", 0)
    return bool(warmup) and warmup > _LONGEST * cfg.trainer.max_epochs
