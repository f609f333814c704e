import pytest
import torch
import torch.nn.functional as F

from gcvideo.models import computing_in, precision_type


def switches():
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32


def switch(products, convolutions):
    torch.set_float32_matmul_precision(products)
    torch.backends.cudnn.allow_tf32 = convolutions


@pytest.fixture(params=[("high", True), ("highest", True), ("medium", False)])
def training_switches(request):
    """Switches of the process as a training or a user has them."""
    before = switches()
    switch(*request.param)
    yield request.param
    switch(*before)


def test_float32_is_whole_within_and_switches_come_back(training_switches):
    with computing_in(torch.float32, "cpu"):
        assert switches() == ("highest", False)
    assert switches() == training_switches
    with pytest.raises(KeyError), computing_in(torch.bfloat16, "cpu"):
        raise KeyError
    assert switches() == training_switches


@pytest.mark.parametrize("outside", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_type_is_computed_in_whatever_autocast_is_around(outside, dtype):
    layer = torch.nn.Linear(2, 3)
    with torch.autocast("cpu", torch.bfloat16, enabled=outside != torch.float32):
        with computing_in(dtype, "cpu"):
            assert layer(torch.ones(1, 2)).dtype == dtype
        assert layer(torch.ones(1, 2)).dtype == outside


@pytest.mark.skipif(
    not hasattr(torch.backends, "fp32_precision"), reason="this torch has no switches of operators"
)
def test_switches_of_single_operators_are_put_off_and_back():
    convolution = torch.backends.cudnn.conv
    before = convolution.fp32_precision
    try:
        # Beside such a setting, PyTorch refuses to tell its older switches.
        convolution.fp32_precision = "ieee"
        torch.backends.cuda.matmul.fp32_precision = "tf32"
        with computing_in(torch.float32, "cpu"):
            assert convolution.fp32_precision == "ieee"
            assert torch.backends.cuda.matmul.fp32_precision == "ieee"
        assert torch.backends.cuda.matmul.fp32_precision == "tf32"
        assert convolution.fp32_precision == "ieee"
    finally:
        convolution.fp32_precision = before
        switch("highest", convolutions=True)
    assert switches() == ("highest", True)


def test_the_names_of_types():
    names = ("float32", "bfloat16", "float16")
    assert [precision_type(name) for name in names] == [getattr(torch, name) for name in names]
    with pytest.raises(
        ValueError, match="val_precision is 'fp8'; choose one of float32, bfloat16, f"
    ):
        precision_type("fp8", "val_precision")


@pytest.mark.gpu
def test_products_and_convolutions_on_cuda_keep_all_bits(training_switches):
    x, y = (torch.randn(256, 256, device="cuda") for _ in range(2))
    clip, weight = torch.randn(1, 64, 4, 28, 28).cuda(), torch.randn(64, 64, 1, 3, 3).cuda()
    with computing_in(torch.float32, "cuda"):
        found = x @ y, F.conv3d(clip, weight)
    expected = x.double() @ y.double(), F.conv3d(clip.double(), weight.double())
    for single, double in zip(found, expected, strict=True):
        assert (single - double).norm() / double.norm() < 1e-5  # TensorFloat-32: 3e-4
