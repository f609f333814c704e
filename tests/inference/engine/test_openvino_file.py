"""Files for OpenVINO: written from a checkpoint, and loaded like one."""

import shutil
from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch
from random_net import make_classifier
from small_protocol import DESCRIPTION
from torch import nn

import gcvideo
from gcvideo.inference import (
    Checkpoint,
    CheckpointError,
    GraphError,
    TrainedClassifier,
    export_classifier,
    read_checkpoint,
    write_checkpoint,
)
from gcvideo.models import Head

pytestmark = [
    pytest.mark.usefixtures("unchecked"),
    pytest.mark.skipif(not find_spec("openvino"), reason="needs openvino"),
]
needs_nncf = pytest.mark.skipif(not find_spec("nncf"), reason="needs nncf")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    net = make_classifier(Head(3, 3)).model.net
    path = tmp_path_factory.mktemp("checkpoint") / "source.safetensors"
    # The head alone, of which everything is quickly translated.
    description = {"_target_": "gcvideo.models.Head", "in_channels": 3, "num_classes": 3}
    protocol = {**DESCRIPTION, "normalization": "motion"}
    write_checkpoint(
        path,
        Checkpoint.of_net(
            net, name="head", description=description, classes=["a", "b", "ü"], protocol=protocol
        ),
    )
    return path


@pytest.fixture(scope="module")
def exported(checkpoint, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "net.xml"
    differences = export_classifier(gcvideo.load(checkpoint, device="cpu"), path)
    assert max(differences.values()) < 1e-3
    assert sorted(file.name for file in path.parent.iterdir()) == ["net.bin", "net.xml"]
    return path


def test_a_file_is_loaded_like_the_checkpoint_it_was_made_of(checkpoint, exported, videos):
    source, loaded = gcvideo.load(checkpoint, device="cpu"), gcvideo.load(exported)
    assert (loaded.engine, loaded.precision) == ("openvino", "float32")
    assert loaded.classes == ("a", "b", "ü")
    assert loaded.protocol.normalization == "motion"
    for video in videos[:3]:
        expected = source.scores(video)
        assert expected.std() > 1e-3
        torch.testing.assert_close(loaded.scores(video), expected, atol=1e-5, rtol=0)
    with pytest.raises(GraphError, match="has logits only"):
        loaded.features(videos[0])


@pytest.mark.slow
@needs_nncf
def test_a_file_in_int8_has_its_record_and_computes_what_was_measured(
    checkpoint, classifier, videos, tmp_path
):
    given = gcvideo.load(checkpoint, device="cpu")
    # The head alone has nothing to quantise.
    source = TrainedClassifier(
        classifier.model, classes=given.classes, protocol=classifier.protocol, config=given.config
    )
    export_classifier(source, tmp_path / "net.xml", precision="int8", calibration=videos)
    loaded = gcvideo.load(tmp_path / "net.xml")
    assert (loaded.engine, loaded.precision) == ("openvino", "int8")
    record = loaded.engine_model.record
    assert record["tool"].startswith("nncf ")
    assert (record["calibration_clips"], record["measured_clips"]) == (6, 2)
    assert 0 <= record["top1_agreement"] <= 1
    found, expected = (torch.stack([c.scores(v) for v in videos]) for c in (loaded, source))
    assert (found - expected).abs().max() < 0.1
    assert 'type="FakeQuantize"' in (tmp_path / "net.xml").read_text(encoding="utf-8")


@pytest.mark.slow
def test_files_of_two_exports_are_told_apart(checkpoint, exported, tmp_path):
    for file in exported.parent.iterdir():
        shutil.copy(file, tmp_path)
    other = gcvideo.load(checkpoint, device="cpu")
    with torch.no_grad():
        other.model.net.proj.bias[0] += 1
    export_classifier(other, tmp_path / "other.xml")
    shutil.copy(tmp_path / "other.bin", tmp_path / "net.bin")
    with pytest.raises(GraphError, match=r"net\.bin' has not the weights of 'net\.xml'"):
        gcvideo.load(tmp_path / "net.xml")


def test_what_is_no_file_of_ours_is_named(exported, tmp_path):
    import openvino  # noqa: PLC0415 - only here

    with pytest.raises(GraphError, match=r"no file at '.*none\.xml'"):
        gcvideo.load(tmp_path / "none.xml")
    shutil.copy(exported, tmp_path / "alone.xml")
    with pytest.raises(GraphError, match=r"no file at '.*alone\.bin'"):
        gcvideo.load(tmp_path / "alone.xml")
    (tmp_path / "noise.xml").write_text("noise")
    (tmp_path / "noise.bin").write_bytes(b"")
    with pytest.raises(GraphError, match=r"noise\.xml' cannot be read as a net of OpenVINO"):
        gcvideo.load(tmp_path / "noise.xml")
    foreign = openvino.convert_model(torch.export.export(nn.Linear(2, 2), (torch.zeros(1, 2),)))
    openvino.save_model(foreign, tmp_path / "foreign.xml")
    with pytest.raises(GraphError, match="was written by another program"):
        gcvideo.load(tmp_path / "foreign.xml")


def test_another_type_is_for_openvino_alone(checkpoint, tmp_path):
    source = gcvideo.load(checkpoint, device="cpu")
    with pytest.raises(GraphError, match=r"precision is int8, which is for OpenVINO; .* \.xml"):
        export_classifier(source, tmp_path / "net.pt2", precision="int8")
    with pytest.raises(ValueError, match="precision is 'int4'"):
        export_classifier(source, tmp_path / "net.xml", precision="int4")
    with pytest.raises(GraphError, match="has 0 clips to calibrate with"):
        export_classifier(source, tmp_path / "net.xml", precision="int8")
    assert not list(tmp_path.iterdir())


def test_what_was_exported_is_not_exported_again(exported, tmp_path):
    with pytest.raises(GraphError, match="made for openvino already; export the checkpoint"):
        export_classifier(gcvideo.load(exported), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_a_protocol_with_another_head_is_refused(exported):
    adaptive = read_checkpoint(exported)
    protocol = adaptive.build_protocol()
    assert adaptive.build_model(replace(protocol, train_crop_size=96)) is adaptive.engine
    with pytest.raises(
        CheckpointError, match=r"the head fcn_prob with a window of 1, but .* adaptive"
    ):
        adaptive.build_model(replace(protocol, head="fcn_prob"))
    convolutional = replace(adaptive, protocol={**adaptive.protocol, "head": "fcn_prob"})
    with pytest.raises(CheckpointError, match=r"a window of 3, but .* a window of 1"):
        convolutional.build_model(replace(protocol, head="fcn_prob", train_crop_size=96))


@pytest.mark.slow
def test_what_was_exported_without_a_configuration_is_not_loaded(tmp_path):
    export_classifier(make_classifier(Head(3, 3)), tmp_path / "net.xml")
    with pytest.raises(
        CheckpointError, match="without a configuration, so its protocol is not known"
    ):
        gcvideo.load(tmp_path / "net.xml")
