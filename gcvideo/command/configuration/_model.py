"""The configuration of a net by its words, for commands that take a list of nets."""

import shlex

from hydra import compose
from hydra.errors import HydraException
from omegaconf import DictConfig


def compose_model(words: str, *settings: str) -> DictConfig:
    """The configuration of a training with a net.

    Args:
        words: a name of ``conf/model``, and other overrides of ``conf/train.yaml`` behind it.
        settings: overrides in front of those.

    Raises:
        ValueError: for words that make no model.
    """
    name, *overrides = shlex.split(words) or [""]
    try:
        return compose("train", [f"model={name}", *settings, *overrides])
    except HydraException as error:
        reason = str(error).partition("\nConfig search path")[0]
        raise ValueError(
            f"'{words}' makes no model: {reason}\nGive a name of conf/model, with overrides behind it if "
            "need be, such as 'slow_gc placement@model.placement=all'"
        ) from error
