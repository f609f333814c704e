import csv
import json

import pytest

from gcvideo.command import _testing as testing
from gcvideo.command._probing import probe
from gcvideo.data import BadVideosError


@pytest.mark.slow
def test_a_probe_scores_the_test_in_order_as_a_test_does_and_without_order(
    compose_config, tmp_path, checkpoint, video_folder, capsys
):
    given = [f"checkpoint={checkpoint}", "num_workers=0", "num_clips=1", "data=folder"]
    given += [f"data.root={video_folder}", f"data.test={video_folder}"]
    one, other = tmp_path / "probe", tmp_path / "test"
    words = [
        *given,
        "report=false",
        f"output_dir={other}",
        "trainer=cpu",
        "trainer.precision=32-true",
    ]
    metrics = testing.test(compose_config("test", [*words, "trainer.enable_progress_bar=false"]))
    capsys.readouterr()
    overall = probe(compose_config("probe", [*given, f"output_dir={one}", "device=cpu"]))

    assert overall.top1["ordered"] == metrics["test/top1"]
    results = json.loads((one / "results.json").read_text())
    assert results["top1"] == dict(overall.top1)
    assert results["needs_time"] == overall.needs_time
    assert (results["videos_scored"], results["views_per_video"]) == (12, 1)
    tables = {}
    for kind in ("ordered", "shuffled", "reversed", "frozen"):
        with (one / f"scores_{kind}.csv").open() as file:
            tables[kind] = list(csv.DictReader(file))
        right = [row["label"] == row["prediction"] for row in tables[kind]]
        assert sum(right) / 12 == pytest.approx(overall.top1[kind])
    with (other / "scores.csv").open() as file:
        for row, expected in zip(tables["ordered"], csv.DictReader(file), strict=True):
            assert float(row["dark"]) == pytest.approx(float(expected["dark"]), abs=2e-6)
    assert tables["ordered"] != tables["frozen"]
    assert tables["ordered"] != tables["shuffled"]
    with (one / "probes.csv").open() as file:
        rows = {row["class"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"dark", "light"}
    frozen = [row["prediction"] == "dark" for row in tables["frozen"] if row["label"] == "dark"]
    assert rows["dark"]["num_videos"] == "6"
    assert float(rows["dark"]["top1_frozen"]) == pytest.approx(sum(frozen) / 6, abs=1e-6)
    printed = capsys.readouterr().out
    assert "needs time" in printed
    assert "12 videos; results in" in printed


def test_the_seed_of_a_probe_shuffles_otherwise(compose_config, tmp_path, checkpoint):
    for seed in (0, 1):
        words = [f"checkpoint={checkpoint}", "num_workers=0", "device=cpu", f"seed={seed}"]
        probe(compose_config("probe", [*words, f"output_dir={tmp_path / str(seed)}"]))
    one, other = ((tmp_path / s / "scores_shuffled.csv").read_text() for s in "01")
    assert one != other
    one, other = ((tmp_path / s / "scores_ordered.csv").read_text() for s in "01")
    assert one == other


def test_a_probe_of_a_broken_video_names_it(compose_config, tmp_path, checkpoint, video_folder):
    for name in ("dark", "light"):
        (tmp_path / "videos" / name).mkdir(parents=True)
        source = video_folder / name / f"{name}_0.mp4"
        (tmp_path / "videos" / name / "fine.mp4").symlink_to(source)
    (tmp_path / "videos" / "dark" / "broken.mp4").write_bytes(b"")
    words = [f"checkpoint={checkpoint}", "num_workers=0", "device=cpu", "data=folder"]
    words += [f"data.{key}={tmp_path / 'videos'}" for key in ("root", "test")]
    with pytest.raises(BadVideosError, match=r"1 of 3 test videos cannot be read"):
        probe(compose_config("probe", [*words, f"output_dir={tmp_path / 'out'}"]))
    assert "broken.mp4" in (tmp_path / "out" / "bad_videos.csv").read_text()
