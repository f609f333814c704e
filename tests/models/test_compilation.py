"""Tests of compilation. They run in a process without the checker of annotations: as this script."""

import copy
import functools
import itertools
import json
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounter

from gcvideo.models import ClipClassifier, Placement, count_cost, i3d_resnet, slow_resnet, stages_of
from gcvideo.models._activation_checkpoint import checkpoint_activations
from gcvideo.models._compilation import compile_net
from gcvideo.nn import (
    CrissCrossBlock,
    NonLocalBlock,
    global_context,
    simplified_non_local,
    squeeze_excitation,
)

NON_LOCAL_KINDS = ["gaussian", "embedded_gaussian", "dot_product", "concatenation"]
BLOCKS = [
    functools.partial(global_context, ratio=1 / 4),
    squeeze_excitation,
    simplified_non_local,
    CrissCrossBlock,
    *(functools.partial(NonLocalBlock, kind=kind) for kind in NON_LOCAL_KINDS),
]


def run(task):
    command = [sys.executable, __file__, task]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_a_net_with_blocks_is_one_graph_in_each_mode_and_computes_the_same():
    found = run("graphs")
    assert found["training graphs"] == [1, 1, 1]
    assert found["validation graphs"] == [2, 2, 2]
    assert found["losses"] == pytest.approx(found["losses of the net"], rel=1e-4)
    assert found["same keys"]
    assert found["same cost"]
    # A block of one's own that cannot be followed is refused, or left as it is.
    assert "torch._dynamo.graph_break" in found["error with fullgraph"]
    assert found["output without"] == pytest.approx(found["output of the net"], rel=1e-5)


@pytest.mark.slow
def test_a_net_with_blocks_of_all_kinds_is_one_graph_in_each_mode():
    found = run("all blocks")
    assert found["training graphs"] == [1, 1, 1]
    assert found["validation graphs"] == [2, 2, 2]
    assert found["losses"] == pytest.approx(found["losses of the net"], rel=1e-4)


@pytest.mark.slow
def test_each_crop_is_a_graph_of_its_own():
    assert run("crops")["graphs"] == [1, 1, 2, 3, 3]


@pytest.mark.slow
def test_a_net_compiled_by_inductor_has_the_losses_of_the_net():
    found = run("inductor")
    assert found["losses"] == pytest.approx(found["losses of the net"], rel=1e-4)
    assert found["validation"] == pytest.approx(found["validation of the net"], rel=1e-4)


def test_compilation_with_recomputation_is_refused():
    net = slow_resnet(num_classes=3, width=4)
    checkpoint_activations(net)
    with pytest.raises(ValueError, match="compile is true and so is activation_checkpointing"):
        compile_net(net)


def short_net(blocks):
    """An I3D with few residual blocks per stage and the given blocks in turn."""
    cycle, length = itertools.cycle(blocks), -(-len(blocks) // 4)
    kept = list(range(length))
    placement = Placement(
        block=lambda channels: next(cycle)(channels), res2=kept, res3=kept, res4=kept, res5=kept
    )
    net = i3d_resnet(num_classes=3, width=4, dropout=0.0, placement=placement)
    for stage in stages_of(net).values():
        stage.res_blocks = stage.res_blocks[:length]
    for parameter in net.parameters():
        if not parameter.any():  # what would hide a block
            nn.init.normal_(parameter, std=0.1)
    return net


def views(num_videos, num_views, size=64):
    source = torch.Generator().manual_seed(num_videos)
    shape = (num_videos, num_views, 3, 4, size, size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=source)


def classifier(net):
    return ClipClassifier(net, mean=[0.45] * 3, std=[0.225] * 3)


def losses(model, batches, after=lambda: None):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    found = []
    for batch in batches:
        loss = model(batch).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
        after()
    return found


def graphs(blocks=(BLOCKS[0], BLOCKS[5])):
    net = short_net(blocks)
    model = classifier(net)
    translated = copy.deepcopy(model)
    counter = CompileCounter()
    compile_net(translated.net, backend=counter, fullgraph=True)
    training, validation = [], []
    batches = [views(4, 1), views(4, 1), views(3, 1)]
    result = {
        "losses of the net": losses(model, batches),
        "losses": losses(translated, batches, lambda: training.append(counter.frame_count)),
        "training graphs": training,
        "same keys": list(translated.net.state_dict()) == list(net.state_dict()),
    }
    translated.eval()
    with torch.inference_mode():
        for batch in (views(3, 2), views(2, 2), views(3, 2)):
            translated(batch)
            validation.append(counter.frame_count)
    result["validation graphs"] = validation
    result["same cost"] = count_cost(translated.net, 4, 64) == count_cost(model.net, 4, 64)
    return result | with_a_graph_break()


def all_blocks():
    return graphs(BLOCKS)


class Unfollowed(nn.Module):
    def __init__(self, channels):
        super().__init__()

    def forward(self, x):
        torch._dynamo.graph_break()
        return 2 * x


def with_a_graph_break():
    net = short_net([Unfollowed]).eval()
    clips = views(2, 1)[:, 0].float()
    result = {"output of the net": net(clips).flatten().tolist()}
    compile_net(net, backend="eager", fullgraph=True)
    try:
        net(clips)
    except torch._dynamo.exc.Unsupported as error:
        result["error with fullgraph"] = str(error)
    torch.compiler.reset()
    compile_net(net, backend="eager")
    return result | {"output without": net(clips).flatten().tolist()}


def crops():
    model = classifier(short_net([lambda channels: nn.Identity()])).eval()
    counter, found = CompileCounter(), []
    compile_net(model.net, backend=counter, fullgraph=True)
    with torch.inference_mode():
        for num_videos, size in ((2, 32), (3, 32), (2, 48), (2, 64), (3, 48)):
            model(views(num_videos, 1, size))
            found.append(counter.frame_count)
    return {"graphs": found}


def inductor():
    net = short_net(BLOCKS[:1] + BLOCKS[5:6])
    for name in ("res4", "res5"):  # each would take half a minute more to translate
        stages_of(net)[name].res_blocks = nn.ModuleList()
    net.blocks[-1].proj = nn.Linear(32, 3)
    model = classifier(net)
    translated = copy.deepcopy(model)
    compile_net(translated.net, fullgraph=True)
    batches = [views(3, 1), views(3, 1), views(2, 1)]
    result = {
        "losses of the net": losses(model, batches),
        "losses": losses(translated, batches),
    }
    for name, other in (("validation of the net", model), ("validation", translated)):
        with torch.inference_mode():
            result[name] = other.eval()(views(2, 2)).flatten().tolist()
    return result


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(1)
    tasks = {"graphs": graphs, "all blocks": all_blocks, "crops": crops, "inductor": inductor}
    print(json.dumps(tasks[sys.argv[1]]()))
