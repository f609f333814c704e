import pytest
import torch


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
