"""Grad-CAM: which cells of a layer speak for a class."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from gcvideo.models import ClipClassifier, Head, stages_of


@dataclass(frozen=True, eq=False, kw_only=True)
class GradCam:
    """What speaks for a class, by cell of a layer: weights that are not negative."""

    layer: str
    label: int
    logit: float
    weights: Float[np.ndarray, "t h w"]


@torch.enable_grad()
def grad_cam(
    model: ClipClassifier,
    view: UInt8[Tensor, "3 t h w"],
    *,
    label: int | None = None,
    layer: str | None = None,
) -> GradCam:
    """Grad-CAM of one view.

        L = ReLU(sum_c alpha_c A_c),    alpha_c = mean_thw(dy / dA_c)

    with the output A of a layer and the logit y of a class: a softmax would mix in what speaks
    against the other classes. A head in mode "fcn_prob" ends with one, and is read in mode "fcn_logit".

    Source: Selvaraju et al., Grad-CAM (arXiv:1610.02391), Eq. 1 and 2.
    Differs from the paper: alpha is the mean over time as well as space.

    Args:
        model: net in evaluation mode.
        view: clip, as :func:`gcvideo.data.read_views` gives it.
        label: class; None: the one with the largest logit.
        layer: "res2" to "res5", or the name of a module of the net; None: the last residual stage.
    """
    if model.training:
        raise ValueError("the net is in training mode, where its logits change; call model.eval()")
    name, module = _target_layer(model.net, layer)
    features: list[Tensor] = []

    def keep(module: nn.Module, args: Any, output: Any) -> Tensor:
        if not isinstance(output, Tensor) or output.ndim != 5:
            raise ValueError(
                f"the output of '{name}' is not a feature map over (t, h, w); choose a layer before the "
                "head, such as 'res5'"
            )
        features.append(output.detach().requires_grad_())
        # What follows may work in place, which autograd forbids on a leaf.
        return features[-1].clone()

    handle = module.register_forward_hook(keep)
    try:
        with _logits_from(model.net):
            logits = model(view[None, None].to(model.mean.device))[0, 0]
    finally:
        handle.remove()
    if label is None:
        label = int(logits.argmax())
    if not 0 <= label < len(logits):
        raise ValueError(f"there is no class {label}; the net has 0 to {len(logits) - 1}")
    (gradient,) = torch.autograd.grad(logits[label], features[-1])
    alpha = gradient.mean((2, 3, 4), keepdim=True)
    weights = (alpha * features[-1]).sum(1).relu()[0]
    return GradCam(
        layer=name,
        label=label,
        logit=logits[label].item(),
        weights=weights.detach().float().cpu().numpy(),
    )


def _target_layer(net: nn.Module, layer: str | None) -> tuple[str, nn.Module]:
    stages: dict[str, nn.Module] = {str(name): stage for name, stage in stages_of(net).items()}
    name = list(stages)[-1] if layer is None else layer
    modules = dict(net.named_modules()) | stages
    if name not in modules:
        raise ValueError(
            f"no layer is called '{name}'; choose one of {', '.join(stages)} or a module of the net, "
            "such as 'blocks.3.res_blocks.0'"
        )
    return name, modules[name]


@contextmanager
def _logits_from(net: nn.Module) -> Iterator[None]:
    heads = [m for m in net.modules() if isinstance(m, Head) and m.mode == "fcn_prob"]
    for head in heads:
        head.configure("fcn_logit", head.pool_size)
    try:
        yield
    finally:
        for head in heads:
            head.configure("fcn_prob", head.pool_size)
