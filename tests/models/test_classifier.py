import numpy as np
import pytest
import torch
from torch import nn

from gcvideo.models import ClipClassifier, slow_resnet

MEAN, STD = [0.4, 0.45, 0.5], [0.2, 0.225, 0.25]


class Pool(nn.Module):
    def forward(self, x):
        return x.mean(dim=(2, 3, 4))


def classifier_of(net=None, **arguments):
    arguments = {"mean": MEAN, "std": STD} | arguments
    return ClipClassifier(net or Pool(), **arguments)


def test_each_channel_is_standardised_with_its_own_constants():
    levels = torch.tensor([0.0, 51.0, 255.0])
    views = levels.view(3, 1, 1, 1).expand(2, 4, 3, 2, 5, 5)
    expected = torch.tensor([(0 - 0.4) / 0.2, (0.2 - 0.45) / 0.225, (1 - 0.5) / 0.25])
    torch.testing.assert_close(classifier_of()(views), expected.expand(2, 4, 3))


def test_motion_is_what_differs_from_the_mean_over_time():
    views = torch.randint(0, 256, (2, 3, 4, 6, 5), dtype=torch.uint8)
    found = classifier_of(normalization="motion").normalize(views)
    for view, clip in zip(views.numpy().astype(float), found.numpy(), strict=True):
        motion = view - view.mean(axis=1, keepdims=True)
        np.testing.assert_allclose(clip, motion / (motion.std() + 1), rtol=1e-5, atol=1e-5)


def test_motion_does_not_see_what_stands_still_or_the_contrast():
    model = classifier_of(normalization="motion")
    views = torch.randint(0, 100, (2, 3, 4, 6, 5)).float()
    background = torch.randint(0, 100, (2, 3, 1, 6, 5)).float()
    torch.testing.assert_close(model.normalize(views + background), model.normalize(views))
    torch.testing.assert_close(
        model.normalize(1000 * views), model.normalize(500 * views), rtol=1e-4, atol=1e-4
    )
    assert not model.normalize(background.expand(-1, -1, 4, -1, -1)).any()


def test_motion_keeps_differences_of_one_grey_level_in_bfloat16():
    views = torch.full((1, 3, 4, 6, 5), 200, dtype=torch.uint8)
    views[:, :, 1] += 1
    exact = classifier_of(normalization="motion").normalize(views)
    found = classifier_of(normalization="motion").bfloat16().normalize(views)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), exact, rtol=0.01, atol=0)


@pytest.mark.usefixtures("unchecked")
def test_another_normalization_is_refused():
    with pytest.raises(ValueError, match=r"normalization is 'rgb'.*constants.*motion"):
        classifier_of(normalization="rgb")


def test_uint8_and_float_views_give_the_same_logits():
    views = torch.randint(0, 256, (2, 2, 3, 4, 32, 32), dtype=torch.uint8)
    model = classifier_of(slow_resnet(num_classes=5, width=4)).eval()
    with torch.no_grad():
        assert torch.equal(model(views), model(views.float()))


def test_views_are_classified_one_by_one():
    views = torch.randint(0, 256, (2, 3, 3, 4, 32, 32), dtype=torch.uint8)
    model = classifier_of(slow_resnet(num_classes=5, width=4)).eval()
    with torch.no_grad():
        logits = model(views)
        each = torch.stack(
            [torch.stack([model(v[None, None])[0, 0] for v in row]) for row in views]
        )
    assert logits.shape == (2, 3, 5)
    torch.testing.assert_close(logits, each)


def test_constants_travel_in_the_state_dict():
    source = classifier_of()
    assert set(source.state_dict()) == {"mean", "std"}
    other = classifier_of(mean=[0.1] * 3, std=[0.1] * 3)
    other.load_state_dict(source.state_dict())
    assert other.mean.flatten().tolist() == pytest.approx(MEAN)
    assert other.std.flatten().tolist() == pytest.approx(STD)
    assert not list(source.parameters())


@pytest.mark.parametrize("layout", ["auto", "contiguous", "channels_last", "folded"])
def test_the_net_gets_its_clips_in_the_memory_format_asked_for(layout):
    net = nn.Sequential(nn.Conv3d(3, 2, 3), Pool())
    seen = []
    net.register_forward_hook(lambda module, inputs, y: seen.append(inputs[0]))
    model = classifier_of(net, layout=layout)
    model(torch.zeros(1, 2, 3, 4, 8, 8))
    wanted = torch.contiguous_format if layout == "contiguous" else torch.channels_last_3d
    assert seen[0].is_contiguous(memory_format=wanted)
    assert net[0].weight.is_contiguous(memory_format=wanted)


@pytest.mark.parametrize("layout", ["auto", "channels_last", "folded"])
def test_the_layout_does_not_change_the_logits(randomised, layout):
    views = torch.randint(0, 256, (1, 2, 3, 4, 32, 32), dtype=torch.uint8)
    net = randomised(slow_resnet(num_classes=5, width=4))
    with torch.no_grad():
        plain = classifier_of(net, layout="contiguous")(views)
        other = classifier_of(net, layout=layout)(views)
    assert plain.std() > 0.01
    torch.testing.assert_close(other, plain, rtol=1e-4, atol=1e-4)


def test_an_unknown_layout_is_refused(unchecked):
    message = "layout is 'nhwc'; choose one of auto, contiguous, channels_last, folded"
    with pytest.raises(ValueError, match=message):
        classifier_of(layout="nhwc")


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        ([0.4], STD),
        (MEAN, [0.2, 0.2]),
        (MEAN, []),
        (MEAN, [0.2, 0.0, 0.2]),
        (MEAN, [0.2, 0.2, -1.0]),
    ],
)
def test_wrong_constants_are_refused(mean, std):
    message = r"mean is \[.*\], std is \[.*\]; both need one value per RGB channel .* positive"
    with pytest.raises(ValueError, match=message):
        classifier_of(mean=mean, std=std)
