import json
import os
from functools import partial

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_protocol import DESCRIPTION, make_protocol

import gcvideo
from gcvideo.data import read_views
from gcvideo.inference import (
    Checkpoint,
    CheckpointError,
    read_checkpoint,
    write_checkpoint,
)
from gcvideo.models import Placement, insert_blocks, insertion_effect, slow_resnet
from gcvideo.nn import global_context
from gcvideo.weights import ZOO, WeightsError
from gcvideo.weights._zoo import class_names

NAME = "slow_4x16_r50_pytorchvideo"
NET = {"_target_": "gcvideo.models.slow_resnet", "num_classes": 3, "width": 4}


@pytest.fixture(scope="module")
def cached(tmp_path_factory):
    """A net of which a published file, as it would lie in the cache, holds the weights."""
    home = tmp_path_factory.mktemp("home")
    record = ZOO[NAME]
    net = slow_resnet(num_classes=400)
    (home / "checkpoints").mkdir()
    torch.save({"model_state": net.state_dict()}, home / "checkpoints" / record.file)
    return home, net.eval()


@pytest.fixture
def from_cache(cached, monkeypatch):
    home, net = cached
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(home))
    return net


@pytest.mark.slow
def test_a_published_name_loads_a_classifier_that_does_what_its_authors_say(
    from_cache, video_folder
):
    clf = gcvideo.load(NAME, device="cpu")
    assert clf.classes == class_names("kinetics400")
    assert (clf.protocol.num_frames, clf.protocol.sampling_rate) == (4, 16)
    video = video_folder / "light" / "light_1.mp4"
    views = read_views(str(video), clf.protocol.single_view()).float()
    with torch.no_grad():
        features = torch.nn.Sequential(*from_cache.blocks[:-1])((views / 255 - 0.45) / 0.225)
        pooled = torch.nn.functional.avg_pool2d(features.mean(2), 7, 1)  # (1, c, 2, 2)
        scores = from_cache.blocks[-1].proj(pooled.flatten(2).mT).softmax(-1).mean(1)
    assert (clf.scores(video) - scores[0]).abs().max() < 1e-6


def test_a_context_block_in_a_published_net_changes_no_bit_of_its_logits(from_cache):
    net = gcvideo.load(NAME, device="cpu").model.net
    clips = torch.randn(1, 3, 4, 64, 64)
    net.blocks[-1].configure("adaptive", 7)
    with torch.no_grad():
        before = net(clips)
        block = partial(global_context, ratio=1 / 4)
        insert_blocks(net, Placement(block=block, res3=[1, 3], res4=[1, 3, 5]))
        after = net(clips)
    assert torch.equal(before, after)
    assert insertion_effect(net, clips) == 0


@pytest.mark.slow
def test_a_net_with_published_weights_has_the_logits_of_the_loaded_classifier(from_cache):
    clips = torch.randn(1, 3, 4, 64, 64)
    net = slow_resnet(weights=NAME).eval()
    other = slow_resnet(num_classes=10, weights=NAME).eval()
    loaded = gcvideo.load(NAME, device="cpu").model.net
    loaded.blocks[-1].configure("adaptive", 7)
    with torch.no_grad():
        torch.testing.assert_close(net(clips), loaded(clips))
        other.blocks[-1].proj = loaded.blocks[-1].proj
        torch.testing.assert_close(other(clips), loaded(clips))


def test_weights_of_images_are_no_classifier_of_videos():
    with pytest.raises(
        CheckpointError, match=r"image net, which knows no actions.*weights=resnet50_"
    ):
        gcvideo.load("resnet50_torchvision_v1")


def test_an_unknown_name_is_met_with_the_nearest_ones():
    with pytest.raises(WeightsError, match=r"'slow_8x8_pytorchvideo'.*slow_8x8_r50_pytorchvideo"):
        read_checkpoint("slow_8x8_pytorchvideo")


@pytest.fixture
def checkpoint():
    net = slow_resnet(num_classes=3, width=4)
    return Checkpoint.of_net(
        net, name="tiny", description=NET, classes=["a", "b", "c"], protocol=DESCRIPTION
    )


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_checkpoint_in_safetensors_is_all_that_loading_needs(tmp_path, checkpoint, video_folder):
    path = tmp_path / "new" / "tiny.safetensors"
    write_checkpoint(path, checkpoint)
    assert [file.name for file in path.parent.iterdir()] == ["tiny.safetensors"]
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask()
    again = read_checkpoint(path)
    assert (again.config, again.classes) == (checkpoint.config, checkpoint.classes)
    torch.testing.assert_close(again.state_dict, checkpoint.state_dict, rtol=0, atol=0)
    clf = gcvideo.load(path, device="cpu")
    assert clf.protocol == make_protocol()
    protocol = clf.protocol.single_view()
    video = video_folder / "dark" / "dark_0.mp4"
    with torch.no_grad():
        expected = checkpoint.build_model(protocol)(read_views(str(video), protocol)[None])
    assert torch.equal(clf.scores(video), expected[0, 0].softmax(-1))


def test_class_names_must_be_as_many_as_classes():
    net = slow_resnet(num_classes=3, width=4)
    with pytest.raises(
        CheckpointError, match="2 class names were given, but the net of tiny has 3"
    ):
        Checkpoint.of_net(
            net, name="tiny", description=NET, classes=["a", "b"], protocol=DESCRIPTION
        )


def test_safetensors_without_configuration_are_weights_and_no_checkpoint(tmp_path, checkpoint):
    tensors = {key: value.contiguous() for key, value in checkpoint.state_dict.items()}
    save_file(tensors, tmp_path / "plain.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match="has weights but neither configuration nor class"):
        gcvideo.load(tmp_path / "plain.safetensors")


def test_a_truncated_checkpoint_is_named(tmp_path, checkpoint):
    path = tmp_path / "tiny.safetensors"
    write_checkpoint(path, checkpoint)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"tiny\.safetensors' cannot be read as a checkpoint"):
        gcvideo.load(path)


def test_the_description_in_a_checkpoint_is_plain_json(tmp_path, checkpoint):
    path = tmp_path / "tiny.safetensors"
    write_checkpoint(path, checkpoint)
    header = path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")]
    product = json.loads(json.loads(header)["__metadata__"]["gcvideo"])
    assert product["classes"] == ["a", "b", "c"]
    assert product["config"]["model"]["net"] == NET
    assert load_file(path).keys() == checkpoint.state_dict.keys()
