import copy

import pytest
import torch

from gcvideo.models import count_cost, slow_resnet
from gcvideo.models.activation_checkpoint import checkpoint_activations
from gcvideo.models.compilation import compile_net


def step(net):
    clips = torch.randn(2, 3, 2, 32, 32, generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    losses = []
    for _ in range(2):
        loss = net(clips).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


# Torch's own: its tracer looks at all tensors.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("backend", ["eager", "inductor"])
def test_a_compiled_net_trains_like_the_net_under_the_same_keys(backend):
    torch.compiler.reset()
    torch._dynamo.utils.counters.clear()
    net = slow_resnet(num_classes=3, width=4, dropout=0.0)
    compiled = copy.deepcopy(net)
    compile_net(compiled, backend=backend)
    assert step(compiled) == pytest.approx(step(net), abs=1e-4)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    assert list(compiled.state_dict()) == list(net.state_dict())
    assert count_cost(compiled, 2, 32) == count_cost(net, 2, 32)


def test_compilation_with_recomputation_is_refused():
    net = slow_resnet(num_classes=3, width=4)
    checkpoint_activations(net)
    with pytest.raises(ValueError, match="compile is true and so is activation_checkpointing"):
        compile_net(net)
