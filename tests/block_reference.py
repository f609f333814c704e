"""Loop-and-einsum references of the blocks, written from the equations.

They take a block's state dict and float64 input; nothing here imports gcvideo.
"""

import itertools
import math

import torch

LAYOUTS = {
    "contiguous": torch.Tensor.contiguous,
    "channels_last": lambda x: x.transpose(1, 2).contiguous().transpose(1, 2),
}


def groups(grid, axes):
    """Lists of grid indices that are pooled or attended over together."""
    positions = list(itertools.product(*map(range, grid)))
    if axes == "thw":
        return [positions]
    shared = (lambda i: i[0]) if axes == "hw" else (lambda i: i[1:])
    keys = sorted({shared(i) for i in positions})
    return [[i for i in positions if shared(i) == key] for key in keys]


def rows(x, group):
    return torch.stack([x[(slice(None), *i)] for i in group])  # (p, c)


def pooling_weights(features, state):
    if "mask.weight" not in state:
        return torch.full((len(features),), 1 / len(features), dtype=torch.float64)
    e = [math.exp(state["mask.weight"][0] @ f + state["mask.bias"][0]) for f in features]
    return torch.tensor([value / sum(e) for value in e], dtype=torch.float64)


def transform(c, state, prefix, activation, eps):
    if f"{prefix}.reduce.weight" in state:
        c = state[f"{prefix}.reduce.weight"] @ c + state[f"{prefix}.reduce.bias"]
    if f"{prefix}.norm.weight" in state:
        variance = (c - c.mean()).square().mean()
        c = (c - c.mean()) / (variance + eps).sqrt()
        c = c * state[f"{prefix}.norm.weight"] + state[f"{prefix}.norm.bias"]
    if activation:
        c = c.clamp(min=0)
    return state[f"{prefix}.expand.weight"] @ c + state[f"{prefix}.expand.bias"]


def context_block(x, state, axes, *, activation=True, mul_scale=1.0, eps=1e-5):
    z = x.clone()
    for b, group in itertools.product(range(len(x)), groups(x.shape[2:], axes)):
        features = rows(x[b], group)
        context = torch.einsum("p,pc->c", pooling_weights(features, state), features)
        for i in group:
            at = (b, slice(None), *i)
            if "mul_transform.expand.weight" in state:
                t = transform(context, state, "mul_transform", activation, eps)
                z[at] = z[at] * mul_scale / (1 + (-t).exp())
            if "add_transform.expand.weight" in state:
                z[at] = z[at] + transform(context, state, "add_transform", activation, eps)
    return z


def project(x, state, name):
    if f"{name}.weight" not in state:
        return x
    y = torch.einsum("dc,bc...->bd...", state[f"{name}.weight"], x)
    return y + state[f"{name}.bias"].reshape(1, -1, *[1] * (x.ndim - 2))


def max_pool(x):
    h, w = x.shape[-2] // 2 * 2, x.shape[-1] // 2 * 2
    corners = [x[..., i:h:2, j:w:2] for i in (0, 1) for j in (0, 1)]
    return torch.stack(corners).amax(0)


def pairwise(theta, phi, state, kind, scale):
    f = torch.zeros(len(theta), len(phi), dtype=torch.float64)
    for i, j in itertools.product(range(len(theta)), range(len(phi))):
        if kind == "concatenation":
            joined = torch.cat([theta[i], phi[j]])
            f[i, j] = max(0.0, float(state["concat.weight"][0] @ joined)) / len(phi)
        elif kind == "dot_product":
            f[i, j] = theta[i] @ phi[j] / len(phi)
        else:
            f[i, j] = math.exp(scale * theta[i] @ phi[j])
    return f / f.sum(1, keepdim=True) if "gaussian" in kind else f


def non_local_block(x, state, kind, axes, sub_sample, scale):
    keys = max_pool(x) if sub_sample == "before" else x
    theta, phi, g = (
        project(x, state, "theta"),
        project(keys, state, "phi"),
        project(keys, state, "g"),
    )
    if sub_sample == "after":
        phi, g = max_pool(phi), max_pool(g)
    y = torch.zeros_like(g[:, :, :1]).new_zeros(len(x), g.shape[1], *x.shape[2:])
    pairs = list(zip(groups(x.shape[2:], axes), groups(g.shape[2:], axes), strict=True))
    for b, (queries, sources) in itertools.product(range(len(x)), pairs):
        a = pairwise(rows(theta[b], queries), rows(phi[b], sources), state, kind, scale)
        received = torch.einsum("pk,kd->pd", a, rows(g[b], sources))
        for i, row in zip(queries, received, strict=True):
            y[(b, slice(None), *i)] = row
    out = project(y, state, "out")
    if "norm.weight" in state:
        shape = (1, -1, *[1] * (x.ndim - 2))
        mean, var = (state[f"norm.running_{name}"].reshape(shape) for name in ("mean", "var"))
        out = (out - mean) / (var + 1e-5).sqrt()
        out = out * state["norm.weight"].reshape(shape) + state["norm.bias"].reshape(shape)
    return x + out


def criss_cross_block(x, state, recurrence):
    positions = list(itertools.product(*map(range, x.shape[2:])))
    for _ in range(recurrence):
        query, key, value = (project(x, state, name) for name in ("query", "key", "value"))
        z = x.clone()
        for b, i in itertools.product(range(len(x)), positions):
            line = [j for j in positions if sum(m != n for m, n in zip(i, j, strict=True)) <= 1]
            scores = rows(key[b], line) @ query[(b, slice(None), *i)]
            weights = scores.exp() / scores.exp().sum()
            z[(b, slice(None), *i)] += state["gamma"] * (weights @ rows(value[b], line))
        x = z
    return x
