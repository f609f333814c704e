"""The transform of a context block: what a context vector passes through before the fusion."""

from jaxtyping import Float
from torch import Tensor, nn


def bottleneck_width(in_channels: int, ratio: float, *, norm: bool = False) -> int:
    """Channels inside a bottleneck, the integer part of ``in_channels * ratio``."""
    # 49 * (1 / 49) is just below 1 in floating point; the integer part must not fall to 0 there.
    planes = int(in_channels * ratio + 1e-6)
    needed = 2 if norm else 1
    if planes < needed:
        constant = ", and the LayerNorm of one number is a constant whatever the input" * planes
        raise ValueError(
            f"ratio {ratio:.4g} of {in_channels} channels leaves {planes or 'no'} channel in the "
            f"bottleneck{constant}; the smallest ratio that leaves {'two' if norm else 'one'} is "
            f"{needed}/{in_channels} = {needed / in_channels:.4g}"
            f"{'; norm=False needs one' if norm else ''}"
        )
    return planes


class Transform(nn.Module):
    """Bottleneck or single linear layer on context vectors, zero at the start.

        t = W_v2 ReLU(LN(W_v1 c))    or, with ratio None,    t = W_v c

    The last layer starts at zero (weight and bias), as in the authors' code.

    Source: Cao et al., GCNet (arXiv:1904.11492), Eq. 5 and Eq. 3; W_v1 = ``reduce``,
    W_v2 = W_v = ``expand``.
    Differs from the reference code: linear layers on vectors instead of 1x1 convolutions (same
    function).
    """

    def __init__(
        self,
        in_channels: int,
        *,
        ratio: float | None = 1 / 4,
        norm: bool = True,
        activation: bool = True,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        if not eps > 0:
            raise ValueError(f"eps is {eps}; it must be positive, as 1e-5 in the published code")
        planes = in_channels if ratio is None else bottleneck_width(in_channels, ratio, norm=norm)
        linear = ratio is None
        self.reduce = nn.Identity() if linear else nn.Linear(in_channels, planes)
        self.norm = nn.LayerNorm(planes, eps=eps) if norm and not linear else nn.Identity()
        self.activation = nn.ReLU() if activation and not linear else nn.Identity()
        self.expand = nn.Linear(planes, in_channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Default initialisation, and zero for the last layer."""
        if isinstance(self.reduce, nn.Linear):
            self.reduce.reset_parameters()
        if isinstance(self.norm, nn.LayerNorm):
            self.norm.reset_parameters()
        nn.init.zeros_(self.expand.weight)
        nn.init.zeros_(self.expand.bias)

    def forward(self, context: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        return self.expand(self.activation(self.norm(self.reduce(context))))
