"""Grad-CAM: the cells of a layer that support a class."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from gcvideo.models import ClipClassifier, Head, stages_of


@dataclass(frozen=True, eq=False, kw_only=True)
class GradCam:
    """How much each cell of a layer supports a class: weights that are not negative."""

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

    with the output A of a layer and the logit y of a class, by default the one with the largest logit. A
    softmax would add the evidence against other classes, so a head in mode "fcn_prob", which ends with
    one, is set to "fcn_logit". A layer is "res2" to "res5" (the default), or a module of the net.

    Source: Selvaraju et al., Grad-CAM (arXiv:1610.02391), Eq. 1 and 2.
    Differs from the paper: alpha is the mean over time as well as space.
    """
    if model.training:
        raise ValueError("the net is in training mode, where its logits change; call model.eval()")
    stages: dict[str, nn.Module] = {
        str(name): stage for name, stage in stages_of(model.net).items()
    }
    name = list(stages)[-1] if layer is None else layer
    modules = dict(model.net.named_modules()) | stages
    if name not in modules:
        raise ValueError(
            f"no layer is called '{name}'; choose one of {', '.join(stages)} or a module of the net, "
            "such as 'blocks.3.res_blocks.0'"
        )
    features: list[Tensor] = []

    def keep(module: nn.Module, args: Any, output: Any) -> Tensor:
        if not isinstance(output, Tensor) or output.ndim != 5:
            raise ValueError(
                f"the output of '{name}' is not a feature map over (t, h, w); choose a layer before the "
                "head, such as 'res5'"
            )
        features.append(output.detach().requires_grad_())
        # The next module may work in place, which autograd forbids on a leaf.
        return features[-1].clone()

    heads = [m for m in model.modules() if isinstance(m, Head) and m.mode == "fcn_prob"]
    handle = modules[name].register_forward_hook(keep)
    try:
        for head in heads:
            head.configure("fcn_logit", head.pool_size)
        logits = model(view[None, None].to(model.mean.device))[0, 0]
    finally:
        handle.remove()
        for head in heads:
            head.configure("fcn_prob", head.pool_size)
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
