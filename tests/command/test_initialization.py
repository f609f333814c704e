import pytest
import torch
from hydra.core.config_store import ConfigStore
from small_protocol import DESCRIPTION

from gcvideo.command._assembly import build
from gcvideo.command._initialization import initialize_net
from gcvideo.inference import Checkpoint, write_checkpoint
from gcvideo.models import i3d_resnet
from gcvideo.weights import ZOO


@pytest.fixture
def bare_weights(tmp_path):
    """A trained net without blocks, for two classes."""
    net = i3d_resnet(num_classes=2, width=4)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    torch.save(net.state_dict(), tmp_path / "bare.pth")
    return f"weights.path={tmp_path / 'bare.pth'}"


def start(compose_config, tiny, *overrides):
    given = [*tiny, "data.root=x", "data=folder", "output_dir=x", "num_classes=2"]
    cfg = compose_config("train", [*given, *overrides])
    net, classes = build(cfg.model.net), [f"class {number}" for number in range(cfg.num_classes)]
    shape = (2, 3, cfg.num_frames, cfg.crop_size, cfg.crop_size)
    lines = initialize_net(
        net,
        build(cfg.weights),
        classes,
        shape,
        protocol=build(cfg.protocol),
        seed=cfg.seed,
    )
    return net, lines


def test_new_blocks_in_a_trained_net_are_proved_to_change_nothing(
    compose_config, tiny, bare_weights
):
    _, lines = start(compose_config, tiny, "model=i3d_gc", "weights=checkpoint", bare_weights)
    assert "318 tensors loaded" in lines[0]
    assert lines[1] == "new blocks 5, and the logits are those without them, bit for bit"


def test_blocks_that_change_the_logits_are_named_with_the_remedy(
    compose_config, tiny, bare_weights
):
    words = ["model=i3d_se", "weights=checkpoint", bare_weights]
    _, lines = start(compose_config, tiny, *words)
    assert "new blocks 5, and they change the logits by up to" in lines[1]
    assert "model.block.mul_start=identity" in lines[1]
    _, lines = start(compose_config, tiny, *words, "model.block.mul_start=identity")
    assert "bit for bit" in lines[1]


def test_a_net_without_new_blocks_says_what_was_loaded(compose_config, tiny, bare_weights):
    _, lines = start(compose_config, tiny, "model=i3d", "weights=checkpoint", bare_weights)
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("trained", "now", "told"),
    [
        ({}, [], ""),
        (
            {"mean": [0.5, 0.4, 0.3]},
            [],
            "protocol.mean is [0.45, 0.45, 0.45] and was [0.5, 0.4, 0.3]",
        ),
        ({"mean": [0.5, 0.4, 0.3]}, ["protocol.mean=[0.5,0.4,0.3]"], ""),
        ({"normalization": "motion"}, [], "protocol.normalization is constants and was motion"),
        ({}, ["protocol=even", "protocol.normalization=motion"], "is motion and was constants"),
        # Motion uses no constants.
        (
            {"normalization": "motion", "std": [0.1, 0.1, 0.1]},
            ["protocol=even", "protocol.normalization=motion"],
            "",
        ),
    ],
)
def test_weights_trained_on_other_numbers_are_told(
    compose_config, tiny, tmp_path, trained, now, told
):
    description = {"_target_": "gcvideo.models.i3d_resnet", "num_classes": 2, "width": 4}
    source = Checkpoint.of_net(
        i3d_resnet(num_classes=2, width=4),
        name="source",
        description=description,
        classes=["a", "b"],
        protocol={**DESCRIPTION, **trained},
    )
    write_checkpoint(tmp_path / "source.safetensors", source)
    words = ["model=i3d", "weights=checkpoint", f"weights.path={tmp_path / 'source.safetensors'}"]
    _, lines = start(compose_config, tiny, *words, *now)
    warnings = [line for line in lines if "warning" in line]
    assert len(warnings) == bool(told)
    assert told in "".join(warnings)


@pytest.mark.parametrize("num_classes", [2, 7])
def test_a_head_of_unnamed_classes_starts_fresh_and_says_so(
    compose_config, tiny, bare_weights, num_classes
):
    words = ["model=i3d", "weights=checkpoint", bare_weights, f"num_classes={num_classes}"]
    _, lines = start(compose_config, tiny, *words)
    assert "the head starts fresh: nothing names the classes of its rows" in lines[0]


def test_rows_of_a_head_go_by_the_names_that_are_given(compose_config, tiny, bare_weights):
    words = ["model=i3d", "weights=checkpoint", bare_weights, "num_classes=2"]
    net, lines = start(compose_config, tiny, *words, "weights.classes=[class 1,class 0]")
    assert "the head has 2 of 2 classes by name" in lines[0]
    source = torch.load(bare_weights.partition("=")[2])["blocks.6.proj.weight"]
    assert torch.equal(net.blocks[6].proj.weight, source.flip(0))


def test_every_published_name_is_a_choice_of_weights(compose_config):
    choices = ConfigStore.instance().list("weights")
    assert {f"{name}.yaml" for name in ZOO} <= set(choices)
    for name in ("slow_8x8_r50_pytorchvideo", "resnet101_torchvision_v1"):
        cfg = compose_config("train", [f"weights={name}", "output_dir=x"])
        assert cfg.weights.name == name
        assert ("inflation" in cfg.weights) == ZOO[name].inflated
