"""Names, shapes and habits of the nets of other code bases; nothing here imports gcvideo."""

from dataclasses import dataclass, field, replace

import torch

NORM = (".weight", ".bias", ".running_mean", ".running_var")
SLOW = ((1,), (1,), (1,), (3,), (3,))
I3D = ((5,), (3,), (3, 1), (3, 1), (1, 3))
C2D = ((1,), (1,), (1,), (1,), (1,))
FIVE = {3: (1, 3), 4: (1, 3, 5)}
EVEN = {3: (0, 2), 4: (0, 2, 4)}


@dataclass(frozen=True, kw_only=True)
class Names:
    """How a code base names the parts of a net: r stage, l stage - 1, i block, k place in the net."""

    stem: tuple[str, str]
    block: str
    convs: tuple[str, str, str]
    norms: tuple[str, str, str]
    shortcut: tuple[str, str]
    head: str
    inserted: str = ""
    layers: dict[str, str] = field(default_factory=dict)
    weight: tuple[str, str] = (".weight", ".bias")
    norm: tuple[str, ...] = NORM
    counter: str | None = ".num_batches_tracked"


PYTORCHVIDEO = Names(
    stem=("blocks.0.conv", "blocks.0.norm"),
    block="blocks.{k}.res_blocks.{i}.",
    convs=("branch2.conv_a", "branch2.conv_b", "branch2.conv_c"),
    norms=("branch2.norm_a", "branch2.norm_b", "branch2.norm_c"),
    shortcut=("branch1_conv", "branch1_norm"),
    head="blocks.{k}.proj",
)
PYSLOWFAST = Names(
    stem=("s1.pathway0_stem.conv", "s1.pathway0_stem.bn"),
    block="s{r}.pathway0_res{i}.",
    convs=("branch2.a", "branch2.b", "branch2.c"),
    norms=("branch2.a_bn", "branch2.b_bn", "branch2.c_bn"),
    shortcut=("branch1", "branch1_bn"),
    head="head.projection",
    inserted="s{r}.pathway0_nonlocal{i}.",
    layers={x: f"conv_{x}" for x in ("theta", "phi", "g", "out")} | {"norm": "bn"},
)
CAFFE2 = Names(
    stem=("conv1", "res_conv1_bn"),
    block="res{r}_{i}_",
    convs=("branch2a", "branch2b", "branch2c"),
    norms=("branch2a_bn", "branch2b_bn", "branch2c_bn"),
    shortcut=("branch1", "branch1_bn"),
    head="pred",
    inserted="nonlocal_conv{r}_{i}_",
    layers={x: x for x in ("theta", "phi", "g", "out")} | {"norm": "bn"},
    weight=("_w", "_b"),
    norm=("_s", "_b", "_rm", "_riv"),
    counter=None,
)
MMACTION2 = Names(
    stem=("backbone.conv1.conv", "backbone.conv1.bn"),
    block="backbone.layer{l}.{i}.",
    convs=("conv1.conv", "conv2.conv", "conv3.conv"),
    norms=("conv1.bn", "conv2.bn", "conv3.bn"),
    shortcut=("downsample.conv", "downsample.bn"),
    head="cls_head.fc_cls",
    inserted="backbone.layer{l}.{i}.non_local_block.",
    layers={
        "theta": "theta.conv",
        "phi": "phi.0.conv",
        "g": "g.0.conv",
        "out": "conv_out.conv",
        "norm": "conv_out.bn",
    },
)
MMACTION2_FULL = replace(  # without a pool behind phi and g
    MMACTION2, layers=MMACTION2.layers | {"phi": "phi.conv", "g": "g.conv"}
)
TORCHVISION = Names(
    stem=("conv1", "bn1"),
    block="layer{l}.{i}.",
    convs=("conv1", "conv2", "conv3"),
    norms=("bn1", "bn2", "bn3"),
    shortcut=("downsample.0", "downsample.1"),
    head="fc",
)
MMDETECTION = replace(
    TORCHVISION,
    stem=("backbone.conv1", "backbone.bn1"),
    block="backbone.layer{l}.{i}.",
    head="",
    inserted="backbone.layer{l}.{i}.context_block.",
)


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A net of a code base: its names and what they do not say."""

    names: Names
    kernels: tuple[tuple[int, ...], ...]
    inserted: dict[int, tuple[int, ...]] = field(default_factory=dict)
    kind: str = "embedded_gaussian"
    scale: bool = True
    key_pool: str = "before"
    output_bias: bool = True
    stem_pool_padding: int = 1
    temporal_stride: int = 1
    temporal_pool: bool = False
    flat: bool = False
    inflation: str = "mean"
    output: str = "pooled"
    depths: tuple[int, ...] = (3, 4, 6, 3)
    width: int = 4
    num_classes: int = 7

    @property
    def blocks(self):
        """Stage, index, place in the net and length of the first kernel of each residual block."""
        return [
            (r, i, r - 1 + (self.temporal_pool and r > 2), self.kernels[r - 1][i % len(pattern)])
            for r, (count, pattern) in enumerate(zip(self.depths, self.kernels[1:], strict=True), 2)
            for i in range(count)
        ]

    @property
    def head(self):
        return self.names.head.format(k=5 + self.temporal_pool)


class _Draws:
    """Tensors by name; no value is one with which a mistake would not show."""

    def __init__(self, peer, seed):
        self.peer, self.names, self.state = peer, peer.names, {}
        self.generator = torch.Generator().manual_seed(seed)

    def weight(self, name, *shape, gain=2.0):
        values = torch.randn(shape, generator=self.generator)
        fan_in = torch.Size(shape[1:]).numel()
        self.state[name + self.names.weight[0]] = values * (gain / fan_in) ** 0.5

    def uniform(self, name, *shape, low=-0.3, high=0.3):
        self.state[name] = torch.empty(shape).uniform_(low, high, generator=self.generator)

    def norm(self, name, channels, *, low=0.5, high=1.0):
        gamma, beta, mean, variance = (name + leaf for leaf in self.names.norm)
        self.uniform(gamma, channels, low=low, high=high)
        self.uniform(beta, channels)
        self.uniform(mean, channels)
        self.uniform(variance, channels, low=0.5, high=1.0)
        if self.names.counter:
            self.state[name + self.names.counter] = torch.tensor(3)

    def conv(self, name, outputs, inputs, frames, size):
        frames = () if self.peer.flat else (frames,)
        self.weight(name, outputs, inputs, *frames, size, size)

    def residual_block(self, prefix, inputs, inner, outputs, frames):
        shapes = ((inner, inputs, frames, 1), (inner, inner, 1, 3), (outputs, inner, 1, 1))
        # Small last gammas: the sums of all blocks stay in the range where numbers have their digits.
        lasts = ({}, {}, {"low": 0.1, "high": 0.4})
        for name, norm, shape, last in zip(
            self.names.convs, self.names.norms, shapes, lasts, strict=True
        ):
            self.conv(prefix + name, *shape)
            self.norm(prefix + norm, shape[0], **last)

    def non_local(self, prefix, channels):
        layers, inner = self.names.layers, channels // 2
        shapes = {"g": (inner, channels), "out": (channels, inner)}
        if self.peer.kind != "gaussian":
            shapes |= {"theta": (inner, channels), "phi": (inner, channels)}
        for layer, shape in shapes.items():
            self.weight(prefix + layers[layer], *shape, 1, 1, 1, gain=0.1)
            if layer != "out" or self.peer.output_bias:
                self.uniform(prefix + layers[layer] + self.names.weight[1], shape[0])
        self.norm(prefix + layers["norm"], channels)

    def context_block(self, prefix, channels):
        inner = channels // 4
        shapes = {
            "conv_mask": (1, channels),
            "channel_add_conv.0": (inner, channels),
            "channel_add_conv.3": (channels, inner),
        }
        for layer, shape in shapes.items():
            self.weight(prefix + layer, *shape, 1, 1)
            self.uniform(f"{prefix}{layer}.bias", shape[0])
        self.uniform(f"{prefix}channel_add_conv.1.weight", inner, 1, 1, low=0.5, high=1.0)
        self.uniform(f"{prefix}channel_add_conv.1.bias", inner, 1, 1)


def random_state(peer, seed=0):
    """A state dict with the names and shapes of the peer."""
    draws, names, inputs = _Draws(peer, seed), peer.names, peer.width
    draws.conv(names.stem[0], peer.width, 3, peer.kernels[0][0], 7)
    draws.norm(names.stem[1], peer.width)
    for r, i, k, frames in peer.blocks:
        inner, outputs = peer.width * 2 ** (r - 2), peer.width * 2**r
        prefix = names.block.format(r=r, l=r - 1, i=i, k=k)
        draws.residual_block(prefix, inputs, inner, outputs, frames)
        if i == 0:
            draws.conv(prefix + names.shortcut[0], outputs, inputs, 1, 1)
            draws.norm(prefix + names.shortcut[1], outputs)
        if i in peer.inserted.get(r, ()):
            insert = draws.context_block if peer.flat else draws.non_local
            insert(names.inserted.format(r=r, l=r - 1, i=i), outputs)
        inputs = outputs
    if names.head:
        draws.weight(peer.head, peer.num_classes, inputs)
        draws.uniform(peer.head + names.weight[1], peer.num_classes)
    return draws.state
