"""Vectors of videos and windows, as files."""

import csv
import json

import numpy as np
import pytest
import torch

import gcvideo
from gcvideo.command._merging import merge
from gcvideo.command.predict._features import features
from gcvideo.command.predict._work import PredictionCount
from gcvideo.data import write_video
from gcvideo.inference import extract_features, window_features


@pytest.fixture
def run(compose_config, checkpoint, video_folder, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    videos = f"video=[{video_folder}/dark,{tmp_path}/broken.mp4,{video_folder}/light/light_0.mp4]"

    def run(name, *words):
        given = [f"checkpoint={checkpoint}", videos, "device=cpu", "num_workers=0"]
        return features(compose_config("features", [*given, f"output={tmp_path / name}", *words]))

    return run


@pytest.fixture
def classifier(checkpoint):
    return gcvideo.load(checkpoint, device="cpu")


def vectors_of(classifier, table, **views):
    """By the net alone, one video after the other."""
    found = [
        classifier.features(row["video"], **views) if not row["error"] else torch.nan
        for row in table
    ]
    width = next(len(vector) for vector in found if torch.is_tensor(vector))
    return np.stack([np.full(width, np.nan) if v is torch.nan else v.numpy() for v in found])


def read_table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_an_array_has_a_row_for_each_video_in_order(run, classifier, tmp_path, video_folder):
    assert run("out.npy", "num_clips=2") == PredictionCount(8, 1)
    found, table = np.load(tmp_path / "out.npy"), read_table(tmp_path / "out.npy.csv")
    assert found.dtype == np.float32
    assert [row["video"] for row in table] == [
        *sorted(map(str, (video_folder / "dark").iterdir())),
        str(tmp_path / "broken.mp4"),
        str(video_folder / "light" / "light_0.mp4"),
    ]
    assert [bool(row["error"]) for row in table] == [False] * 6 + [True, False]
    expected = vectors_of(classifier, table, num_clips=2)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert not list(tmp_path.glob("*.jsonl"))


def test_windows_have_their_times(run, classifier, tmp_path):
    levels = np.linspace(0, 250, 60, dtype=np.uint8)[:, None, None, None]
    write_video(tmp_path / "long.mp4", np.tile(levels, (1, 48, 64, 3)))
    words = ["stride_seconds=0.2", f"video=[{tmp_path}/long.mp4,{tmp_path}/broken.mp4]"]
    run("out.npy", *words)
    run("out.jsonl", *words)
    found, table = np.load(tmp_path / "out.npy"), read_table(tmp_path / "out.npy.csv")
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    video = table[0]["video"]
    expected = window_features(classifier, video, stride_seconds=0.2)
    mine = [number for number, row in enumerate(table) if row["video"] == video]
    assert len(mine) > 1
    np.testing.assert_allclose(found[mine], expected.scores.numpy(), rtol=1e-4, atol=1e-5)
    starts = [float(table[number]["start_seconds"]) for number in mine]
    assert starts == pytest.approx(expected.starts, abs=1e-6)
    # Digits of lines are those of float32.
    vectors = np.float32([window["features"] for window in lines[0]["windows"]])
    assert np.array_equal(vectors, found[mine])


def test_parquet_has_lists_of_float32(run, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    run("out.parquet")
    run("out.npy")
    table = parquet.read_table(tmp_path / "out.parquet")
    assert str(table.schema.field("features").type).startswith("list<")
    rows = table.to_pylist()
    array = np.load(tmp_path / "out.npy")
    for row, vector in zip(rows, array, strict=True):
        if row["error"] is None:
            assert np.array_equal(np.float32(row["features"]), vector)
        else:
            assert row["features"] is None


def test_parts_are_merged(run, tmp_path, compose_config):
    run("whole.npy")
    for number in range(2):
        run("out.npy", f"shard={number}/2")
    merge(compose_config("merge", [f"output={tmp_path / 'out.npy'}"]))
    for ending in ("npy", "npy.csv"):
        whole, merged = (tmp_path / f"{name}.{ending}" for name in ("whole", "out"))
        assert whole.read_bytes() == merged.read_bytes()


def test_many_videos_give_what_one_gives(classifier, video_folder):
    videos = sorted((video_folder / "dark").iterdir())
    for index, vector in extract_features(classifier, videos, num_workers=0, progress=False):
        torch.testing.assert_close(vector, classifier.features(videos[index]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["video=udp://host:1"], "'udp://host:1' is a live source; record it to a file first"),
        (["stride_seconds=1", "num_clips=2"], "num_clips is 2, but with stride_seconds every"),
        (["output=out.csv"], "output is 'out.csv'; give a file ending in .jsonl, .npy, .parquet"),
    ],
)
def test_what_cannot_be_is_refused(run, words, message):
    with pytest.raises(ValueError, match=message):
        run("out.npy", *words)


def test_a_net_of_another_program_has_none(classifier, video_folder):
    pytest.importorskip("onnxruntime")
    other = classifier.for_inference(engine="onnxruntime")
    videos = sorted((video_folder / "dark").iterdir())
    with pytest.raises(ValueError, match="the net is computed by onnxruntime, which gives logits"):
        extract_features(other, videos)
