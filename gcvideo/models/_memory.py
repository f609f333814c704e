"""Memory that training takes."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.func import functional_call
from torch.optim import Optimizer


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes that training takes on one device.

    Args:
        weights: parameters and buffers.
        gradients: those of the parameters that learn; twice with the buckets of DDP.
        optimizer_state: momenta and the like.
        activations: feature maps kept for the backward pass.
        views: the uint8 input.
        average: moving average of the weights.
        work_space: what a step took beyond these where it was measured: gradients of feature maps, buffers of
            operators, and what lies unused between pieces of memory.
    """

    weights: int
    gradients: int
    optimizer_state: int
    activations: int
    views: int
    average: int = 0
    work_space: int = 0

    @property
    def total(self) -> int:
        kept = self.gradients + self.optimizer_state + self.activations + self.views
        return self.weights + kept + self.average + self.work_space


def count_memory(
    model: nn.Module,
    *,
    make_optimizer: Callable[[Any], Optimizer],
    num_clips: int,
    num_frames: int,
    crop_size: int,
    autocast: torch.dtype | None = None,
    in_buckets: bool = False,
    has_average: bool = False,
) -> TrainingMemory:
    """Memory that a training step keeps, counted without running it; ``work_space`` is not known.

    Args:
        model: module that maps uint8 views (b, v, 3, t, s, s) to logits, in the mode (training,
            frozen norms) in which it is to be trained.
        make_optimizer: function that makes an optimizer for the parameters of a model.
        num_clips: views per step on the device.
        num_frames: T.
        crop_size: pixels.
        autocast: type in which convolutions and products are computed; None: that of the weights.
        in_buckets: gradients are kept a second time, as DDP does for their exchange.
        has_average: weights are kept a second time, as a moving average.
    """
    view = (1, 3, num_frames, crop_size, crop_size)
    # Batch norm takes no statistics from a single clip whose map has one position.
    two, three = (saved_bytes(model, (clips, *view), autocast) for clips in (2, 3))
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    weights = _bytes([*model.parameters(), *model.buffers()])
    return TrainingMemory(
        weights=weights,
        gradients=_bytes(learning) * (2 if in_buckets else 1),
        optimizer_state=_optimizer_bytes(model, make_optimizer),
        # Weights cast for autocast are kept once, whatever the batch.
        activations=two + (num_clips - 2) * (three - two),
        views=num_clips * 3 * num_frames * crop_size**2,
        average=weights if has_average else 0,
    )


def saved_bytes(
    model: nn.Module, views: tuple[int, ...], autocast: torch.dtype | None = None
) -> int:
    """Bytes that autograd keeps of a forward pass besides parameters and buffers.

    Tensors that share a storage count once. Shapes and types are followed, nothing is computed.
    ``views`` is the shape of the uint8 input.
    """
    with FakeTensorMode() as fake:
        state: dict[str, Tensor] = {
            name: fake.from_tensor(tensor)
            for name, tensor in [*model.named_parameters(), *model.named_buffers()]
        }
        own = {_storage_key(tensor) for tensor in state.values()}
        kept: dict[int, torch.UntypedStorage] = {}

        def keep(tensor: Tensor) -> Tensor:
            if _storage_key(tensor) not in own:
                # Held, for the key of a storage that is gone may come again.
                kept[_storage_key(tensor)] = tensor.untyped_storage()
            return tensor

        enabled = autocast is not None
        with (
            saved_tensors_hooks(keep, lambda tensor: tensor),
            torch.autocast("cpu", autocast or torch.bfloat16, enabled=enabled),
        ):
            functional_call(model, state, (torch.empty(views, dtype=torch.uint8),))
        return sum(storage.nbytes() for storage in kept.values())


def _storage_key(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _bytes(tensors: list[Tensor] | list[nn.Parameter]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _optimizer_bytes(model: nn.Module, make_optimizer: Callable[[Any], Optimizer]) -> int:
    """Of the state that one step on the meta device makes."""
    model = copy.deepcopy(model).to("meta")
    optimizer = make_optimizer(model)
    for group in optimizer.param_groups:
        group["fused"] = False  # such a step needs a device, and keeps the same state
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.empty_like(parameter)
    optimizer.step()
    return _bytes(
        [
            value
            for state in optimizer.state.values()
            for value in state.values()
            if isinstance(value, Tensor)
        ]
    )
