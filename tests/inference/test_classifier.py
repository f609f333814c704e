import functools
import io

import numpy as np
import pytest
import random_net
import torch
from small_protocol import DESCRIPTION

import gcvideo
from gcvideo._construction import ConstructionError, construct
from gcvideo.data import VideoReadError, write_video
from gcvideo.inference import CheckpointError, TrainedClassifier
from gcvideo.models import Placement, c2d_resnet, slow_resnet
from gcvideo.nn import global_context

PROTOCOL = DESCRIPTION | {
    "sampling": {"_target_": "gcvideo.data.SlowFastSampling"},
    "num_clips": 3,
    "num_crops": 3,
    "head": "fcn_prob",
}


def make_classifier():
    return random_net.make_classifier(slow_resnet(num_classes=3, width=4), construct(PROTOCOL))


def frames(num_frames=20):
    return np.random.default_rng(0).integers(0, 256, (num_frames, 48, 64, 3), np.uint8)


def test_scores_average_the_probabilities_of_the_views():
    clf = make_classifier()
    scores = clf.scores(frames(), num_clips=3, num_crops=3)
    clips = clf.protocol.sampling.test(20, 30.0, clf.protocol.spec, 3)
    expected = []
    for clip in clips:
        for x in (0, 8, 16):
            view = torch.from_numpy(frames()[clip][:, :, x : x + 48]).permute(3, 0, 1, 2)
            with torch.no_grad():
                logits = clf.model.net(clf.model.normalize(view[None]))
            expected.append(logits.softmax(-1)[0])
    torch.testing.assert_close(scores, torch.stack(expected).mean(0), atol=1e-5, rtol=1e-4)
    assert float(scores.sum()) == pytest.approx(1, abs=1e-5)


def test_a_prepared_classifier_gives_the_same_scores():
    clf = make_classifier()
    prepared = clf.for_inference()
    assert prepared.is_prepared
    assert not clf.is_prepared
    expected = clf.scores(frames(), num_clips=3, num_crops=3)
    torch.testing.assert_close(
        prepared.scores(frames(), num_clips=3, num_crops=3), expected, atol=1e-5, rtol=1e-4
    )
    assert expected.std() > 1e-3
    assert prepared.rank(expected) == clf.rank(expected)


def test_a_prepared_classifier_computes_in_the_type_asked_for():
    clf = make_classifier()
    seen = []
    prepared = clf.for_inference(precision="bfloat16")
    stem = prepared.model.net.blocks[0].conv
    stem.register_forward_hook(lambda net, inputs, y: seen.append(y.dtype))
    scores = prepared.scores(frames())
    assert seen == [torch.bfloat16]
    assert scores.dtype == torch.float32
    assert 0 < (scores - clf.scores(frames())).abs().max() < 0.05


def test_a_classifier_is_compiled_on_request(monkeypatch):
    compiled = []
    monkeypatch.setattr("gcvideo.inference._preparation.compile_net", compiled.append)
    clf = make_classifier()
    assert clf.for_inference().model.net not in compiled
    prepared = clf.for_inference(compile=True)
    assert compiled == [prepared.model.net]


@pytest.mark.parametrize(("batch_size", "passes"), [(1, [1] * 6), (4, [4, 2]), (None, [6])])
def test_views_go_through_the_net_in_batches(batch_size, passes):
    clf, seen = make_classifier(), []
    views = torch.randint(256, (2, 3, 3, 4, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        expected = clf.model(views)
    clf.model.net.register_forward_hook(lambda net, inputs, y: seen.append(len(y)))
    torch.testing.assert_close(clf.logits(views, batch_size), expected, atol=1e-5, rtol=1e-4)
    assert seen == passes


def test_a_pass_takes_a_million_pixels_on_a_cpu_but_at_least_one_view():
    clf = make_classifier()
    assert clf.views_per_pass(8 * 256 * 256) == 2
    assert clf.views_per_pass(64 * 256 * 256) == 1


def test_a_ranking_is_sorted_and_never_longer_than_the_classes():
    ranking = make_classifier().classify(frames(), top_k=10)
    assert len(ranking) == 3
    assert [p.score for p in ranking] == sorted((p.score for p in ranking), reverse=True)
    assert {p.name for p in ranking} == {"left", "à droite", "c"}


def test_a_tensor_of_frames_gives_the_scores_of_an_array():
    clf = make_classifier()
    torch.testing.assert_close(clf.scores(frames()), clf.scores(torch.from_numpy(frames())))


@pytest.fixture(params=["clip.mp4", "clip.mkv"])
def file(tmp_path, request):
    # The one is read by time stamps, the other by counting, and from its start at every read.
    codec = "libx264" if request.param == "clip.mp4" else "ffv1"
    write_video(tmp_path / request.param, frames(), codec=codec)
    return tmp_path / request.param


def test_a_file_gives_the_scores_of_its_frames(file):
    decoded = gcvideo.data.read_frames(file, range(20))
    clf = make_classifier()
    torch.testing.assert_close(clf.scores(file), clf.scores(decoded))


def test_a_file_in_memory_or_open_gives_what_its_path_does(file):
    clf, views = make_classifier(), {"num_clips": 3, "num_crops": 3}
    content = file.read_bytes()
    with file.open("rb") as stream:
        stream.seek(100)  # wherever it stands
        for video in (str(file), content, io.BytesIO(content), stream, stream):
            assert torch.equal(clf.scores(video, **views), clf.scores(file, **views))
            assert torch.equal(clf.features(video), clf.features(file))
            assert clf.classify(video) == clf.classify(file)
        assert not stream.closed


def test_what_is_no_video_in_memory_is_named(tmp_path):
    clf = make_classifier()
    with pytest.raises(VideoReadError, match="video 'video in memory': the file is empty"):
        clf.scores(b"")
    page = tmp_path / "page.mp4"
    page.write_bytes(b"<html>")
    message = r"video '.*page\.mp4': it looks like an HTML page"
    with page.open("rb") as stream, pytest.raises(VideoReadError, match=message):
        clf.scores(stream)


def test_a_classifier_says_what_it_is():
    clf = make_classifier()
    assert repr(clf).splitlines() == [
        "TrainedClassifier",
        f"  net       Net, {sum(p.numel() for p in clf.model.parameters()) / 1e6:.2f} M parameters",
        "  classes   3: left, à droite, c",
        f"  protocol  {clf.protocol}",
        "  device    cpu, float32",
    ]
    config = {"model": {"name": "slow_gc"}}
    loaded = TrainedClassifier(
        clf.model, classes="abcdef", protocol=clf.protocol, config=config, source="best.ckpt"
    ).for_inference(precision="bfloat16")
    lines = repr(loaded).splitlines()
    assert lines[1] == "  source    best.ckpt"
    assert lines[2].startswith("  net       slow_gc, ")
    assert lines[3] == "  classes   6: a, b, c, d, e, ..."
    assert lines[5] == "  device    cpu, bfloat16"


def test_a_prediction_says_what_was_seen_and_when():
    clf, scores = make_classifier(), torch.tensor([0.25, 0.75, 0.0])
    (best,) = clf.rank(scores, 1)
    assert (best.start_seconds, best.end_seconds) == (None, None)
    assert repr(best) == "Prediction('à droite', score=0.750, label=1)"
    (best,) = clf.rank(scores, 1, start_seconds=1.5, end_seconds=63.25)
    assert repr(best) == "Prediction('à droite', score=0.750, label=1, 1.50 to 63.25 s)"


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("video", "top_k", "message"),
    [
        (
            frames().astype(np.float32),
            1,
            r"frames are float32 of shape \(20, 48, 64, 3\); pass uint8",
        ),
        (frames()[0], 1, r"of shape \(48, 64, 3\); pass uint8 RGB"),
        (frames(), 0, "top_k is 0; ask for at least 1 class"),
    ],
)
def test_unusable_input_is_refused(video, top_k, message):
    with pytest.raises(ValueError, match=message):
        make_classifier().classify(video, top_k)


def write_checkpoint(path, net, description):
    model = random_net.make_classifier(net).model
    config = {"model": {"net": description}, "protocol": PROTOCOL}
    product = {"version": "0", "classes": ["a", "b", "c"], "config": config}
    state = {f"model.{key}": value for key, value in model.state_dict().items()}
    torch.save({"state_dict": state, "gcvideo": product}, path)


def test_load_rebuilds_the_net_with_its_blocks_from_plain_data(tmp_path):
    block = functools.partial(global_context, ratio=0.5)
    net = c2d_resnet(num_classes=3, width=4, placement=Placement(block=block, res3=[1]))
    description = {
        "_target_": "gcvideo.models.c2d_resnet",
        "num_classes": 3,
        "width": 4,
        "placement": {
            "_target_": "gcvideo.models.Placement",
            "block": {"_target_": "gcvideo.nn.global_context", "_partial_": True, "ratio": 0.5},
            "res3": [1],
        },
    }
    write_checkpoint(tmp_path / "a.ckpt", net, description)
    clf = gcvideo.load(tmp_path / "a.ckpt", device="cpu")
    for name, value in net.state_dict().items():
        assert torch.equal(clf.model.net.state_dict()[name], value), name
    assert not clf.model.training
    assert clf.model.net.blocks[-1].mode == "fcn_prob"


def test_a_checkpoint_that_names_foreign_code_is_refused(tmp_path):
    net = slow_resnet(num_classes=3, width=4)
    write_checkpoint(tmp_path / "a.ckpt", net, {"_target_": "os.system", "command": "true"})
    with pytest.raises(ConstructionError, match=r"'os\.system', but only gcvideo may be imported"):
        gcvideo.load(tmp_path / "a.ckpt")


def test_files_that_are_not_ours_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"no checkpoint at '.*none\.ckpt'"):
        gcvideo.load(tmp_path / "none.ckpt")
    (tmp_path / "noise.ckpt").write_bytes(b"noise")
    with pytest.raises(CheckpointError, match="cannot be read as a checkpoint"):
        gcvideo.load(tmp_path / "noise.ckpt")
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError, match="is not a gcvideo checkpoint: it has weights but"):
        gcvideo.load(tmp_path / "other.ckpt")
