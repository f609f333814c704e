"""A warm-up that leaves a run its rate: recipes have warm-ups for the many epochs that they were made for."""

from collections.abc import Collection

from omegaconf import DictConfig

from gcvideo.command.configuration._value_rule import ValueRuleError

# Behind the middle of a run a cosine has fallen below half of its rate; a tenth is what recipes have.
_LONGEST, _SHORTENED = 1 / 2, 1 / 10
_KEYS = {"warmup_epochs", "scheduler.warmup_epochs"}, {"epochs", "trainer.max_epochs"}


def check_warmup(cfg: DictConfig, typed: Collection[str]) -> None:
    """Refuse a warm-up of more than half of the run, where somebody has asked for both.

    Args:
        cfg: composed from a command line.
        typed: keys on it.

    Raises:
        ValueRuleError: names both values.
    """
    # Multigrid schedules stretch a run.
    if cfg.get("multigrid") is None and all(keys & set(typed) for keys in _KEYS) and _is_long(cfg):
        num_epochs = cfg.trainer.max_epochs
        raise ValueRuleError(
            f"warmup_epochs is {cfg.scheduler.warmup_epochs:g} and the run has {num_epochs} epochs, so the "
            f"rate would hardly leave its warm-up; give at most {_LONGEST * num_epochs:g}, or leave "
            "warmup_epochs out"
        )


def shorten_warmup(cfg: DictConfig) -> list[str]:
    """Cut a warm-up of more than half of a new run to a tenth of it, in the configuration.

    A resumed run goes on by the schedule that it was begun with.

    Args:
        cfg: whose number of epochs is settled.

    Returns:
        A line that says so, if there was such a warm-up.
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
