"""Nets that other code bases have published, each with what must be told beside its weights."""

import torch
from peer_layout import (
    C2D,
    CAFFE2,
    EVEN,
    FIVE,
    I3D,
    MMACTION2,
    MMACTION2_FULL,
    PYSLOWFAST,
    PYTORCHVIDEO,
    SLOW,
    Peer,
)

HUB = {"names": PYTORCHVIDEO, "output": "logits"}
PYSF = {"names": PYSLOWFAST, "output": "probabilities"}
BLOBS = {"names": CAFFE2, "output": "probabilities", "stem_pool_padding": 0}
MMCV = {"names": MMACTION2, "key_pool": "after", "output_bias": False}
FULL = {"names": MMACTION2_FULL, "key_pool": "none", "output_bias": False}
POOL = {"temporal_pool": True}
FAST = {"temporal_stride": 2, "temporal_pool": True, "scale": False}
SOFTMAX = {"non_local_kind": "embedded_gaussian"}
DOT = {"non_local_kind": "dot_product"}
SHORT_I3D = ((5,), (3, 3, 1), (3, 1, 1, 1), (3, 1, 3, 1, 1, 1), (1, 1, 1))

# What the names, the shapes and the habits of the code base do not tell is told.
PEERS = {
    "pytorchvideo slow": (Peer(**HUB, kernels=SLOW), {}),
    "pytorchvideo i3d": (Peer(**HUB, **POOL, kernels=I3D), {}),
    "pytorchvideo c2d": (Peer(**HUB, **POOL, kernels=C2D), {}),
    "pyslowfast slow": (Peer(**PYSF, kernels=SLOW), {}),
    "pyslowfast slow nl": (Peer(**PYSF, kernels=SLOW, inserted=FIVE, kind="dot_product"), DOT),
    "pyslowfast slow nl everywhere": (
        Peer(**PYSF, kernels=SLOW, inserted={2: (2,), 4: range(6), 5: (0,)}),
        SOFTMAX,
    ),
    "pyslowfast slow nl without pooling": (
        Peer(**PYSF, kernels=SLOW, inserted=FIVE, key_pool="none"),
        SOFTMAX | {"non_local_pool": "none"},
    ),
    "pyslowfast i3d": (Peer(**PYSF, **POOL, kernels=I3D), {}),
    "pyslowfast i3d nl": (Peer(**PYSF, **POOL, kernels=I3D, inserted=FIVE), SOFTMAX),
    "pyslowfast i3d with few temporal kernels": (Peer(**PYSF, **POOL, kernels=SHORT_I3D), {}),
    "pyslowfast slow_i3d": (Peer(**PYSF, kernels=I3D), {"temporal_pool": False}),
    "pyslowfast c2d": (Peer(**PYSF, **POOL, kernels=C2D), {}),
    "pyslowfast c2d nl": (Peer(**PYSF, **POOL, kernels=C2D, inserted=FIVE), SOFTMAX),
    "pyslowfast slow_c2d": (Peer(**PYSF, kernels=C2D), {"temporal_pool": False}),
    "pyslowfast r101": (
        Peer(**PYSF, kernels=SLOW, depths=(3, 4, 23, 3), inserted={4: (6, 13, 20)}),
        SOFTMAX,
    ),
    "caffe2 slow": (Peer(**BLOBS, kernels=SLOW), {}),
    "caffe2 i3d nl": (Peer(**BLOBS, **POOL, kernels=I3D, inserted=FIVE), SOFTMAX),
    "caffe2 c2d nopool": (Peer(**BLOBS, kernels=C2D), {"temporal_pool": False}),
    "mmaction2 slowonly": (Peer(**MMCV, kernels=SLOW), {}),
    "mmaction2 slowonly nl": (Peer(**MMCV, kernels=SLOW, inserted=EVEN), SOFTMAX),
    "mmaction2 slowonly nl without scale": (
        Peer(**MMCV, kernels=SLOW, inserted=EVEN, scale=False),
        SOFTMAX | {"non_local_scale": False},
    ),
    "mmaction2 slowonly without inflation": (Peer(**MMCV, kernels=C2D), {}),
    "mmaction2 i3d": (Peer(**MMCV, **FAST, kernels=I3D), {}),
    "mmaction2 i3d nl embedded": (Peer(**MMCV, **FAST, kernels=I3D, inserted=FIVE), SOFTMAX),
    "mmaction2 i3d nl embedded, all keys": (
        Peer(**FULL, **FAST, kernels=I3D, inserted=FIVE),
        SOFTMAX,
    ),
    "mmaction2 i3d nl dot": (
        Peer(**MMCV, **FAST, kernels=I3D, inserted=FIVE, kind="dot_product"),
        DOT,
    ),
    "mmaction2 i3d nl gaussian": (
        Peer(**MMCV, **FAST, kernels=I3D, inserted=FIVE, kind="gaussian"),
        {},
    ),
    "mmaction2 i3d heavy": (
        Peer(**MMCV, **POOL, kernels=((5,), (3,), (3,), (3,), (3,))),
        {"temporal_stride": 1},
    ),
    "mmaction2 c2d": (Peer(**MMCV, **POOL, kernels=C2D, flat=True, stem_pool_padding=0), {}),
    "mmaction2 c2d nopool": (
        Peer(**MMCV, kernels=C2D, flat=True),
        {"temporal_pool": False, "stem_pool_padding": 1},
    ),
}


def clips(frames=8, size=64):
    return torch.randn(2, 3, frames, size, size)


def assert_equal(actual, expected):
    assert expected.std() > 1e-3
    assert (actual - expected).abs().max() <= 1e-4 * expected.std()


def net_scores(net, x, output):
    """Scores of one of our nets in the form in which the peer gives them."""
    head = net.blocks[-1]
    head.configure(head.mode, pool_size=2)
    with torch.no_grad():
        logits = net.eval()(x)
    return logits.softmax(dim=-1) if output == "probabilities" else logits
