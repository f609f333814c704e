"""Equality with the outputs of other implementations, stored in files outside the repository."""

import os
from pathlib import Path

import pytest
from safetensors.torch import load_file

from gcvideo.nn import ContextBlock, NonLocalBlock

PROJECT = Path(__file__).resolve().parents[2]
PARITY = Path(os.environ.get("GCVIDEO_DATA", PROJECT.parent / "shared" / "data")) / "parity"


def read(name):
    path = PARITY / f"block_{name}.safetensors"
    if not path.exists():
        pytest.skip(f"no parity file {path}; set GCVIDEO_DATA to the folder that holds parity/")
    tensors = load_file(path)
    prefix = "state_dict."
    state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    return tensors["input"], tensors["output"], state


def load(block, state, renamed):
    """Rename by longest prefix and reshape: 1x1 convolutions become linear layers."""
    shapes = {name: tensor.shape for name, tensor in block.state_dict().items()}
    new = {}
    for name, tensor in state.items():
        old = next(prefix for prefix in renamed if name.startswith(f"{prefix}."))
        target = renamed[old] + name.removeprefix(old)
        new[target] = tensor.reshape(shapes[target])
    block.load_state_dict(new)
    return block.eval()


def assert_parity(actual, expected):
    assert (actual - expected).abs().max() <= 1e-4 * expected.std()


@pytest.mark.parametrize("pooling", ["att", "avg"])
@pytest.mark.parametrize("fusion", ["add", "mul", "mul_add"])
def test_context_block_equals_mmcv(pooling, fusion):
    x, expected, state = read(f"contextblock2d_{pooling}_{fusion}")
    steps = {"0": "reduce", "1": "norm", "3": "expand"}
    renamed = {"conv_mask": "mask"} | {
        f"channel_{f}_conv.{i}": f"{f}_transform.{step}"
        for f in ("add", "mul")
        for i, step in steps.items()
    }
    block = ContextBlock(16, ratio=1 / 4, pooling=pooling, fusion=fusion.split("_"))
    assert_parity(load(block, state, renamed)(x), expected)


@pytest.mark.parametrize("kind", ["gaussian", "embedded_gaussian", "dot_product", "concatenation"])
@pytest.mark.parametrize("sub_sample", ["none", "after"])
def test_non_local_block_equals_mmcv(kind, sub_sample):
    suffix = {"none": "full", "after": "sub"}[sub_sample]
    x, expected, state = read(f"mmcv_nonlocal3d_{kind}_{suffix}")
    renamed = {
        "theta.conv": "theta",
        "phi.0.conv": "phi",
        "phi.conv": "phi",
        "g.0.conv": "g",
        "g.conv": "g",
        "concat_project.conv": "concat",
        "conv_out.conv": "out",
        "conv_out.bn": "norm",
    }
    block = NonLocalBlock(16, kind=kind, sub_sample=sub_sample, output_bias=False)
    assert_parity(load(block, state, renamed)(x), expected)


@pytest.mark.parametrize(
    ("name", "kind"), [("softmax", "embedded_gaussian"), ("dot_product", "dot_product")]
)
def test_non_local_block_equals_pyslowfast(name, kind):
    x, expected, state = read(f"pyslowfast_nonlocal_{name}")
    renamed = {f"conv_{layer}": layer for layer in ("theta", "phi", "g", "out")} | {"bn": "norm"}
    block = NonLocalBlock(16, kind=kind, sub_sample="before")
    assert_parity(load(block, state, renamed)(x), expected)
