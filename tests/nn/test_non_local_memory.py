import pytest
import torch

from gcvideo.comparison._step_cost import peak_bytes
from gcvideo.nn import NonLocalBlock

kinds = pytest.mark.parametrize(
    "kind", ["gaussian", "embedded_gaussian", "dot_product", "concatenation"]
)


def res3_input(num_channels):
    """Grid of res3 at 8 x 224 x 224, in few channels."""
    x = torch.randn(1, num_channels, 8, 28, 28)
    return x.contiguous(memory_format=torch.channels_last_3d).requires_grad_()


@kinds
def test_at_res3_size_no_new_tensor_outgrows_the_input(largest_new_tensor, kind):
    x, block = res3_input(16), NonLocalBlock(16, kind=kind)
    with largest_new_tensor:
        block(x).sum().backward()
    assert largest_new_tensor.numel == x.numel()


@kinds
@pytest.mark.parametrize("training", [True, False])
def test_peak_memory_at_res3_size_is_a_small_part_of_the_map(kind, training):
    x, block = res3_input(16), NonLocalBlock(16, kind=kind)
    map_bytes = 4 * 6272 * 1568

    def step():
        with torch.set_grad_enabled(training):
            z = block(x)
            if training:
                z.sum().backward()

    def materialised():
        with torch.set_grad_enabled(training):
            g = block.g(x.movedim(1, -1)).flatten(1, 3)[:, ::4]
            y = (block.attention(x) @ g).sum()
            if training:
                y.backward()

    ours = peak_bytes(step)
    assert ours < map_bytes / 5
    if kind != "dot_product":  # whose map is one product and no more
        assert peak_bytes(materialised) > 2 * map_bytes
    assert peak_bytes(materialised) > 5 * ours


@pytest.mark.parametrize(
    ("kind", "num_maps"),
    [("gaussian", 2.4), ("embedded_gaussian", 2.3), ("dot_product", 2.8), ("concatenation", 3.5)],
)
def test_without_gradients_few_feature_maps_are_the_peak(kind, num_maps):
    x, block = res3_input(64).detach(), NonLocalBlock(64, kind=kind).eval()

    def step():
        with torch.inference_mode():
            block(x)

    assert peak_bytes(step) < num_maps * 4 * x.numel()
