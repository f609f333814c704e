from typing import Literal, get_args

from torch import nn

from gcvideo.models import ClipClassifier, inserted_blocks

TrainOnly = Literal["all", "blocks"]


def freeze_trunk(model: ClipClassifier, train_only: TrainOnly) -> list[nn.Module]:
    """Let only inserted blocks and the head of a net learn, or all of it.

    Args:
        model: whose other parameters are told to need no gradient.
        train_only: "all", or "blocks": inserted blocks and head.

    Returns:
        Batch norms of the frozen trunk, which are to stay in evaluation mode.

    Raises:
        ValueError: for another choice, and for "blocks" on a net without inserted blocks.
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
    norms = nn.modules.batchnorm._NormBase
    return [m for m in model.modules() if isinstance(m, norms) and m not in kept]
