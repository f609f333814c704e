import pytest
import torch
import torchvision
from safetensors.torch import load_file

import gcvideo
from gcvideo.command._converting import convert
from gcvideo.models import slow_resnet
from gcvideo.weights import convert_state_dict

KEYS = {
    "blocks.0.conv.": "backbone.conv1.conv.",
    "blocks.0.norm.": "backbone.conv1.bn.",
    "blocks.5.proj.": "cls_head.fc_cls.",
    **{f"blocks.{i}.res_blocks.": f"backbone.layer{i}." for i in range(1, 5)},
    **{f".branch2.conv_{c}.": f".conv{i}.conv." for i, c in enumerate("abc", 1)},
    **{f".branch2.norm_{c}.": f".conv{i}.bn." for i, c in enumerate("abc", 1)},
    ".branch1_conv.": ".downsample.conv.",
    ".branch1_norm.": ".downsample.bn.",
}


def mmaction2_file(path, **extra):
    """Weights of a narrow net as mmaction2 names them."""
    net = slow_resnet(num_classes=3, width=4)
    state = {}
    for key, value in net.state_dict().items():
        # Longest first: "res_blocks.0." ends as "blocks.0." does.
        for ours in sorted(KEYS, key=len, reverse=True):
            key = key.replace(ours, KEYS[ours])
        state[key] = value
    torch.save({"state_dict": state, "meta": {"epoch": 3}, **extra}, path)
    return net.eval()


@pytest.fixture
def run_convert(compose_config, tmp_path):
    def run(source, *overrides):
        output = tmp_path / "out" / "net.safetensors"
        cfg = compose_config("convert", [f"source={source}", f"output={output}", *overrides])
        return output, convert(cfg)

    return run


@pytest.fixture
def classes(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_text("sit\nstand\nwalk\n")
    return f"classes={path}"


def test_weights_of_another_code_base_become_a_checkpoint(run_convert, classes, tmp_path, capsys):
    net = mmaction2_file(tmp_path / "slow.pth")
    output, report = run_convert(
        tmp_path / "slow.pth", "protocol=mmaction", classes, "num_frames=4", "sampling_rate=16"
    )
    clf = gcvideo.load(output, device="cpu")
    assert clf.classes == ("sit", "stand", "walk")
    assert (clf.protocol.name, clf.protocol.sampling_rate) == ("mmaction", 16)
    clips = torch.randn(1, 3, 4, 32, 32)
    with torch.no_grad():
        # Their convolutions have other forms, whose sums may differ in their order.
        torch.testing.assert_close(clf.model.net(clips), net(clips))
    assert len(report.loaded) == len(net.state_dict())
    printed = capsys.readouterr().out
    assert "mmaction2: Slow R50 of width 4" in printed
    assert f"{len(net.state_dict())} tensors loaded, 0 fresh, 0 of the source ignored" in printed
    assert "taken from mmaction2: choice.stem_pool_padding=1" in printed
    assert [file.name for file in output.parent.iterdir()] == ["net.safetensors"]


def test_a_choice_goes_before_the_habit_of_the_code_base(run_convert, classes, tmp_path, capsys):
    mmaction2_file(tmp_path / "slow.pth")
    output, _ = run_convert(
        tmp_path / "slow.pth", "protocol=mmaction", classes, "choice.stem_pool_padding=0"
    )
    clf = gcvideo.load(output, device="cpu")
    assert clf.model.net.blocks[0].pool.padding == (0, 0, 0)
    assert "choice.stem_pool_padding" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "do not say how their clips were sampled.*mmaction2 is protocol=mmaction"),
        (["protocol=mmaction"], "have 3 classes but not their names; give classes=kinetics400"),
        (["protocol=mmaction", "classes=kinetics400"], "400 class names were given, but the net"),
        (["protocol=mmaction", "classes=ucf"], "no list of class names is called 'ucf'"),
        (["output=net.pth"], r"output is 'net\.pth'; give a file ending in \.safetensors"),
    ],
)
def test_what_weights_do_not_tell_is_asked_for(run_convert, tmp_path, overrides, message):
    mmaction2_file(tmp_path / "slow.pth")
    with pytest.raises(ValueError, match=message):
        run_convert(tmp_path / "slow.pth", *overrides)
    assert not (tmp_path / "out").exists()


def test_a_file_with_the_name_of_a_published_one_is_recognised(
    run_convert, classes, tmp_path, capsys
):
    mmaction2_file(tmp_path / "SLOW_8x8_R50.pyth")
    run_convert(tmp_path / "SLOW_8x8_R50.pyth", "protocol=mmaction", classes)
    assert (
        "source=slow_8x8_r50_pytorchvideo knows its classes and protocol" in capsys.readouterr().out
    )


def test_a_checkpoint_of_training_becomes_one_safetensors_file(
    run_convert, checkpoint, video_folder
):
    output, report = run_convert(checkpoint)
    assert report is None
    video = video_folder / "dark" / "dark_2.mp4"
    before, after = gcvideo.load(checkpoint, device="cpu"), gcvideo.load(output, device="cpu")
    assert torch.equal(before.scores(video), after.scores(video))
    assert (before.classes, before.protocol) == (after.classes, after.protocol)


def test_weights_of_images_are_inflated_to_start_from(run_convert, tmp_path, capsys):
    image_net = torchvision.models.resnet50(weights=None)
    torch.save(image_net.state_dict(), tmp_path / "resnet50.pth")
    output, _ = run_convert(tmp_path / "resnet50.pth", "choice.family=slow", "inflation=centre")
    state = load_file(output)
    kernel, expected = state["blocks.4.res_blocks.1.branch2.conv_a.weight"], image_net.layer4[1]
    assert kernel.shape[2] == 3
    torch.testing.assert_close(kernel.sum(2), expected.conv1.weight)
    assert not kernel[:, :, 0].any()
    assert not any(".proj." in key for key in state)
    assert "ignored: fc.weight" in capsys.readouterr().out
    target = slow_resnet(num_classes=5).state_dict()
    assert convert_state_dict(state, target).keys() < target.keys()
