import warnings

import pytest
import torch

from gcvideo.nn import ContextBlock, simplified_non_local, squeeze_excitation

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    quantization = pytest.importorskip("torchao.quantization")

CONFIGS = {
    "weights": quantization.Int8WeightOnlyConfig,
    "activations": quantization.Int8DynamicActivationInt8WeightConfig,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [ContextBlock, simplified_non_local, squeeze_excitation])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("has_gradients", [True, False])
def test_blocks_with_weights_of_8_bits_are_near_those_of_32(make, config, has_gradients):
    block = make(32).eval()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    x = torch.randn(2, 32, 2, 5, 5)
    wanted = block(x) - x
    quantization.quantize_(block, config())
    with torch.set_grad_enabled(has_gradients):
        found = block(x) - x
    assert (found - wanted).std() < 0.05 * wanted.std()
