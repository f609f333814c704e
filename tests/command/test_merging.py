"""Parts by several processes are the file of one, or nothing."""

import json
import os
import subprocess
import sys

import pytest
from predicted import record_of, rows_of

from gcvideo.command._merging import MergeError, merge
from gcvideo.command.predict._prediction import predict
from gcvideo.command.predict._work import PredictionCount


@pytest.fixture
def run(compose_config, checkpoint, video_folder, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no video")

    def run(name, *words):
        given = [f"checkpoint={checkpoint}", "num_workers=0", "device=cpu", "top_k=1"]
        videos = f"video=[{video_folder},{tmp_path}/broken.mp4]"
        return predict(
            compose_config("predict", [*given, videos, f"output={tmp_path / name}", *words])
        )

    return run


@pytest.fixture
def join(compose_config, tmp_path):
    return lambda name, *words: merge(
        compose_config("merge", [f"output={tmp_path / name}", *words])
    )


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.parquet"])
def test_parts_are_merged_into_what_one_process_writes(run, join, tmp_path, name, capsys):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    counts = [run(name, f"shard={index}/3") for index in (2, 0, 1)]
    assert [count.num_videos for count in counts] == [4, 5, 4]
    assert [count.num_failed for count in counts] == [0, 1, 0]
    assert not any(count.has_failed for count in counts)
    assert "part       1/3: 4 videos" in capsys.readouterr().out
    assert join(name).num_errors == 1
    assert "3 parts with 13 videos, 1 of which could not be read, each exactly once" in (
        capsys.readouterr().out
    )
    assert run(f"whole_{name}") == PredictionCount(13, 1)
    assert (tmp_path / name).read_bytes() == (tmp_path / f"whole_{name}").read_bytes()
    records = [record_of(tmp_path / path) for path in (name, f"whole_{name}")]
    for record in records:
        del record["seconds"]
    assert records[0] == records[1]
    # What is merged counts as the file of one process.
    assert run(name) == PredictionCount(13, 1)
    with pytest.raises(ValueError, match="exists; give overwrite=true to replace it"):
        join(name)
    join(name, "overwrite=true")


def test_parts_that_do_not_belong_together_are_refused(run, join, tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match=r"(?s)there are no parts of.*Parts of check, index and reencode are joined by the same command w",
    ):
        join("out.csv")
    run("out.csv", "shard=0/2")
    with pytest.raises(ValueError, match=r"1 of the 2 parts .* run the command with shard=1/2"):
        join("out.csv")
    run("out.csv", "shard=1/2", "top_k=2")
    with pytest.raises(ValueError, match=r"of another run \(top_k is 2, was 1"):
        join("out.csv")
    run("out.csv", "shard=1/2", "overwrite=true")
    record = tmp_path / "out.1-of-2.csv.run.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"is_finished": False}))
    with pytest.raises(MergeError, match=r"1-of-2\.csv' is not finished; run its command"):
        join("out.csv")
    run("out.csv", "shard=1/2")
    join("out.csv")


@pytest.mark.parametrize("change", ["twice", "foreign", "lost"])
def test_a_part_that_was_changed_by_hand_is_refused(run, join, tmp_path, change):
    for index in range(2):
        run("out.jsonl", f"shard={index}/2")
    part = tmp_path / "out.1-of-2.jsonl"
    lines = part.read_text().splitlines(keepends=True)
    others = (tmp_path / "out.0-of-2.jsonl").read_text().splitlines(keepends=True)
    changed = {"twice": [*lines, lines[0]], "foreign": [*lines, others[0]], "lost": lines[1:]}
    part.write_text("".join(changed[change]))
    with pytest.raises(MergeError, match="does not hold each of its 6 videos exactly once"):
        join("out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.slow
def test_torchrun_gives_each_process_a_part(run, join, tmp_path, checkpoint, video_folder, project):
    words = [f"checkpoint={checkpoint}", f"video=[{video_folder},{tmp_path}/broken.mp4]"]
    words += ["device=cpu", "num_workers=0", "top_k=1", f"output={tmp_path}/ranks.csv"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    subprocess.run(
        [*torchrun, "2", str(project / "scripts" / "predict.py"), *words],
        check=True,
        env=os.environ | {"PYTHONPATH": str(project), "OMP_NUM_THREADS": "1"},
    )
    join("ranks.csv")
    run("whole.csv")
    assert (tmp_path / "ranks.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert len(rows_of(tmp_path / "ranks.csv")) == 13
