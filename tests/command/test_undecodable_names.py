"""Files named by bytes that are no UTF-8, in everything that a run writes."""

import csv
import json
import shutil

import pytest
from omegaconf import OmegaConf
from predicted import rows_of

from gcvideo._console import Console
from gcvideo.command import _testing as testing
from gcvideo.command._record import write_config, write_json
from gcvideo.command.dataset._checking import check
from gcvideo.command.predict._prediction import predict
from gcvideo.command.train._data_record import record_split
from gcvideo.data import annotated_videos

NAME = b"dark_\xff\xe9.mp4".decode("utf-8", "surrogateescape")


@pytest.fixture
def root(video_folder, tmp_path):
    root = shutil.copytree(video_folder, tmp_path / "videos")
    try:
        (root / "dark" / "dark_0.mp4").rename(root / "dark" / NAME)
    except OSError:
        pytest.skip("a file system of UTF-8 alone")
    assert NAME in {file.name for file in (root / "dark").iterdir()}
    return root


def read_csv(path):
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return [*csv.DictReader(file)]


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_a_prediction_is_written_and_read_back(compose_config, root, checkpoint, tmp_path, suffix):
    output = tmp_path / f"out.{suffix}"
    (root / "light" / NAME).write_bytes(b"nothing")
    given = [f"checkpoint='{checkpoint}'", f"output='{output}'", "device=cpu", "num_workers=0"]
    cfg = compose_config("predict", [*given, "video=x"])
    cfg.video = [str(root / "dark" / NAME), str(root / "light" / NAME)]
    predict(cfg)
    if suffix == "jsonl":
        read, failed = rows_of(output).values()
        assert (read["video"], failed["video"]) == (*cfg.video,)
        assert ("error" in read, "error" in failed) == (False, True)
    else:
        rows = read_csv(output)
        assert [row["video"] for row in rows if row["error"]] == [cfg.video[1]]
        assert {row["video"] for row in rows} == {*cfg.video}


def test_a_test_scores_all_of_a_held_out_folder(compose_config, root, checkpoint, tmp_path, capsys):
    out = tmp_path / "out"
    given = [f"checkpoint='{checkpoint}'", f"output_dir='{out}'", "trainer=cpu", "num_workers=0"]
    given += [
        "data=folder",
        f"data.root='{root}'",
        "trainer.enable_progress_bar=false",
        "figures=[]",
    ]
    testing.test(compose_config("test", given))
    rows = read_csv(out / "scores.csv")
    assert len(rows) == 12
    assert str(root / "dark" / NAME) in {row["video"] for row in rows}
    results = json.loads((out / "results.json").read_text("utf-8"))
    assert results["videos_scored"] == 12
    assert results["baselines"] == {
        "chance_top1": 0.5,
        "majority_top1": 0.5,
        "majority_class": "dark",
    }
    printed = capsys.readouterr().out
    assert f"data       12 videos of 2 of the 2 classes, from '{root}'\n" in printed
    assert "majority class               0.5000  (always 'dark')" in printed
    assert "warning" not in printed


def test_a_check_and_the_lists_of_a_split_name_the_file(compose_config, root, tmp_path):
    out = tmp_path / "checks"
    given = ["data=folder", f"data.root='{root}'", f"output_dir='{out}'", "num_workers=0"]
    check(compose_config("check", given))
    assert f"dark/{NAME}" in {row["path"] for row in read_csv(out / "videos.csv")}
    drawn = annotated_videos(root=str(root))
    record_split(tmp_path, drawn)
    for folder in (out, tmp_path):
        lists = {name: str(folder / f"{name}.txt") for name in ("train", "val", "classes")}
        again = annotated_videos(root=str(root), **lists)
        assert sorted([*again.train.paths, *again.val.paths]) == sorted(
            [*drawn.train.paths, *drawn.val.paths]
        )
        assert f"dark/{NAME}" in {*again.train.paths, *again.val.paths}


def test_json_and_configurations_hold_the_name(tmp_path):
    content = {"é": [NAME]}
    write_json(tmp_path / "a.json", content)
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == content
    write_config(tmp_path / "a.yaml", OmegaConf.create(content))
    assert OmegaConf.load(tmp_path / "a.yaml") == content


def test_a_console_shows_the_bytes_by_their_numbers(tmp_path):
    with (tmp_path / "out.txt").open("w", encoding="utf-8") as file:
        Console(file=file, width=80).print(f"é {NAME}")
    assert (tmp_path / "out.txt").read_text("utf-8") == "é dark_\\udcff\\udce9.mp4\n"
    with (tmp_path / "out.txt").open("w", encoding="ascii") as file:
        Console(file=file, width=80).print("é")
    assert (tmp_path / "out.txt").read_text("ascii") == "\\xe9\n"
