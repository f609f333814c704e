import importlib.util
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session")
def reference():
    # The importlib import mode leaves sys.path alone, so a plain import does not find it.
    path = Path(__file__).with_name("reference.py")
    spec = importlib.util.spec_from_file_location("nn_reference", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def randomised():
    """Give a block random parameters and statistics, so that no zero start hides a mistake."""

    def randomise(block):
        for name, tensor in block.state_dict().items():
            if tensor.is_floating_point():
                tensor.uniform_(0.2, 0.7)
                if not name.endswith("running_var"):
                    tensor.mul_(torch.randint(0, 2, tensor.shape) * 2 - 1)
        return block.double().eval()

    return randomise
