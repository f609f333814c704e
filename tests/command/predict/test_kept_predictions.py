"""Whatever ends a prediction, what is done stands in its output, and the same command goes on from there."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from predicted import record_of, rows_of

from gcvideo.command._interruption import Interrupted
from gcvideo.command.predict import _classification as classification
from gcvideo.command.predict import _work as work
from gcvideo.command.predict._prediction import predict
from gcvideo.command.predict._work import PredictionCount
from gcvideo.data import VideoReadError

NAMES = ("a.mp4", "b.mp4", "c.mp4", "d.mp4")
SUFFIXES = ("jsonl", "csv")
suffixes = pytest.mark.parametrize("suffix", SUFFIXES)


@pytest.fixture
def videos(tmp_path, video_folder):
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in NAMES:
        (folder / name).symlink_to(video_folder / "dark" / "dark_0.mp4")
    return [str(folder / name) for name in NAMES]


@pytest.fixture
def run_predict(compose_config, checkpoint, videos):
    def run(*overrides, video=None):
        video = video or Path(videos[0]).parent
        words = [f"checkpoint={checkpoint}", f"video={video}", "num_workers=0", "device=cpu"]
        return predict(compose_config("predict", [*words, "top_k=1", *overrides]))

    return run


@pytest.fixture
def coming(monkeypatch):
    """Results come one by one, the last first; a function is called between them with their number."""
    seen = []

    def install(between=lambda number: None, broken="b.mp4"):
        def classify(classifier, paths, **_):
            seen.append([Path(path).name for path in paths])
            for number, index in enumerate(reversed(range(len(paths))), 1):
                failed = Path(paths[index]).name == broken
                error = VideoReadError(paths[index], "it is broken")
                yield index, error if failed else torch.tensor([0.25, 0.75])
                between(number)

        monkeypatch.setattr(classification, "classify_videos", classify)
        return seen

    return install


@suffixes
def test_results_are_in_the_output_while_others_still_come(
    run_predict, coming, videos, tmp_path, suffix
):
    output, seen = tmp_path / "new" / f"out.{suffix}", []
    coming(lambda number: seen.append(list(rows_of(output))))
    counted = run_predict(f"output={output}")
    a, b, c, d = videos
    assert seen == [[d], [d, c], [d, c, b], [d, c, b, a]]
    assert list(rows_of(output)) == [a, b, c, d]
    assert counted == PredictionCount(4, 1)
    found = record_of(output)
    assert found["is_finished"]
    assert (found["num_done"], found["num_errors"], found["made_by"]["videos"]) == (4, 1, 4)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@suffixes
def test_a_signal_leaves_what_is_done_and_the_same_command_goes_on(
    run_predict, coming, tmp_path, capsys, number, status, suffix
):
    output, undisturbed = tmp_path / f"out.{suffix}", tmp_path / f"undisturbed.{suffix}"
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    coming(lambda done: os.kill(os.getpid(), number) if done == 2 else None)
    with pytest.raises(Interrupted) as caught:
        run_predict(f"output={output}")
    assert caught.value.exit_status == status
    told = f"stopped by {number.name}: 2 of 4 videos are done and in '{output}'; the same command goes on"
    assert str(caught.value).startswith(told)
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before
    assert not record_of(output)["is_finished"]
    seen = coming()
    seen.clear()
    capsys.readouterr()
    assert run_predict(f"output={output}") == PredictionCount(4, 1)
    # Of a table, the last video may lack rows, and is done again.
    again = ["a.mp4", "b.mp4"] if suffix == "jsonl" else ["a.mp4", "b.mp4", "c.mp4"]
    assert seen == [again]
    assert f"goes on    {4 - len(again)} of 4 videos are in '{output}'" in capsys.readouterr().out
    run_predict(f"output={undisturbed}")
    assert output.read_bytes() == undisturbed.read_bytes()


def test_a_finished_prediction_is_not_made_again(run_predict, coming, tmp_path, capsys):
    output, seen = tmp_path / "out.csv", coming()
    run_predict(f"output={output}")
    before = output.read_bytes()
    assert run_predict(f"output={output}") == PredictionCount(4, 1)
    assert "4 of 4 videos are in" in capsys.readouterr().out
    assert len(seen) == 1
    run_predict(f"output={output}", "overwrite=true")
    assert len(seen) == 2
    assert output.read_bytes() == before


@pytest.mark.parametrize("suffix", [*SUFFIXES, "parquet"])
def test_failures_are_tried_again_on_request(run_predict, coming, tmp_path, suffix):
    output, better = tmp_path / f"out.{suffix}", tmp_path / f"better.{suffix}"
    coming()
    run_predict(f"output={output}")
    seen = coming(broken=None)
    if suffix == "parquet":
        with pytest.raises(ValueError, match="is finished, and the lines that it was made from"):
            run_predict(f"output={output}", "retry_failures=true")
        return
    seen.clear()
    assert run_predict(f"output={output}", "retry_failures=true") == PredictionCount(4, 0)
    assert seen == [["b.mp4"]]
    run_predict(f"output={better}")
    assert output.read_bytes() == better.read_bytes()
    assert record_of(output)["num_errors"] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["top_k=2"], "top_k is 2, was 1"),
        (["num_clips=2"], "num_clips is 2, was 1"),
        (["stride_seconds=1"], "stride_seconds is 1, was None"),
        (["precision=bfloat16"], "precision is bfloat16, was float32"),
    ],
)
def test_results_of_other_settings_are_refused_and_kept(
    run_predict, coming, tmp_path, words, message
):
    output = tmp_path / "out.jsonl"
    coming()
    run_predict(f"output={output}")
    before = output.read_bytes()
    with pytest.raises(ValueError, match="holds results of another run") as caught:
        run_predict(f"output={output}", *words)
    assert message in str(caught.value)
    assert output.read_bytes() == before


def test_results_of_other_videos_or_another_net_are_refused(
    run_predict, coming, videos, tmp_path, checkpoint
):
    output = tmp_path / "out.jsonl"
    coming()
    run_predict(f"output={output}")
    with pytest.raises(ValueError, match=r"videos is 3, was 4; video_list is \w+, was \w+\)"):
        run_predict(f"output={output}", video=f"[{','.join(videos[:3])}]")
    content = torch.load(checkpoint, weights_only=False)
    next(iter(content["state_dict"].values())).add_(1)
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match=r"\(net is \w+, was \w+\)"):
        run_predict(f"output={output}", f"checkpoint={tmp_path}/other.ckpt")
    # The same net elsewhere.
    (tmp_path / "moved.ckpt").write_bytes(Path(checkpoint).read_bytes())
    run_predict(f"output={output}", f"checkpoint={tmp_path}/moved.ckpt")


def test_a_record_without_its_results_stands_for_nothing(run_predict, coming, tmp_path):
    output = tmp_path / "out.csv"
    coming()
    run_predict(f"output={output}")
    output.unlink()
    run_predict(f"output={output}", "top_k=2")
    assert record_of(output)["made_by"]["top_k"] == 2


def test_a_file_of_somebody_else_is_kept(run_predict, coming, tmp_path):
    output = tmp_path / "out.csv"
    output.write_text("mine")
    with pytest.raises(ValueError, match="has no record of a run that could go on"):
        run_predict(f"output={output}")
    assert output.read_text() == "mine"
    coming()
    run_predict(f"output={output}", "overwrite=true")
    assert len(rows_of(output)) == 4


def test_without_an_output_results_are_shown_as_they_come(run_predict, coming, capsys):
    coming(lambda number: os.kill(os.getpid(), signal.SIGTERM) if number == 2 else None)
    with pytest.raises(Interrupted, match=r"stopped by SIGTERM: 2 of 4 videos are done$"):
        run_predict()
    assert capsys.readouterr().out.count("0.750") == 2


def test_a_fault_of_the_program_leaves_what_is_done(run_predict, coming, videos, tmp_path):
    def fail(number):
        raise RuntimeError("out of memory")

    coming(fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        run_predict(f"output={tmp_path / 'out.jsonl'}")
    assert list(rows_of(tmp_path / "out.jsonl")) == [videos[3]]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("output={folder}/file/out.jsonl", "a part of the path is a file, not a folder; make it"),
        ("output={folder}/taken.csv", "taken.csv', which is a folder; give the name of a file"),
        ("output=/dev/null/out.csv", r"'/dev/null/out.csv' cannot be written: .* with output=\.\."),
        ("annotated={folder}/file", r"a part of the path is a file, .* with annotated=\.\.\."),
        ("contact_sheets={folder}/file/a", r"a part .* with contact_sheets=\.\.\."),
        ("output=out.json", r"output is 'out.json'; give a file ending in .jsonl, .csv, .parquet"),
        ("shard=4/4", r"shard is '4/4'; give the number of this part and the number of parts"),
    ],
)
def test_what_cannot_be_written_is_told_before_the_work(
    run_predict, monkeypatch, tmp_path, word, message
):
    (tmp_path / "file").touch()
    (tmp_path / "taken.csv").mkdir()
    monkeypatch.setattr(work, "load", None)
    with pytest.raises(ValueError, match=message):
        run_predict(word.format(folder=tmp_path))


def test_a_name_of_no_file_costs_only_itself(run_predict, coming, videos, tmp_path):
    listed, output = tmp_path / "list.txt", tmp_path / "out.jsonl"
    listed.write_text(f"{videos[1]}\nno such file.mp4\n{videos[0]}\n")
    coming(broken=None)
    words = f"[{listed},none.mp4,{videos[3]}]"
    assert run_predict(f"output={output}", video=words) == PredictionCount(5, 2)
    rows = rows_of(output)
    assert list(rows) == [videos[1], "no such file.mp4", videos[0], "none.mp4", videos[3]]
    assert rows["no such file.mp4"]["error"] == (
        f"no video at 'no such file.mp4' (row 2 of '{listed}')"
    )
    assert "no video at 'none.mp4'; give a file" in rows["none.mp4"]["error"]


def test_the_standard_output_has_lines_of_json_and_nothing_else(run_predict, coming, videos, capfd):
    coming(lambda number: os.write(1, b"of a library\n"))
    run_predict("output=-")
    printed, errors = capfd.readouterr()
    rows = [json.loads(line) for line in printed.splitlines()]
    assert [row["video"] for row in rows] == list(reversed(videos))
    assert errors.count("of a library") == 4
    os.write(1, b"as before")
    assert capfd.readouterr().out == "as before"


def test_parquet_has_a_row_for_each_video(run_predict, coming, videos, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    output = tmp_path / "out.parquet"
    coming(lambda number: os.kill(os.getpid(), signal.SIGTERM) if number == 3 else None)
    with pytest.raises(Interrupted):
        run_predict(f"output={output}")
    assert sorted(path.name for path in tmp_path.glob("out*")) == [
        "out.parquet.jsonl",
        "out.parquet.run.json",
    ]
    coming()
    run_predict(f"output={output}")
    run_predict(f"output={output}")  # is finished
    rows = parquet.read_table(output).to_pylist()
    assert [row["video"] for row in rows] == videos
    assert rows[0]["classes"][0]["score"] == 0.75
    assert rows[0]["error"] is None
    assert rows[1]["classes"] is None
    assert "it is broken" in rows[1]["error"]
    assert not (tmp_path / "out.parquet.jsonl").exists()
