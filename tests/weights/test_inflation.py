import pytest
import torch
import torch.nn.functional as F
import torchvision

from gcvideo.models import c2d_resnet, slow_resnet
from gcvideo.weights import (
    Weights,
    WeightsError,
    checkpoint_weights,
    load_weights,
    published_weights,
)
from gcvideo.weights import _weight_source as weight_source
from gcvideo.weights._naming import inflate_kernel
from gcvideo.weights._weights import HEAD


@pytest.fixture(scope="module")
def image_net():
    """torchvision's ResNet-50 with batch-norm parameters and statistics that are not trivial."""
    generator = torch.Generator().manual_seed(0)
    net = torchvision.models.resnet50(weights=None, num_classes=10)
    for name, tensor in net.state_dict().items():
        if tensor.ndim == 1 and tensor.is_floating_point() and not name.startswith("fc"):
            tensor.uniform_(0.5, 1, generator=generator)
    return net.eval()


def weights_of(net, **arguments):
    arguments = {"fresh": HEAD} | arguments
    return Weights(name="image", read=net.state_dict, inflation="mean", **arguments)


def test_loading_reports_only_the_head_as_fresh(image_net):
    net = slow_resnet(num_classes=10)
    report = load_weights(net, weights_of(image_net))
    assert report.fresh == ("blocks.5.proj.weight", "blocks.5.proj.bias")
    assert report.ignored == ("fc.weight", "fc.bias")
    kernel = image_net.layer4[2].conv1.weight
    assert torch.equal(net.blocks[4].res_blocks[2].branch2.conv_a.weight[:, :, 1], kernel / 3)


@pytest.mark.parametrize("inflation", ["mean", "centre"])
@pytest.mark.parametrize("num_frames", [1, 3, 5])
def test_an_inflated_kernel_gives_the_image_result_on_identical_frames(num_frames, inflation):
    kernel, image = torch.randn(4, 3, 3, 3), torch.randn(2, 3, 6, 6)
    video = image.unsqueeze(2).expand(-1, -1, 7, -1, -1)
    result = F.conv3d(video, inflate_kernel(kernel, num_frames, inflation), padding=(0, 1, 1))
    expected = F.conv2d(image, kernel, padding=1).unsqueeze(2).expand_as(result)
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("num_frames", [1, 3, 5])
def test_a_kernel_inflated_at_its_centre_sees_each_frame_by_itself(num_frames):
    kernel, video = torch.randn(4, 3, 3, 3), torch.randn(2, 3, 7, 6, 6)
    inflated = inflate_kernel(kernel, num_frames, "centre")
    result = F.conv3d(video, inflated, padding=(num_frames // 2, 1, 1))
    expected = torch.stack([F.conv2d(frame, kernel, padding=1) for frame in video.unbind(2)], 2)
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)


def test_an_unknown_inflation_is_refused(unchecked):
    with pytest.raises(ValueError, match="inflation is 'copy'; choose one of mean, centre"):
        inflate_kernel(torch.ones(1, 1, 3, 3), 3, "copy")


@pytest.mark.parametrize("inflation", ["mean", "centre"])
def test_image_weights_in_a_file_are_inflated_on_request(tmp_path, image_net, inflation):
    torch.save(image_net.state_dict(), tmp_path / "image.pth")
    net = slow_resnet(num_classes=10)
    load_weights(net, checkpoint_weights(str(tmp_path / "image.pth"), inflation=inflation))
    kernel = image_net.layer4[0].conv1.weight
    expected = inflate_kernel(kernel.detach(), 3, inflation)
    assert torch.equal(net.blocks[4].res_blocks[0].branch2.conv_a.weight, expected)


def test_kernels_of_images_are_not_inflated_unasked(tmp_path, image_net):
    torch.save(image_net.state_dict(), tmp_path / "image.pth")
    net = slow_resnet(num_classes=10)
    with pytest.raises(WeightsError, match="9 of another shape"):
        load_weights(net, checkpoint_weights(str(tmp_path / "image.pth")))


def test_inflated_c2d_sees_an_image_in_a_video_of_identical_frames(image_net):
    net = c2d_resnet(num_classes=10).eval()
    load_weights(net, weights_of(image_net))
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        videos = images.unsqueeze(2).expand(-1, -1, 4, -1, -1)
        features = torch.nn.Sequential(*net.blocks[:-1])(videos).mean(dim=(2, 3, 4))
        expected = torch.nn.Sequential(*list(image_net.children())[:-1])(images).flatten(1)
    assert expected.std() > 0.01
    assert (features - expected).abs().max() < 1e-4 * expected.std()


def test_a_deeper_image_net_is_refused(on_meta):
    deeper = on_meta(torchvision.models.resnet101)
    with pytest.raises(WeightsError, match=r"306 unexpected \(blocks\.3\.res_blocks\.6.* depth"):
        load_weights(on_meta(slow_resnet, num_classes=10), weights_of(deeper))


def test_a_shallower_image_net_is_refused(on_meta, image_net):
    with pytest.raises(WeightsError, match=r"missing \(blocks\.3\.res_blocks\.6.* depth"):
        load_weights(on_meta(slow_resnet, num_classes=10, depth=101), weights_of(image_net))


def test_published_image_weights_load_without_batch_counters(monkeypatch, tmp_path, image_net):
    # The file of IMAGENET1K_V1 dates from before the counters.
    state = {
        k: v for k, v in image_net.state_dict().items() if not k.endswith("num_batches_tracked")
    }
    torch.save(state, tmp_path / "image.pth")
    monkeypatch.setattr(weight_source, "cached_file", lambda *_, **__: tmp_path / "image.pth")
    net = slow_resnet(num_classes=10)
    report = load_weights(net, published_weights("resnet50_torchvision_v1"))
    assert report.name == "resnet50_torchvision_v1"
    assert {k for k in report.fresh if not k.endswith("num_batches_tracked")} == {
        "blocks.5.proj.weight",
        "blocks.5.proj.bias",
    }
    assert report.ignored == ("fc.weight", "fc.bias")
    assert torch.equal(net.blocks[0].norm.running_var, image_net.bn1.running_var)
