"""Nets in int8: quantised, measured, and kept near their originals."""

import gc
import sys
from importlib.util import find_spec

import pytest
import torch
from block_sample import BLOCKS, stem_and_head
from random_net import make_classifier, random_views
from signal_stack import can_handle_signals
from torch import nn

from gcvideo.inference import GraphError, quantized_model
from gcvideo.inference.engine import _int8, _openvino
from gcvideo.inference.engine._int8 import quantized_graph
from gcvideo.inference.engine._openvino import core
from gcvideo.inference.engine._quantization import AgreementControl
from gcvideo.models import ClipClassifier, Head, Placement, slow_resnet

# The checker of shapes would run inside the traces and slow them down.
pytestmark = pytest.mark.usefixtures("unchecked")
needs_nncf = pytest.mark.skipif(not find_spec("nncf"), reason="needs openvino and nncf")


@pytest.mark.slow
@needs_nncf
def test_a_net_in_int8_says_what_it_does_and_how_near_it_is(classifier, videos):
    prepared = classifier.for_inference(engine="openvino", precision="int8", calibration=videos)
    record = prepared.engine_model.record
    assert (record["calibration_clips"], record["measured_clips"]) == (6, 2)
    assert record["clip_size"] == [4, 32, 32]
    # The pooling and the two products of the pairs stay in float.
    assert 0 < len(record["products_in_float"]) < record["products"]
    assert 0 < record["score_distance"] < 0.1
    views = random_views(6, 1)
    found, expected = prepared.logits(views), classifier.logits(views)
    error = (found - expected).norm() / (expected - expected.mean()).norm()
    assert 1e-4 < error < 0.2
    with pytest.raises(
        GraphError, match="made for clips of 4 x 32 x 32, and these have 4 x 64 x 64"
    ):
        prepared.scores(videos[0], num_clips=2, num_crops=3)
    with pytest.raises(ValueError, match="made for openvino in int8 already; load the checkpoint"):
        prepared.for_inference(engine="torch", precision="float32")
    assert prepared.for_inference().engine_model is prepared.engine_model


@needs_nncf
@pytest.mark.slow
@pytest.mark.parametrize("normalization", ["constants", "motion"])
def test_the_input_of_a_net_is_rounded_once_behind_its_normalization(normalization):
    given = make_classifier(stem_and_head("gc"), val_crop_size=32).model
    mean, std = (tuple(buffer.flatten().tolist()) for buffer in (given.mean, given.std))
    model = ClipClassifier(given.net, mean=mean, std=std, normalization=normalization).eval()
    graph, _ = quantized_graph(model, list(random_views(12)))
    ordered = graph.get_ordered_ops()
    first = next(node for node in ordered if node.get_type_name() == "Convolution")
    before, waiting = {}, [first.input_value(0).get_node()]
    while waiting:
        node = waiting.pop()
        before[node.get_friendly_name()] = node.get_type_name()
        waiting += [node.input_value(i).get_node() for i in range(node.get_input_size())]
    assert [*before.values()].count("FakeQuantize") == 1
    assert "Divide" in before.values()


def first_residual_block(name):
    """A net of stem, one residual block with a named block in it, and head."""
    net = slow_resnet(num_classes=3, width=8, placement=Placement(block=BLOCKS[name], res2=(0,)))
    stem, stage = net.blocks[:2]
    stage.res_blocks = stage.res_blocks[:1]
    return nn.Sequential(stem, stage, Head(32, 3))


@needs_nncf
@pytest.mark.slow
@pytest.mark.parametrize("name", ["gc", "nl"])
def test_the_products_that_openvino_computes_in_float_are_those_of_the_record(name):
    model = make_classifier(first_residual_block(name), val_crop_size=32).model
    graph, record = quantized_graph(model, list(random_views(8)))
    compiled = core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    products = {
        node.get_friendly_name()
        for node in graph.get_ops()
        if node.get_type_name() in ("Convolution", "MatMul", "ScaledDotProductAttention")
    }
    in_int8, rounded = set(), set()
    for node in compiled.get_runtime_model().get_ops():
        facts = {key: str(value.value) for key, value in node.get_rt_info().items()}
        names = {
            name.removesuffix("/DequantizationMultiply")
            for name in facts["originalLayersNames"].split(",")
        }
        if facts["runtimePrecision"] in ("i8", "u8"):
            in_int8 |= products & names
        if facts["layerType"] == "FakeQuantize":
            rounded |= names
    # A convolution whose input a product in float reads, too, would be computed in float.
    assert in_int8 == products - set(record["products_in_float"])
    in_float = products - in_int8
    assert len(in_float) == {"gc": 3, "nl": 2}[name] <= len(products) / 3
    # Nothing is rounded in a pass of its own, and nothing behind the head.
    assert name == "nl" or not rounded
    behind = graph.get_ordered_ops()[-8:]
    assert not any(node.get_type_name() == "FakeQuantize" for node in behind)


@pytest.mark.parametrize("min_agreement", [None, 0.9])
def test_calibration_needs_some_clips(classifier, min_agreement):
    with pytest.raises(GraphError, match="has 3 clips to calibrate with; give at least 4"):
        quantized_model(classifier.model, list(random_views(3)), min_agreement)


@needs_nncf
@pytest.mark.slow
def test_a_quantized_net_far_from_its_original_is_refused(monkeypatch):
    monkeypatch.setattr(_int8, "_LARGEST_SCORE_DISTANCE", 1e-6)  # rounding alone is above it
    classifier = make_classifier(stem_and_head("gc"), val_crop_size=32)
    with pytest.raises(GraphError, match="in int8, the scores of 3 clips move"):
        quantized_model(classifier.model, list(random_views(12)))


def nearly_tied(clips):
    """A net whose two best classes are so near each other that rounding to int8 swaps them in some clips."""
    model = make_classifier(first_residual_block("gc"), val_crop_size=32).model
    head = [module for module in model.net.modules() if isinstance(module, nn.Linear)][-1]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        noise = torch.randn(head.in_features, generator=generator)
        head.weight[1] = head.weight[0] + 0.4 * noise
        head.bias.copy_(torch.tensor([0.0, 0.0, -10.0]))
        logits = model(clips[:, None])[:, 0]
        head.bias[1] += (logits[:, 0] - logits[:, 1]).median()
    return model


@needs_nncf
@pytest.mark.slow
def test_under_control_products_return_to_float_until_classes_stay(monkeypatch):
    # Rounding to bfloat16 would swap tied classes, too.
    monkeypatch.setattr(_openvino, "has_type", lambda precision: precision == "float32")
    clips = random_views(240)
    model = nearly_tied(clips)
    _, free = quantized_graph(model, list(clips))
    _, kept = quantized_graph(model, list(clips), 0.99)
    assert free["top1_agreement"] < 0.99
    assert "controlled_agreement" not in free
    assert kept["controlled_agreement"] >= 0.99
    counts = [kept[f"{name}_clips"] for name in ("calibration", "controlling", "measured")]
    assert counts == [180, 30, 30]
    assert set(free["products_in_float"]) < set(kept["products_in_float"])
    assert kept["score_distance"] < free["score_distance"]
    gc.collect()
    # Cores that are dropped in the order in which they were made would leave a stack that is gone.
    assert not sys.platform.startswith("linux") or can_handle_signals()


@pytest.mark.parametrize(("num_wrong", "keeps"), [(1, True), (2, False)])
def test_a_control_that_the_net_on_this_processor_does_not_keep_is_an_error(num_wrong, keeps):
    clips, best = list(random_views(20)), torch.zeros(20, dtype=torch.int64)
    answers = iter([[0.0, 1.0]] * num_wrong + [[1.0, 0.0]] * (20 - num_wrong))
    run = lambda _: {"logits": torch.tensor([next(answers)])}  # noqa: E731
    control = AgreementControl(clips, best, 0.95)  # a little above 19 / 20 in float32
    if keeps:
        found = _int8._controlled(run, control)
        assert found == {"controlling_clips": 20, "controlled_agreement": 0.95}
    else:
        with pytest.raises(GraphError, match=r"90\.0% of 20 clips .*, and min_agreement is 0\.95"):
            _int8._controlled(run, control)


@pytest.mark.parametrize(
    ("precision", "share", "message"),
    [
        ("float32", 0.9, "min_agreement is 0.9 with precision float32, but int8 alone"),
        ("int8", 0.0, "min_agreement is 0; give the share"),
        ("int8", 99, "min_agreement is 99; give the share"),
    ],
)
def test_a_control_of_nothing_or_by_no_share_is_refused(classifier, precision, share, message):
    with pytest.raises(ValueError, match=message):
        classifier.for_inference(precision=precision, min_agreement=share)
