"""What the nets of other code bases compute, from their conventions with torch's functions alone.

State dicts have the code bases' own names (``peer_layout``); nothing here imports gcvideo.
"""

import torch
import torch.nn.functional as F


def convolve(state, peer, name, x, *, frames=1, stride=(1, 1, 1)):
    """Convolution that keeps the size but for its stride; image kernels get ``frames`` in time."""
    kernel = state[name + peer.names.weight[0]]
    if kernel.ndim == 4:
        kernel = kernel.unsqueeze(2)
        if peer.inflation == "mean":
            kernel = kernel.repeat(1, 1, frames, 1, 1) / frames
        else:
            kernel = F.pad(kernel, (0, 0, 0, 0, frames // 2, frames // 2))
    bias = state.get(name + peer.names.weight[1])
    return F.conv3d(x, kernel, bias, stride, [size // 2 for size in kernel.shape[2:]])


def normalise(state, peer, name, x):
    weight, bias, mean, variance = (state[name + leaf] for leaf in peer.names.norm)
    return F.batch_norm(x, mean, variance, weight, bias, eps=1e-5)


def non_local(state, peer, prefix, x):
    layers = peer.names.layers

    def embed(layer, source, *, pooled):
        if pooled and peer.key_pool == "before":
            source = F.max_pool3d(source, (1, 2, 2))
        if layer == "g" or peer.kind != "gaussian":
            source = convolve(state, peer, prefix + layers[layer], source)
        if pooled and peer.key_pool == "after":
            source = F.max_pool3d(source, (1, 2, 2))
        return source.flatten(2)

    theta = embed("theta", x, pooled=False)
    phi, g = embed("phi", x, pooled=True), embed("g", x, pooled=True)
    weights = torch.einsum("bcq,bck->bqk", theta, phi)
    if peer.kind == "dot_product":
        weights = weights / weights.shape[2]
    else:
        weights = (weights * (theta.shape[1] ** -0.5 if peer.scale else 1)).softmax(dim=2)
    y = torch.einsum("bqk,bck->bcq", weights, g).unflatten(2, x.shape[2:])
    y = convolve(state, peer, prefix + layers["out"], y)
    return x + normalise(state, peer, prefix + layers["norm"], y)


def context_block(state, peer, prefix, x):
    weights = convolve(state, peer, prefix + "conv_mask", x).flatten(2).softmax(dim=2)  # (b, 1, p)
    context = (x.flatten(2) * weights).sum(dim=2)[:, :, None, None, None]
    hidden = convolve(state, peer, prefix + "channel_add_conv.0", context)
    gamma, beta = (state[f"{prefix}channel_add_conv.1{leaf}"] for leaf in (".weight", ".bias"))
    hidden = F.layer_norm(hidden.flatten(1), gamma.flatten().shape, gamma.flatten(), beta.flatten())
    hidden = hidden.relu()[:, :, None, None, None]
    return x + convolve(state, peer, prefix + "channel_add_conv.3", hidden)


def residual_block(state, peer, x, r, i, k, frames):
    names = peer.names
    prefix = names.block.format(r=r, l=r - 1, i=i, k=k)
    inserted = names.inserted.format(r=r, l=r - 1, i=i) if i in peer.inserted.get(r, ()) else None
    stride = (1, 2, 2) if i == 0 and r > 2 else (1, 1, 1)
    y = x
    for name, norm, length, step, last in zip(
        names.convs,
        names.norms,
        (frames, 1, 1),
        ((1, 1, 1), stride, (1, 1, 1)),
        (False, False, True),
        strict=True,
    ):
        y = convolve(state, peer, prefix + name, y, frames=length, stride=step)
        y = normalise(state, peer, prefix + norm, y)
        y = y if last else y.relu()
    if inserted and peer.flat:
        y = context_block(state, peer, inserted, y)
    if i == 0:
        x = convolve(state, peer, prefix + names.shortcut[0], x, stride=stride)
        x = normalise(state, peer, prefix + names.shortcut[1], x)
    y = (x + y).relu()
    return non_local(state, peer, inserted, y) if inserted and not peer.flat else y


def features(state, x, peer):
    """The last feature map."""
    step, padding = peer.temporal_stride, peer.stem_pool_padding
    x = convolve(state, peer, peer.names.stem[0], x, frames=peer.kernels[0][0], stride=(step, 2, 2))
    x = normalise(state, peer, peer.names.stem[1], x).relu()
    x = F.max_pool3d(x, (1, 3, 3), (step, 2, 2), (0, padding, padding))
    for r, i, k, frames in peer.blocks:
        if peer.temporal_pool and (r, i) == (3, 0):
            x = F.max_pool3d(x, (2, 1, 1))
        x = residual_block(state, peer, x, r, i, k, frames)
    return x


def scores(state, x, peer, window=2):
    """Logits, or the probabilities that a peer with ``output="probabilities"`` gives in evaluation."""
    f = features(state, x, peer)
    weight, bias = (state[peer.head + leaf] for leaf in peer.names.weight)
    if peer.output == "pooled":  # mmaction2
        return F.linear(f.mean(dim=(2, 3, 4)), weight, bias)
    pooled = F.avg_pool3d(f, (f.shape[2], window, window), stride=1)
    logits = F.linear(pooled.movedim(1, -1), weight.flatten(1), bias)
    if peer.output == "probabilities":  # PySlowFast
        logits = logits.softmax(dim=-1)
    return logits.mean(dim=(1, 2, 3))
