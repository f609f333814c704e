import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from block_net import write_block_checkpoint
from PIL import Image
from small_protocol import make_protocol
from timed_video import TWO_RATES, shown_times, write_timed_video

import gcvideo
from gcvideo.attention._caption import clip_times
from gcvideo.attention._grad_cam import grad_cam
from gcvideo.attention._map import DEFAULT_QUERIES, attention_maps
from gcvideo.command.attention._show import _check_same_clips, _source_view, attention_show
from gcvideo.command.attention._video_folder import recorded_name, remove_earlier, video_folder
from gcvideo.data import MMActionResizing, SlowFastSampling, VideoReadError, probe, read_views

CLASSES = ("light", "dark", "7 samurai")
NET = {"classes": CLASSES, "size": 48, "res3": [3], "res4": [1, 5]}
PICTURES = {"sheet.png", "animation.mp4", "animation.gif", "attention.json", "grad_cam.npy"}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    for name, block in (("nl", "NonLocalBlock"), ("gc", "global_context"), ("bare", None)):
        write_block_checkpoint(folder / f"{name}.safetensors", block, **NET)
    write_block_checkpoint(folder / "long.safetensors", "global_context", **NET, num_frames=8)
    return folder


@pytest.fixture
def show(checkpoints, tmp_path, video_folder, compose_config):
    """Run the job on a video of 20 frames at 30 per second."""

    def run(name, *words, video=video_folder / "dark" / "dark_1.mp4"):
        given = [f"checkpoint={checkpoints}/{name}.safetensors", f"video='{video}'"]
        composed = compose_config("attention_show", [*given, f"output={tmp_path}/out", *words])
        return attention_show(composed)

    return run


def test_maps_of_both_checkpoints_and_grad_cam_are_drawn_and_kept(
    show, checkpoints, tmp_path, video_folder, capsys
):
    folder = show("nl", f"beside={checkpoints}/gc.safetensors")
    assert folder == tmp_path / "out" / "dark_1"
    arrays = {"res4.5.npy", "beside_res4.5.npy"}
    assert {path.name for path in folder.iterdir()} == PICTURES | arrays
    video = str(video_folder / "dark" / "dark_1.mp4")
    first, second = (
        gcvideo.load(checkpoints / f"{name}.safetensors", device="cpu") for name in ("nl", "gc")
    )
    view = read_views(video, first.protocol.single_view())[0]
    expected = np.stack([m.weights for m in attention_maps(first.model, view)])
    assert expected.shape == (6, 4, 3, 3)
    np.testing.assert_allclose(np.load(folder / "res4.5.npy"), expected, rtol=1e-4, atol=1e-7)
    (single,) = attention_maps(second.model, view)
    found = np.load(folder / "beside_res4.5.npy")
    np.testing.assert_allclose(found, single.weights[None], rtol=1e-4, atol=1e-7)
    cam = grad_cam(first.model, view)
    found = np.load(folder / "grad_cam.npy")
    np.testing.assert_allclose(found, cam.weights[None], rtol=1e-3, atol=1e-7)

    record = json.loads((folder / "attention.json").read_text())
    assert record["frames"] == [6, 8, 10, 13]
    assert record["frames_per_second"] == pytest.approx(30 * 3 / 7)
    assert probe(folder / "animation.mp4").fps == pytest.approx(30 * 3 / 7, rel=1e-3)
    scores = first.scores(video).tolist()
    assert record["scores"] == pytest.approx(dict(zip(CLASSES, scores, strict=True)), abs=1e-5)
    nl, gc = record["arrays"]
    assert (nl["file"], nl["kind"], nl["grid"]) == ("res4.5.npy", "embedded_gaussian", [4, 3, 3])
    assert nl["queries"] == [list(query) for query in DEFAULT_QUERIES]
    assert nl["query_cells"][0] == [1, 0, 0]
    assert [sum(shares) for shares in nl["temporal_shares"]] == pytest.approx([1] * 6)
    assert (gc["file"], gc["kind"]) == ("beside_res4.5.npy", "att")
    assert gc["checkpoint"].endswith("gc.safetensors")
    assert "queries" not in gc
    assert record["grad_cam"]["name"] == CLASSES[cam.label]
    assert record["grad_cam"]["logit"] == pytest.approx(cam.logit, rel=1e-3)
    printed = capsys.readouterr().out
    assert "x uniform" in printed
    assert "beside: res4.5 context block" in printed.replace(" │", "").replace("\n│ ", " ")


@pytest.mark.slow
def test_maps_scores_and_grad_cam_are_computed_in_the_precision_asked_for(show, capsys):
    arrays, scores = [], []
    for name in ("float32", "bfloat16"):
        folder = show("nl", f"precision={name}")
        record = json.loads((folder / "attention.json").read_text())
        assert record["precision"] == name
        assert f"precision  {name}\n" in capsys.readouterr().out
        arrays.append([np.load(folder / file) for file in ("res4.5.npy", "grad_cam.npy")])
        scores.append(record["scores"])
    for exact, rounded in zip(*arrays, strict=True):
        assert not np.allclose(exact, rounded, rtol=1e-5)
        np.testing.assert_allclose(rounded, exact, atol=0.1 * exact.max())
    assert scores[0] != pytest.approx(scores[1], abs=1e-6)
    assert scores[0] == pytest.approx(scores[1], abs=0.05)


def test_queries_layers_class_and_target_layer_are_those_asked_for(show):
    words = ["queries=[[0,0,0],[1,1,1]]", "layers=[res4.1,res3.3]", "label=dark"]
    folder = show("nl", *words, "grad_cam_layer=res4")
    assert {path.name for path in folder.glob("res*")} == {"res4.1.npy", "res3.3.npy"}
    record = json.loads((folder / "attention.json").read_text())
    assert [array["layer"] for array in record["arrays"]] == ["res4.1", "res3.3"]
    assert [array["query_cells"] for array in record["arrays"]] == [
        [[0, 0, 0], [3, 2, 2]],
        [[0, 0, 0], [3, 5, 5]],
    ]
    cam = record["grad_cam"]
    assert (cam["layer"], cam["label"], cam["name"], cam["grid"]) == ("res4", 1, "dark", [4, 3, 3])


def test_the_folder_of_a_video_is_its_own(tmp_path):
    first, second = (str(tmp_path / name / "clip.mp4") for name in "ab")
    for video, name in ((first, "clip"), (second, "clip_2"), (first, "clip"), (second, "clip_2")):
        folder = video_folder(tmp_path, video)
        assert folder == tmp_path / name
        folder.mkdir(exist_ok=True)
        record = {"video": recorded_name(video), "files": ["old.npy", "sheet.png", "../a.txt"]}
        (folder / "attention.json").write_text(json.dumps(record))
    for path in (folder / "old.npy", folder / "sheet.png", tmp_path / "a.txt", folder / "mine.npy"):
        path.touch()
    remove_earlier(folder, ["sheet.png"])
    left = {path.name for path in folder.iterdir()}
    assert left == {"sheet.png", "mine.npy", "attention.json"}
    assert (tmp_path / "a.txt").is_file()


@pytest.mark.slow
def test_two_videos_of_one_name_have_a_folder_each_and_nothing_stale_stays(
    show, tmp_path, video_folder
):
    videos = [tmp_path / name / "clip.mp4" for name in ("a", "b")]
    for video, source in zip(videos, ("dark/dark_1", "light/light_1"), strict=True):
        video.parent.mkdir()
        shutil.copy(video_folder / f"{source}.mp4", video)
    first, second = (show("gc", "layers=[res3.3,res4.5]", video=video) for video in videos)
    assert [first, second] == [tmp_path / "out" / name for name in ("clip", "clip_2")]
    before = {path: path.read_bytes() for path in first.iterdir()}
    (second / "notes.txt").write_text("mine")
    assert show("gc", "layers=[res4.1]", "sheet=pdf", video=videos[1]) == second
    made = PICTURES - {"sheet.png"} | {"sheet.pdf", "res4.1.npy"}
    assert {path.name for path in second.iterdir()} == made | {"notes.txt"}
    assert {path: path.read_bytes() for path in first.iterdir()} == before
    records = [json.loads((folder / "attention.json").read_text()) for folder in (first, second)]
    assert [record["video"] for record in records] == [str(video.resolve()) for video in videos]


def test_a_folder_of_somebody_else_is_left_alone(show, tmp_path):
    taken = tmp_path / "out" / "dark_1"
    taken.mkdir(parents=True)
    (taken / "attention.json").write_text("no record")
    assert show("gc") == tmp_path / "out" / "dark_1_2"
    assert [path.name for path in taken.iterdir()] == ["attention.json"]


@pytest.mark.parametrize(
    ("size", "expected"),
    [((320, 240), 180), ((40, 30), 48), pytest.param((1440, 1080), 800, marks=pytest.mark.slow)],
)
def test_pictures_show_the_clip_of_the_net_in_the_resolution_of_the_file(tmp_path, size, expected):
    """The net sees 48 pixels of a short side of 64: three quarters of the file's height."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (8, 3, 4, 3), np.uint8)
    frames = [np.asarray(Image.fromarray(one).resize(size, Image.BICUBIC)) for one in small]
    gcvideo.data.write_video(tmp_path / "v.mp4", frames, fps=8, options={"crf": "5"})
    protocol = make_protocol(num_frames=4, short_side=64, crop_size=48, val_crop_size=48)
    single = protocol.single_view()
    shown = _source_view(str(tmp_path / "v.mp4"), single)
    assert shown.shape == (3, 4, expected, expected)
    seen = read_views(str(tmp_path / "v.mp4"), single)[0].transpose(0, 1).float()
    reduced = torch.nn.functional.interpolate(
        shown.transpose(0, 1).float(), (48, 48), mode="bilinear", antialias=True
    )
    assert (reduced - seen).abs().mean() < 4


def test_a_net_with_context_blocks_is_shown_by_itself_and_a_class_by_its_number(show):
    folder = show("gc", "layers=res3.3", "label=2")
    assert np.load(folder / "res3.3.npy").shape == (1, 4, 6, 6)
    record = json.loads((folder / "attention.json").read_text())
    assert record["grad_cam"]["name"] == "7 samurai"


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("bare", [], "the net contains no context block"),
        ("nl", ["layers=[res4.2]"], r"no block at 'res4\.2'; the net has some at res3\.3, res4\.1"),
        ("nl", ["queries=[[0.5,0.5,2]]"], r"the query \[0\.5, 0\.5, 2\.0\] is not a position"),
        ("nl", ["queries=[0.5,0.5,0.5]"], r"queries is \[0\.5, 0\.5, 0\.5\]; give a list of"),
        ("nl", ["queries=[]"], r"queries is \[\]; give a list of positions"),
        ("nl", ["queries=[[a,b,c]]"], r"queries is \[\['a', 'b', 'c'\]\]; give a list"),
        ("nl", ["label=3"], "there is no class 3; the net has 0 to 2"),
        ("nl", ["label=-1"], "there is no class -1; the net has 0 to 2"),
        ("nl", ["label=drak"], "no class is called 'drak'; the nearest are dark"),
        ("nl", ["label=xyz"], "no class is called 'xyz'; the net has light, dark, 7 samurai"),
        ("nl", ["grad_cam_layer=res9"], "no layer is called 'res9'; choose one of res2, res3"),
    ],
)
def test_what_the_net_does_not_have_is_refused_before_anything_is_written(
    show, tmp_path, name, words, message
):
    with pytest.raises(ValueError, match=message):
        show(name, *words)
    assert not (tmp_path / "out").exists()


def test_checkpoints_that_see_other_clips_are_not_shown_beside_each_other(show, checkpoints):
    with pytest.raises(
        ValueError, match="num_frames is 4 for checkpoint and 8 for beside, so they"
    ):
        show("nl", f"beside={checkpoints}/long.safetensors")


def test_one_readable_video_is_needed(show, tmp_path, video_folder):
    with pytest.raises(FileNotFoundError, match="no video at"):
        show("nl", video=tmp_path / "absent.mp4")
    with pytest.raises(
        ValueError, match=r"6 videos match '.*dark'; give one, such as .*dark_0\.mp4"
    ):
        show("nl", video=video_folder / "dark")
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(VideoReadError):
        show("nl", video=tmp_path / "broken.mp4")
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_no_folder_is_refused(show, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(
        ValueError,
        match=r"'.*out' cannot be written: a part of the path is a file, .* with output=",
    ):
        show("nl")


@pytest.mark.parametrize(
    "changes",
    [{"resizing": MMActionResizing()}, {"sampling": SlowFastSampling(reader="pyav")}],
    ids=lambda changes: next(iter(changes)),
)
def test_protocols_that_read_or_resize_otherwise_see_other_clips(changes):
    protocol = make_protocol(sampling=SlowFastSampling())
    _check_same_clips(protocol, protocol)
    with pytest.raises(
        ValueError, match=f"{next(iter(changes))} is .* they would see different clips"
    ):
        _check_same_clips(protocol, replace(protocol, **changes))


def test_the_clip_of_a_varying_rate_has_its_frames_by_time_and_its_pace(tmp_path):
    video = str(write_timed_video(tmp_path / "video.mp4", TWO_RATES))
    protocol = make_protocol(num_frames=4, sampling_rate=20, by_time=True)
    frames, pace = clip_times(video, protocol)
    shown = shown_times(video)[frames]
    # 90 frames in 3.93 seconds: 20 steps of the grid last 0.88 s.
    assert np.abs(np.diff(shown) - 0.884).max() < 0.05
    assert pace == pytest.approx(3 / (shown[3] - shown[0]))
