"""Parts of a prediction as the jobs of one command: Hydra's sweeps, by whatever launcher."""

import csv
import importlib.util
import json
import subprocess
import sys

import pytest

from gcvideo import cli


@pytest.fixture
def run(checkpoint, video_folder, tmp_path, monkeypatch):
    """Runs a command in a folder of its own, where the files have relative paths; gives its status."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.ckpt").symlink_to(checkpoint)
    (tmp_path / "clips").symlink_to(video_folder)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    given = ["net.ckpt", "clips", "broken.mp4", "device=cpu", "num_workers=0"]

    def run(name, *words):
        try:
            cli.main(name, [*given, *words] if name in ("predict", "features") else list(words))
        except SystemExit as ending:
            return ending.code
        return 0

    run.folder, run.given = tmp_path, given
    return run


def table_of(folder):
    sweeps = sorted((folder / "runs" / "sweep").iterdir())
    with (sweeps[-1] / "sweep.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "output"), [("predict", "out.csv"), ("features", "out.jsonl")])
def test_the_parts_of_a_sweep_are_merged_into_what_one_process_writes(run, name, output):
    assert run(name, "-m", "shard=0/3,1/3,2/3", f"output={output}") == 0
    assert table_of(run.folder) == [
        {"job": str(part), "shard": f"{part}/3", "videos": str(count)}
        for part, count in enumerate((5, 4, 4))
    ]
    assert run("merge", output) == 1  # for the broken file
    assert run(name, f"output=whole_{output}") == 1
    assert (run.folder / output).read_bytes() == (run.folder / f"whole_{output}").read_bytes()


@pytest.mark.slow
def test_a_part_that_fails_is_named_the_others_are_done_and_the_same_command_goes_on(run, capsys):
    words = ["-m", "top_k=1", "output=out.jsonl", "shard=0/3,1/3,2/3"]
    assert run("predict", "top_k=2", "output=out.jsonl", "shard=1/3") == 0
    other = run.folder / "out.1-of-3.jsonl"
    kept = other.read_bytes()
    assert run("predict", *words) == 1
    assert [row["videos"] for row in table_of(run.folder)] == ["5", "failed", "4"]
    assert "job 1 failed: 'out.1-of-3.jsonl' holds results of another run (top_k is 1, was 2)" in (
        capsys.readouterr().out
    )
    assert other.read_bytes() == kept
    for path in (other, other.with_name(f"{other.name}.run.json")):
        path.unlink()
    # As if the last one had been killed in its second video.
    last = run.folder / "out.2-of-3.jsonl"
    last.write_bytes(b"".join(last.read_bytes().splitlines(keepends=True)[:1]))
    record = last.with_name(f"{last.name}.run.json")
    record.write_text(json.dumps(json.loads(record.read_text()) | {"is_finished": False}))
    assert run("predict", *words) == 0
    printed = capsys.readouterr().out
    assert "5 of 5 videos are in 'out.0-of-3.jsonl' already" in printed
    assert "goes on    1 of 4 videos are in 'out.2-of-3.jsonl'" in printed
    assert run("merge", "out.jsonl") == 1
    assert run("predict", "top_k=1", "output=whole.jsonl") == 1
    assert (run.folder / "out.jsonl").read_bytes() == (run.folder / "whole.jsonl").read_bytes()


@pytest.mark.slow
def test_jobs_that_are_no_parts_go_on_after_one_that_could_not_read_a_file(run):
    words = ["-m", "top_k=1,2", "output='scores_${top_k}.csv'"]
    assert run("predict", *words) == 1
    assert [row["videos"] for row in table_of(run.folder)] == ["failed", "failed"]
    assert all((run.folder / f"scores_{k}.csv.run.json").is_file() for k in (1, 2))


@pytest.mark.slow
def test_results_of_several_jobs_do_not_go_to_the_standard_output(run, capsys):
    assert run("predict", "-m", "output=-", "shard=0/2,1/2") == 1
    out, err = capsys.readouterr()
    assert "output is -, but with -m the standard output also has lines on the jobs" in err
    assert '"index"' not in out
    assert [row["videos"] for row in table_of(run.folder)] == ["failed"] * 2


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("hydra_plugins.hydra_submitit_launcher") is None,
    reason="needs the extra slurm",
)
def test_jobs_of_submitit_write_their_parts_where_the_command_was_typed(run, project):
    words = ["-m", "hydra/launcher=submitit_local", "shard=0/3,1/3,2/3", "output=out.jsonl"]
    assert run("predict", "output=out.jsonl", "shard=1/3", "top_k=1") == 0
    # In a process of its own: the checker of types in tests makes functions that cannot be sent to jobs.
    script = [sys.executable, str(project / "scripts" / "predict.py"), *run.given]
    started = {"capture_output": True, "text": True, "timeout": 120}
    refused = subprocess.run([*script, *words], **started)
    assert refused.returncode == 1, refused.stdout + refused.stderr
    assert [row["videos"] for row in table_of(run.folder)] == ["5", "failed", "4"]
    assert "job 1 failed: 'out.1-of-3.jsonl' holds results of another run" in refused.stdout
    done = subprocess.run([*script, *words, "overwrite=true"], **started)
    assert done.returncode == 0, done.stdout + done.stderr
    assert run("merge", "out.jsonl") == run("predict", "output=whole.jsonl") == 1
    assert (run.folder / "out.jsonl").read_bytes() == (run.folder / "whole.jsonl").read_bytes()
