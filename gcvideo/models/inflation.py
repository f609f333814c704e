import re

import torch
import torchvision
from jaxtyping import Float
from torch import Tensor

from gcvideo.models.weights import BLOCKS, HEAD, StateDict, Weights, WeightsError

_CONV = {"1": "a", "2": "b", "3": "c"}
# Files from before PyTorch 0.4.1 lack the counters, which batch norm with a momentum never reads.
_COUNTERS = ("*.num_batches_tracked",)


def inflate_kernel(kernel: Float[Tensor, "o i h w"], num_frames: int) -> Float[Tensor, "o i t h w"]:
    """Repeat a 2-D kernel over time and divide by its length: w3d_t = w2d / T.

    On a video whose frames are all alike the inflated convolution gives the 2-D result.
    Source: Carreira and Zisserman, I3D (arXiv:1705.07750).
    """
    return kernel.unsqueeze(2).repeat(1, 1, num_frames, 1, 1) / num_frames


def inflate_torchvision(source: StateDict, target: StateDict) -> dict[str, Tensor]:
    """A torchvision 2-D ResNet in our naming, its kernels inflated to those of the target net.

    Batch-norm parameters and statistics are copied; the classifier is left out.

    Raises:
        WeightsError: if the source is no torchvision ResNet. Another depth than the target's is
            found by ``load_weights``.
    """
    indices = {int(m[1]) for key in target if (m := re.match(r"blocks\.(\d+)\.res_blocks\.", key))}
    stages = sorted(indices)
    converted = {}
    for key, value in source.items():
        name = _renamed(key, stages)
        if name is None:
            continue
        if value.ndim == 4 and name in target and target[name].ndim == 5:
            value = inflate_kernel(value, target[name].shape[2])
        converted[name] = value
    return converted


def _renamed(key: str, stages: list[int]) -> str | None:
    if key.startswith("fc."):
        return None
    if match := re.fullmatch(r"(conv|bn)1\.(\w+)", key):
        return f"blocks.0.{'conv' if match[1] == 'conv' else 'norm'}.{match[2]}"
    match = re.fullmatch(r"layer(\d)\.(\d+)\.(conv|bn|downsample)\.?(\d)\.(\w+)", key)
    if match is None:
        raise WeightsError(f"{key!r} is no parameter of a torchvision bottleneck ResNet")
    stage, block, kind, number, leaf = match.groups()
    prefix = f"blocks.{stages[int(stage) - 1]}.res_blocks.{block}"
    if kind == "downsample":
        return f"{prefix}.branch1_{'conv' if number == '0' else 'norm'}.{leaf}"
    return f"{prefix}.branch2.{'conv' if kind == 'conv' else 'norm'}_{_CONV[number]}.{leaf}"


def imagenet_weights(name: str = "ResNet50_Weights.IMAGENET1K_V1") -> Weights:
    """ImageNet weights of torchvision's ResNet, inflated; context blocks and head start fresh.

    Args:
        name: a torchvision weights entry of the depth of the net; downloaded once into the torch
            hub cache.
    """

    def read() -> StateDict:
        weights = torchvision.models.get_weight(name)
        try:
            return weights.get_state_dict(progress=True, check_hash=True)
        except OSError as error:
            cache = f"{torch.hub.get_dir()}/checkpoints"
            raise WeightsError(
                f"{weights.url} could not be downloaded ({error}); fetch the file on another machine "
                f"and put it into {cache}"
            ) from error

    return Weights(
        name=name, read=read, convert=inflate_torchvision, fresh=BLOCKS + HEAD + _COUNTERS
    )
