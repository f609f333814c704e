import copy
import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from safetensors import safe_open
from shared_net import CONFIG, NET, make_shared
from small_protocol import DESCRIPTION
from torch import nn

import gcvideo
from gcvideo.inference import CheckpointError, ModelCard, read_checkpoint, write_checkpoint
from gcvideo.weights._weight_source import find_weights

FRAMES = np.random.default_rng(0).integers(0, 256, (20, 48, 64, 3), np.uint8)
CALIBRATION = {"expected_calibration_error": 0.12346, "bins": 15}
RESULTS = {
    "metrics": {"last_val_top1": 0.5, "last_val_top5": 0.875, "best_val_top1": 0.75},
    "baselines": {"chance_top1": 1 / 3, "majority_top1": 0.375, "majority_class": "left"},
    "precision": {"training": "bf16-mixed", "validation": "float32"},
    "videos": {"train": 16, "val": 8},
    "bad_videos": {"unreadable": 2, "damaged": 0},
    "epochs": 3,
    "last_validated_epoch": 3,
    "steps": 12,
}
TEST = {
    "metrics": {"test/top1": 0.625, "test/top5": 1.0},
    "videos_listed": 9,
    "videos_scored": 8,
    "baselines": RESULTS["baselines"],
    "protocol": "test: 2 clips",
    "precision": "float32",
    "engine": "torch",
    "data": None,
}


@pytest.fixture(scope="module")
def classifier():
    return make_shared()


def card_of(folder):
    head, text = (folder / "README.md").read_text(encoding="utf-8").split("---\n")[1:]
    return yaml.safe_load(head), text


def trained(run, name="best.ckpt", **results):
    """A classifier that comes from a checkpoint of a run."""
    (run / "checkpoints").mkdir(parents=True)
    (run / "results.json").write_text(json.dumps(RESULTS | results))
    return make_shared(source=str(run / "checkpoints" / name))


def test_a_saved_net_loads_with_its_scores_classes_and_protocol(classifier, tmp_path):
    folder = classifier.save_pretrained(tmp_path / "net")
    assert {file.name for file in folder.iterdir()} == {
        "model.safetensors",
        "config.json",
        "README.md",
    }
    for source in (folder, folder / "model.safetensors"):
        loaded = gcvideo.load(source, device="cpu")
        assert torch.equal(loaded.scores(FRAMES), classifier.scores(FRAMES))
        assert (loaded.classes, loaded.protocol) == (classifier.classes, classifier.protocol)
        assert loaded.source == str(folder / "model.safetensors")


def test_a_saved_net_can_be_saved_again_and_gives_weights_to_a_training(classifier, tmp_path):
    first = classifier.save_pretrained(tmp_path / "first")
    again = gcvideo.load(first, device="cpu").save_pretrained(tmp_path / "again")
    for name in ("config.json", "model.safetensors"):
        assert (again / name).read_bytes() == (first / name).read_bytes()
    weights = find_weights(first)
    assert weights.classes == classifier.classes
    own = classifier.model.net.state_dict()
    assert all(torch.equal(weights.read()[key], own[key]) for key in own)


def test_paths_and_settings_of_the_training_stay_at_home(classifier, tmp_path):
    folder = trained(tmp_path / "somebody" / "run").save_pretrained(tmp_path / "net")
    for file in folder.iterdir():
        assert b"somebody" not in file.read_bytes()
    config = json.loads((folder / "config.json").read_text())["gcvideo"]["config"]
    assert config["model"] == {"name": "slow", "net": NET}
    assert config["protocol"] == DESCRIPTION
    assert "data" not in config


def test_the_card_says_what_the_run_measured_and_on_what(tmp_path):
    clf = trained(tmp_path / "run")
    card = ModelCard(license="apache-2.0", about="For *gestures*.")
    head, text = card_of(clf.save_pretrained(tmp_path / "net", card))
    assert head == {
        "license": "apache-2.0",
        "library_name": "gcvideo",
        "pipeline_tag": "video-classification",
        "tags": ["action-recognition", "gcvideo", "video-classification"],
    }
    parameters = sum(p.numel() for p in clf.model.parameters())
    for line in (
        "For *gestures*.",
        f"| net | slow, {parameters:,} parameters |",
        f"| protocol | {clf.protocol} |",
        "| training data | videos of its author's; 16 for training, 8 for validation |",
        "| training | 3 epochs, 12 steps, in bf16-mixed, seed 7 |",
        "| start | random weights |",
        "| validation: 8 videos, single views, float32; the epoch was chosen by this figure | 0.7500 | "
        "not known | not known | 0.3333 | 0.3750 (always `left`) |",
        "whether they are calibrated has not been measured.",
        "- Of its training videos, 2 could not be read and were replaced, and 0 were damaged.",
        "left\nà droite\nc\n",
    ):
        assert line in text
    assert "videos that the training" not in text


def test_the_card_of_the_last_epoch_has_its_own_figures(tmp_path):
    clf = trained(tmp_path / "run", "last.ckpt", calibration=CALIBRATION)
    _, text = card_of(clf.save_pretrained(tmp_path / "net"))
    measured = (
        "8 videos, single views, float32, after epoch 3 | 0.5000 | 0.8750 | 0.1235 | 0.3333 |"
    )
    assert measured in text
    assert "over 15 bins of scores" in text
    assert "whether they are calibrated" not in text
    assert "0.7500" not in text


@pytest.mark.parametrize("source", [None, "previous.ckpt", "unfinished"])
def test_the_card_does_not_invent_what_is_not_known(source, tmp_path, classifier):
    clf = classifier
    if source is not None:
        clf = trained(tmp_path / "run", source)
    if source == "unfinished":
        (tmp_path / "run" / "results.json").unlink()
    head, text = card_of(clf.save_pretrained(tmp_path / "net"))
    assert "license" not in head
    assert "| license | not stated by its author |" in text
    assert "How accurate it is, is not known." in text
    assert ("; how many is not known" in text) == (source != "previous.ckpt")
    assert "What it is for has not been stated by its author." in text


def test_the_card_of_a_net_without_a_training_knows_neither_data_nor_start(tmp_path):
    bare = {key: CONFIG[key] for key in ("model", "protocol")}
    _, text = card_of(make_shared(config=bare).save_pretrained(tmp_path / "net"))
    for key in ("training data", "training", "start"):
        assert f"| {key} | not known |" in text


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({"name": "slow_8x8_r50_pytorchvideo"}, "slow_8x8_r50_pytorchvideo"),
        ({"path": "/home/somebody/old.ckpt"}, "old.ckpt"),
    ],
)
def test_the_card_names_the_weights_that_a_training_began_with(weights, expected, tmp_path):
    clf = make_shared(config=CONFIG | {"weights": weights})
    assert f"| start | weights of `{expected}` |" in card_of(clf.save_pretrained(tmp_path))[1]


def test_the_card_quotes_published_figures_as_those_of_their_authors(tmp_path):
    record = gcvideo.weights.ZOO["slow_8x8_r50_pytorchvideo"]
    _, text = card_of(make_shared(source=record.name).save_pretrained(tmp_path))
    assert f"{record.views} views; not measured by gcvideo | {record.top1 / 100:.4f} |" in text


@pytest.mark.parametrize("data", [None, {"root": "elsewhere"}])
def test_the_card_quotes_a_test_of_the_same_checkpoint(data, tmp_path):
    clf = trained(tmp_path / "run")
    tested = tmp_path / "tested"
    tested.mkdir()
    given = {"checkpoint": "run/checkpoints/best.ckpt", "data": data, "calibration": CALIBRATION}
    record = TEST | given
    (tested / "results.json").write_text(json.dumps(record))
    _, text = card_of(clf.save_pretrained(tmp_path / "net", ModelCard(test=tested)))
    whose = "of data named for the test" if data else "that the training's data holds out"
    assert (
        f"| test: 8 of 9 videos {whose}; test: 2 clips; float32 by torch | 0.6250 | 1.0000 | 0.1235 |"
        in text
    )


def test_a_test_of_another_checkpoint_is_refused_and_nothing_is_written(tmp_path):
    clf = trained(tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"has no results.json of a test"):
        clf.save_pretrained(tmp_path / "net", ModelCard(test=tmp_path / "run"))
    tested = tmp_path / "tested"
    tested.mkdir()
    (tested / "results.json").write_text(json.dumps(TEST | {"checkpoint": "other/best.ckpt"}))
    with pytest.raises(
        CheckpointError, match=r"is of the checkpoint 'other/best.ckpt', but the net"
    ):
        clf.save_pretrained(tmp_path / "net", ModelCard(test=tested))
    assert not (tmp_path / "net").exists()


def test_the_card_names_the_packages_of_blocks_of_ones_own(tmp_path):
    block = {"_target_": "shared_net.make_shared", "_partial_": True}
    text = ModelCard().text(
        replace(read_checkpoint(make_shared().save_pretrained(tmp_path)), path=""),
        "hf://me/net",
        num_parameters=1,
        packages=["gcvideo", block["_target_"].partition(".")[0]],
    )
    assert "gcvideo.load(\"hf://me/net\", packages=['gcvideo', 'shared_net'])" in text
    assert "names functions of shared_net, which you need too" in text


def test_a_net_that_is_not_the_one_described_is_refused(tmp_path):
    changed = copy.deepcopy(make_shared())
    head = changed.model.net.blocks[-1]
    head.proj = nn.Linear(head.proj.in_features, 5)
    with pytest.raises(CheckpointError, match=r"2 tensors differ, such as 'net.blocks.*proj.bias'"):
        changed.save_pretrained(tmp_path / "net")
    with pytest.raises(CheckpointError, match="3 classes, but 2 names; give one name for each"):
        make_shared(classes=["a", "b"]).save_pretrained(tmp_path / "net")
    other = make_shared()
    other.protocol = replace(other.protocol, num_clips=7)
    with pytest.raises(CheckpointError, match=r"protocol is '.*7 clips.*describes '.*2 clips"):
        other.save_pretrained(tmp_path / "net")
    assert not (tmp_path / "net").exists()


def test_a_classifier_that_cannot_be_rebuilt_is_refused_with_a_remedy(classifier, tmp_path):
    with pytest.raises(CheckpointError, match=r"no configuration .* take one that `gcvideo.load`"):
        make_shared(config={}).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"made for torch in float32 .* take the checkpoint"):
        classifier.for_inference().save_pretrained(tmp_path)
    openvino = pytest.importorskip("openvino", reason="needs the extra openvino")
    assert openvino
    prepared = classifier.for_inference(engine="openvino")
    prepared.is_prepared = False  # as a file of `gcvideo export` is loaded
    with pytest.raises(CheckpointError, match="made for openvino in float32 already"):
        prepared.save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"config.json of '.*' is not JSON"),
        (
            '{"architectures": ["Bert"]}',
            r"is not a net of gcvideo: its config.json has no 'gcvideo'",
        ),
        ('{"gcvideo": {"classes": []}}', r"is not a net of gcvideo"),
        ("[]", r"is not a net of gcvideo"),
    ],
)
def test_a_folder_of_something_else_is_refused(content, message, classifier, tmp_path):
    classifier.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=message):
        gcvideo.load(tmp_path)


def test_a_configuration_that_was_changed_alone_is_refused(classifier, tmp_path):
    file = classifier.save_pretrained(tmp_path) / "config.json"
    file.write_text(file.read_text().replace('"left"', '"right"'))
    with pytest.raises(CheckpointError, match="describe two different nets"):
        gcvideo.load(tmp_path)


class _Trap:
    def __reduce__(self):
        return print, ("unpickled",)


@pytest.mark.parametrize("kind", ["pickle", "torch", "lfs"])
def test_only_safetensors_are_read_from_a_folder(kind, classifier, tmp_path, capsys):
    file = classifier.save_pretrained(tmp_path) / "model.safetensors"
    if kind == "pickle":
        file.write_bytes(pickle.dumps(_Trap()))
    elif kind == "torch":
        torch.save({"state_dict": classifier.model.state_dict()}, file)
    else:
        file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\n")
    with pytest.raises(CheckpointError, match=r"cannot be read as safetensors .* `git lfs pull`"):
        gcvideo.load(tmp_path)
    assert "unpickled" not in capsys.readouterr().out


def test_a_written_checkpoint_returns_what_stands_in_its_metadata(classifier, tmp_path):
    checkpoint = read_checkpoint(classifier.save_pretrained(tmp_path))
    product = write_checkpoint(tmp_path / "copy.safetensors", checkpoint)
    with safe_open(tmp_path / "copy.safetensors", "pt") as file:
        assert json.loads(file.metadata()["gcvideo"]) == product
    assert product["classes"] == list(classifier.classes)
