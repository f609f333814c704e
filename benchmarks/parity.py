"""How closely converted weights agree with the code that they come from.

python benchmarks/parity.py ../shared/data/parity --json parity.json

Compared are files that hold a peer's state dict, an input and what the peer's own code made of it, the
nets of PyTorchVideo's hub at full width, with random parameters and statistics, and, where timm is
installed, its context blocks on inputs so small that the eps of their norm counts. The difference is
the largest one, over the standard deviation of the peer's outputs; the exit code is 1 above 1e-4.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import NamedTuple

import torch
from rich.table import Table
from safetensors import safe_open
from torch import Tensor, nn

from gcvideo._console import Console
from gcvideo.models._head import Head
from gcvideo.weights import NetChoice, WeightsError, convert, convert_context_block

TOLERANCE = 1e-4
# A net of these files was made for crops of 64 pixels.
FILE_POOL_SIZE = 2
HUB_CROPS = (224, 256)


class Agreement(NamedTuple):
    """One net and how far its outputs are from those of its peer."""

    net: str
    found: str
    difference: float


def compare_file(path: Path) -> Agreement:
    """A peer's stored output against the converted net's."""
    with safe_open(path, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    prefix = "state_dict."
    state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    try:
        conversion = convert(state)
    except WeightsError:  # the pairwise function has to be told
        is_dot_product = "slow_nln" in path.stem or "dot_product" in path.stem
        kind = "dot_product" if is_dot_product else "embedded_gaussian"
        conversion = convert(state, NetChoice(non_local_kind=kind))
    net, _ = conversion.build()
    (head,) = (module for module in net.modules() if isinstance(module, Head))
    head.configure(head.mode, FILE_POOL_SIZE)
    logits = _run(net, tensors["input"])
    if "logits" in tensors:
        difference = _difference(logits, tensors["logits"])
    else:
        difference = _difference(logits.softmax(-1), tensors["eval_output_softmax"])
    return Agreement(path.stem, str(conversion.architecture), difference)


def compare_hub() -> Iterator[Agreement]:
    """Nets of PyTorchVideo's hub against ours, with the hub's head."""
    # Not at the top: gcvideo.models keeps quiet a warning that this import gives if it comes first.
    from pytorchvideo.models import hub  # noqa: PLC0415

    for name in ("slow_r50", "i3d_r50", "c2d_r50"):
        torch.manual_seed(0)
        theirs = getattr(hub, name)()
        for tensor in theirs.state_dict().values():
            if tensor.ndim == 1 and tensor.is_floating_point():
                tensor.uniform_(0.5, 1)
        conversion = convert(theirs.state_dict())
        ours, _ = conversion.build()
        for crop in HUB_CROPS:
            clip = torch.randn(1, 3, 8, crop, crop)
            difference = _difference(_run(ours, clip), _run(theirs, clip))
            yield Agreement(f"hub {name}, crop {crop}", str(conversion.architecture), difference)


def compare_timm() -> Iterator[Agreement]:
    """Context blocks of timm against those converted from their weights."""
    global_context = import_module("timm.layers").GlobalContext
    for (add, scale), attention in product(
        ((True, False), (False, True), (True, True)), (True, False)
    ):
        torch.manual_seed(0)
        theirs = global_context(64, use_attn=attention, fuse_add=add, fuse_scale=scale)
        for parameter in theirs.parameters():
            nn.init.normal_(parameter, std=0.1)
        for name, parameter in theirs.named_parameters():
            if ".fc1." in name:
                parameter.detach().mul_(1e-2)
        image = torch.randn(2, 64, 14, 14)
        ours = convert_context_block(theirs.state_dict())
        (eps,) = {norm.eps for norm in ours.modules() if isinstance(norm, nn.LayerNorm)}
        difference = _difference(_run(ours, image), _run(theirs, image))
        name = f"timm GlobalContext, attention {attention}, add {add}, scale {scale}"
        yield Agreement(name, f"context block, eps {eps:g}", difference)


@torch.inference_mode()
def _run(net: nn.Module, clips: Tensor) -> Tensor:
    return net.eval()(clips)


def _difference(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.std())


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare and print; 1 if a net differs by more than the tolerance."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, help="of files with outputs of peers")
    parser.add_argument("--no-hub", action="store_true", help="leave the full nets out")
    parser.add_argument("--json", type=Path, help="file to write the differences to")
    options = parser.parse_args(arguments)
    files = sorted(options.folder.glob("*.safetensors")) if options.folder else []
    found = [compare_file(path) for path in files if not path.stem.startswith("block_")]
    found += [] if options.no_hub else compare_hub()
    found += compare_timm() if find_spec("timm") else []
    table = Table("net", "recognised as", "difference / spread")
    for agreement in found:
        table.add_row(agreement.net, agreement.found, f"{agreement.difference:.1e}")
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps([a._asdict() for a in found], indent=2) + "\n")
    return int(any(not agreement.difference <= TOLERANCE for agreement in found))


if __name__ == "__main__":
    sys.exit(main())
