"""The start of a training from weights."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

import torch
from torch import nn

from gcvideo.data import EvaluationProtocol
from gcvideo.models import inserted_blocks, insertion_effect
from gcvideo.weights import Weights, load_weights


def initialize_net(
    net: nn.Module,
    weights: Weights,
    classes: Sequence[str],
    shape: tuple[int, ...],
    *,
    protocol: EvaluationProtocol,
    seed: int,
) -> list[str]:
    """Fill a net with weights; returns what to say of its start.

    The head gets the rows of the named classes. What new blocks change is found on random views of a
    shape (b, c, t, h, w), drawn from the seed.
    """
    report = load_weights(net, weights, classes)
    lines, fresh = [f"weights    {report}"], set(report.fresh)
    lines += _other_normalization(weights.protocol, protocol)
    num_new = sum(
        any(f"{block.name}.{name}" in fresh for name, _ in block.module.named_parameters())
        for block in inserted_blocks(net)
    )
    if not num_new:
        return lines
    generator = torch.Generator().manual_seed(seed)
    effect = insertion_effect(net, torch.randn(shape, generator=generator))
    if effect == 0:
        return [*lines, f"new blocks {num_new}, and the logits are those without them, bit for bit"]
    return [
        *lines,
        f"new blocks {num_new}, and they change the logits by up to {effect:.3g}: this block does not "
        "start as the identity (model.block.mul_start=identity makes multiplication do so)",
    ]


def _other_normalization(
    trained: Mapping[str, Any] | None, protocol: EvaluationProtocol
) -> list[str]:
    """A warning if the weights have seen other numbers for the same pixels."""
    if trained is None:
        return []
    before, now = _normalization(trained.get), _normalization(partial(getattr, protocol))
    changed = [
        f"{name} is {now.get(name, 'not used')} and was {before.get(name, 'not used')}"
        for name in ("normalization", "mean", "std")
        if now.get(name) != before.get(name)
    ]
    if not changed:
        return []
    return [
        "warning: the weights were trained on other numbers for the same pixels, so the first layers have to "
        f"learn again: protocol.{', protocol.'.join(changed)}; set what they had"
    ]


def _normalization(value: Callable[[str, Any], Any]) -> dict[str, Any]:
    """What decides how pixels become the input of a net."""
    names = ("normalization", "mean", "std")
    default = {field.name: field.default for field in fields(EvaluationProtocol)}
    found = {name: value(name, default[name]) for name in names}
    if found["normalization"] == "motion":
        return {"normalization": "motion"}  # which uses no constants
    return {key: list(v) if key != "normalization" else v for key, v in found.items()}
