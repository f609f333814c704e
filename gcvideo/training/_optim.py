"""Which parameters learn, and at which rate."""

from typing import Any, Literal, get_args

from torch import nn

from gcvideo.models import ClipClassifier, inserted_blocks

TrainOnly = Literal["all", "blocks"]

_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def parameter_groups(
    net: nn.Module, *, lr: float, weight_decay: float, block_lr_multiplier: float = 1.0
) -> list[dict[str, Any]]:
    """Groups for an optimizer: no decay on any norm or bias, own rate for inserted blocks.

    Differs from PySlowFast, whose test for batch norms lets the LayerNorm of a context block and
    all biases decay.

    Args:
        net: net of this package.
        lr: base rate of the trunk.
        weight_decay: decay of the weights; norms, biases and scalar gains have none.
        block_lr_multiplier: rate of inserted blocks / ``lr``; new blocks in a pretrained net may
            learn faster.

    Returns:
        Non-empty groups with "params", "lr", "weight_decay" and "name"; frozen parameters left out.
    """
    blocks = {
        id(parameter) for block in inserted_blocks(net) for parameter in block.module.parameters()
    }
    undecayed = {
        id(parameter)
        for module in net.modules()
        for name, parameter in module.named_parameters(recurse=False)
        # Scalars are gains (the criss-cross block's gamma), which a decay would pull to zero.
        if isinstance(module, _NORMS) or name.endswith("bias") or parameter.numel() == 1
    }
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


def scaled_lr(base_lr: float, base_batch_size: int, total_batch_size: int) -> float:
    """Linear scaling rule: lr = base_lr * total_batch_size / base_batch_size.

    Sizes count views per optimizer step, over all devices and accumulation.
    Source: Goyal et al., Accurate, Large Minibatch SGD (arXiv:1706.02677).
    """
    return base_lr * total_batch_size / base_batch_size


def freeze_trunk(model: ClipClassifier, train_only: TrainOnly) -> list[nn.Module]:
    """Let only inserted blocks and the head learn if ``train_only`` is "blocks".

    Returns the batch norms of the frozen trunk, which have to stay in evaluation mode.
    """
    if train_only not in get_args(TrainOnly):
        raise ValueError(f"train_only is {train_only!r}; choose 'all' or 'blocks'")
    if train_only == "all":
        return []
    learning = [block.module for block in inserted_blocks(model.net)]
    if not learning:
        raise ValueError(
            "train_only is 'blocks' but the net holds no inserted block; choose a model with one, "
            "such as model=slow_gc, or train_only=all"
        )
    learning.append(model.net.get_submodule("blocks")[-1])  # pyright: ignore[reportIndexIssue]
    kept = {module for root in learning for module in root.modules()}
    model.requires_grad_(False)
    for module in learning:
        module.requires_grad_(True)
    return [m for m in model.modules() if isinstance(m, _NORMS[0]) and m not in kept]
