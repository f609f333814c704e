import functools
import itertools
import json
import math
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from block_sample import BLOCKS, stem_and_head
from random_net import make_classifier, make_protocol
from torch import nn

from gcvideo.data import EvaluationProtocol, MMActionCrops, SlowFastSampling, write_video
from gcvideo.data.made._demo import render_motion
from gcvideo.inference import GraphError
from gcvideo.inference._export import export_classifier
from gcvideo.inference._folding import fold_batch_norms
from gcvideo.inference.engine._onnx import write_onnx
from gcvideo.models import Placement, c2d_resnet, i3d_resnet, slow_resnet

partial = functools.partial
# The checker of shapes would run inside the traces and slow them down.
pytestmark = pytest.mark.usefixtures("unchecked")


def random_clips(num_clips, size=48):
    return torch.randint(0, 256, (num_clips, 3, 4, size, size), dtype=torch.uint8)


@torch.no_grad()
def assert_same(outputs, classifier, clips):
    logits = classifier.model.eval()(clips[:, None])[:, 0]
    assert logits.std() > 0.1
    for found, wanted in zip(outputs, (logits, logits.softmax(-1)), strict=True):
        torch.testing.assert_close(torch.as_tensor(found), wanted, atol=1e-4, rtol=0)


def open_program(path):
    program = torch.export.load(path).module()
    return lambda clips: program(clips).values()


def open_onnx(path):
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options)
    return lambda clips: session.run(["logits", "scores"], {"clips": clips.numpy()})


OPEN = {".onnx": open_onnx, ".pt2": open_program}


# Several blocks in one net: what an export takes hardly depends on their number.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("suffix", "blocks"),
    [
        (".pt2", [name for name in BLOCKS if "nl_" in name]),
        (".pt2", [name for name in BLOCKS if "nl_" not in name]),
        (".onnx", [name for name in BLOCKS if "nl_" in name]),
        (".onnx", [name for name in BLOCKS if "nl_" not in name]),
    ],
    ids=["non-local, pt2", "others, pt2", "non-local, onnx", "others, onnx"],
)
def test_all_blocks_give_the_same_logits_from_a_file(tmp_path, blocks, suffix):
    classifier = make_classifier(stem_and_head(*blocks), val_crop_size=32)
    export_classifier(classifier, tmp_path / f"net{suffix}")
    run = OPEN[suffix](tmp_path / f"net{suffix}")
    for size in (1, 5):
        clips = random_clips(size, 32)
        assert_same(run(clips), classifier, clips)


@pytest.mark.parametrize(
    ("build", "head", "blocks", "suffix"),
    [
        pytest.param(slow_resnet, "fcn_prob", ["gc", "nl"], ".onnx", marks=pytest.mark.slow),
        (i3d_resnet, "fcn_logit", ["se", "cc"], ".pt2"),
        pytest.param(
            c2d_resnet,
            "adaptive",
            ["nl_concatenation", "snl"],
            ".pt2",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_each_net_with_each_head_gives_the_same_logits(tmp_path, build, head, blocks, suffix):
    kinds = itertools.cycle(BLOCKS[name] for name in blocks)
    placement = Placement(
        block=lambda channels: next(kinds)(channels), res3=[1, 3], position="after_add"
    )
    net = build(num_classes=3, width=4, placement=placement)
    classifier = make_classifier(net, head=head)
    path = tmp_path / f"net{suffix}"
    differences = export_classifier(classifier, path)
    assert len(differences) == 6
    assert max(differences.values()) < 1e-4
    clips = random_clips(2)
    assert_same(OPEN[suffix](path)(clips), classifier, clips)


@pytest.mark.slow
def test_both_formats_carry_the_same_metadata_and_no_path_of_the_sources(tmp_path):
    onnx = pytest.importorskip("onnx")
    protocol = make_protocol(crops=MMActionCrops(), sampling=SlowFastSampling(target_fps=24))
    classifier = make_classifier(stem_and_head(), protocol)
    sources = str(Path(fold_batch_norms.__code__.co_filename).parent.parent).encode()
    for suffix in (".onnx", ".pt2"):
        export_classifier(classifier, tmp_path / f"net{suffix}", source="runs/a/best.ckpt")
        assert sources not in (tmp_path / f"net{suffix}").read_bytes()
    properties = {p.key: p.value for p in onnx.load(tmp_path / "net.onnx").metadata_props}
    extra_files = {"gcvideo.json": ""}
    torch.export.load(tmp_path / "net.pt2", extra_files=extra_files)
    metadata = json.loads(properties["gcvideo"])
    assert metadata == json.loads(extra_files["gcvideo.json"])
    assert metadata["checkpoint"] == "runs/a/best.ckpt"
    assert metadata["classes"] == ["left", "à droite", "c"]
    assert metadata["normalization"]["mean"] == [0.4, 0.5, 0.6]
    assert metadata["normalization"]["std"] == [0.2, 0.25, 0.3]
    assert metadata["normalization"]["formula"] == "(clips / 255 - mean) / std, inside the graph"
    about = metadata["protocol"]
    names = {field.name for field in fields(EvaluationProtocol)}
    elsewhere = {"mean", "std", "val_crop_size", "train_crop_size"}
    assert about.keys() == names - elsewhere | {"decode_short_side"}
    sampling = {"offset": False, "target_fps": 24, "reader": "whole"}
    assert about.pop("sampling") == {"rule": "SlowFastSampling", **sampling}
    assert about.pop("resizing") == {"rule": "TorchvisionResizing"}
    assert about.pop("crops") == {"rule": "MMActionCrops"}
    assert (about.pop("decode_short_side"), about.pop("crop_size")) == (80, 48)
    assert about == {name: getattr(protocol, name) for name in about}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", OPEN)
def test_motion_is_taken_within_the_graph(tmp_path, suffix):
    net = stem_and_head("gc")
    classifier = make_classifier(net, val_crop_size=32, normalization="motion")
    export_classifier(classifier, tmp_path / f"net{suffix}")
    clips = random_clips(2, 32)
    outputs = OPEN[suffix](tmp_path / f"net{suffix}")(clips)
    assert_same(outputs, classifier, clips)
    if suffix == ".pt2":
        files = {"gcvideo.json": ""}
        torch.export.load(tmp_path / "net.pt2", extra_files=files)
        metadata = json.loads(files["gcvideo.json"])
        assert metadata["protocol"]["normalization"] == "motion"
        assert metadata["normalization"]["formula"].startswith(
            "m / (s + 1), m = clips - their mean"
        )
    assert_same(OPEN[suffix](tmp_path / f"net{suffix}")(clips // 2 + 100), classifier, clips // 2)


def test_another_crop_size_is_exported_on_request(tmp_path):
    classifier = make_classifier(stem_and_head())
    export_classifier(classifier, tmp_path / "net.pt2", crop_size=64)
    clips = random_clips(2, 64)
    assert_same(open_program(tmp_path / "net.pt2")(clips), classifier, clips)


def test_the_file_is_compared_on_given_videos_too(tmp_path):
    frames = render_motion("up", np.random.default_rng(0), num_frames=12, size=64)
    write_video(tmp_path / "a.mp4", frames)
    differences = export_classifier(
        make_classifier(stem_and_head()), tmp_path / "net.pt2", videos=[str(tmp_path / "a.mp4")]
    )
    assert str(tmp_path / "a.mp4") in differences


class Forgetful(nn.Module):
    """A block whose trace computes something else than itself."""

    def __init__(self, wrong):
        super().__init__()
        self.register_buffer("wrong", torch.tensor(wrong))  # as a number torch 2.7 cannot write NaN

    def forward(self, x):
        return x + self.wrong if torch.compiler.is_exporting() else x


@pytest.mark.parametrize("wrong", [1.0, math.nan])
def test_a_file_with_other_logits_is_not_left_behind(tmp_path, wrong):
    classifier = make_classifier(nn.Sequential(Forgetful(wrong), stem_and_head()))
    (tmp_path / "net.pt2").write_bytes(b"old")
    with pytest.raises(GraphError, match=r"exported net differs .* by .* on .*, more than 1e-03"):
        export_classifier(classifier, tmp_path / "net.pt2")
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt2"]
    assert (tmp_path / "net.pt2").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("name", "crop_size", "message"),
    [
        ("net.pth", None, r"output is '.*net\.pth'; give a file ending in \.onnx, \.pt2"),
        ("net.pt2", 65, "crop_size is 65 pixels, the short side 64; the crop must fit"),
        ("net.pt2", 0, "crop_size is 0 pixels"),
        ("net.pt2", 16, "the head's window is 3 x 3; use a crop of at least 96 pixels"),
    ],
)
def test_what_cannot_be_exported_is_refused(tmp_path, name, crop_size, message):
    classifier = make_classifier(stem_and_head(), train_crop_size=96)
    with pytest.raises(ValueError, match=message):
        export_classifier(classifier, tmp_path / name, crop_size=crop_size)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named_with_the_command_that_brings_it(tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    message = rf"an .onnx graph needs the package {package}, which is not .*; pip install gcvideo"
    with pytest.raises(GraphError, match=message):
        export_classifier(make_classifier(stem_and_head()), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_weights_that_need_a_second_file_are_refused(tmp_path, monkeypatch):
    pytest.importorskip("onnxscript")
    threshold = "torch.onnx._internal.exporter._onnx_program._LARGE_MODEL_THRESHOLD"
    monkeypatch.setattr(threshold, 0)
    with pytest.raises(
        GraphError, match=r"weights are over 2 GB, which an \.onnx file cannot hold"
    ):
        export_classifier(make_classifier(stem_and_head()), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_low_precision_nets_sum_in_float32_in_onnx(tmp_path):
    onnx = pytest.importorskip("onnx")

    class Scorer(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = stem_and_head("gc", "se", "nl", "cc").bfloat16().eval()
            self.net[-1].configure("fcn_logit", 2)

        def forward(self, clips):
            logits = self.net(clips.bfloat16())
            return {"logits": logits, "scores": logits.softmax(-1)}

    clips = torch.zeros(2, 3, 4, 32, 32, dtype=torch.uint8)
    shapes = {"clips": {0: torch.export.Dim("batch")}}
    program = torch.export.export(Scorer(), (clips,), dynamic_shapes=shapes, strict=False)
    path = tmp_path / "net.onnx"
    write_onnx(program, "{}", path)
    graph = onnx.load(path).graph
    types = {value.name: value.type.tensor_type.elem_type for value in graph.value_info}
    summing = [n for n in graph.node if n.op_type in ("ReduceMean", "Softmax", "AveragePool")]
    assert len(summing) >= len(("gc", "se", "nl", "cc", "cc", "head", "head", "head", "scores"))
    assert {types[node.input[0]] for node in summing} == {onnx.TensorProto.FLOAT}
