import pytest
import torch
from torch import nn


@pytest.fixture
def randomised():
    """Give a net random parameters and statistics, so that no zero start hides a mistake."""

    def randomise(net):
        for name, tensor in net.state_dict().items():
            if not tensor.is_floating_point():
                continue
            if name.endswith("running_var") or (name.endswith("weight") and tensor.ndim == 1):
                tensor.uniform_(0.5, 1)
            elif tensor.ndim == 1:
                tensor.uniform_(-0.3, 0.3)
            else:
                nn.init.kaiming_normal_(tensor)
        return net.eval()

    return randomise


@pytest.fixture(scope="session")
def on_meta():
    """Build a net of full size without its memory."""

    def build(make, **arguments):
        with torch.device("meta"):
            return make(**arguments)

    return build
