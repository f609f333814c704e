from collections.abc import Iterable
from typing import Any

from torch import nn

from gcvideo.models import inserted_blocks

_NORMS = (
    nn.modules.batchnorm._NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
)


def parameter_groups(
    net: nn.Module, *, lr: float, weight_decay: float, block_lr_multiplier: float = 1.0
) -> list[dict[str, Any]]:
    """Groups for an optimizer: no decay on any norm or bias, own rate for inserted blocks.

    Differs from PySlowFast, whose test for batch norms lets the LayerNorm of a context block and
    all biases decay.

    Args:
        net: a net of this package.
        lr: base rate of the trunk.
        weight_decay: of weights that are no norm and no bias.
        block_lr_multiplier: rate of inserted blocks / ``lr``; new blocks in a pretrained net may
            learn faster.

    Returns:
        Non-empty groups with "params", "lr", "weight_decay" and "name"; frozen parameters left out.
    """
    blocks = {
        id(parameter) for block in inserted_blocks(net) for parameter in block.module.parameters()
    }
    undecayed = {id(parameter) for parameter in _norm_and_bias_parameters(net.modules())}
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in net.parameters():
        if parameter.requires_grad:
            key = (id(parameter) in blocks, id(parameter) in undecayed)
            groups.setdefault(key, []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": lr * (block_lr_multiplier if in_block else 1.0),
            "weight_decay": 0.0 if plain else weight_decay,
            "name": f"{'blocks' if in_block else 'trunk'}{' without decay' if plain else ''}",
        }
        for (in_block, plain), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]


def _norm_and_bias_parameters(modules: Iterable[nn.Module]) -> Iterable[nn.Parameter]:
    for module in modules:
        for name, parameter in module.named_parameters(recurse=False):
            # Scalars are gains (the criss-cross block's gamma), which a decay would pull to zero.
            if isinstance(module, _NORMS) or name.endswith("bias") or parameter.numel() == 1:
                yield parameter


def scaled_lr(base_lr: float, base_batch_size: int, total_batch_size: int) -> float:
    """Linear scaling rule: lr = base_lr * total_batch_size / base_batch_size.

    Source: Goyal et al., Accurate, Large Minibatch SGD (arXiv:1706.02677).

    Args:
        base_lr: rate of the recipe.
        base_batch_size: views per optimizer step for which ``base_lr`` was found.
        total_batch_size: views per optimizer step of this run, over all devices and accumulation.
    """
    return base_lr * total_batch_size / base_batch_size
