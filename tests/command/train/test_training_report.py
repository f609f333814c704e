import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from gcvideo.command.train._report import next_commands, report_end
from gcvideo.command.train._training import train

ODD = [
    "plain",
    "a b",
    "it's",
    "[x],{y}",
    "a=b",
    "${HOME}",
    "$(rm x)",
    "back\\slash",
    'say "hi"',
    "-x",
]


class Begun(Exception):
    """Instead of the training, which comes behind the report."""


@pytest.fixture
def reported(compose_config, tiny, video_folder, tmp_path, monkeypatch, capsys):
    """What a run of 10 training videos says before it trains."""

    def fit(*given):
        raise Begun

    def report(*overrides):
        words = [*tiny, "model=c2d", "data=folder", f"data.root={video_folder}", "logger=none"]
        with pytest.raises(Begun):
            train(compose_config("train", [*words, *overrides, f"output_dir={tmp_path}"]))
        return capsys.readouterr().out

    monkeypatch.setattr("gcvideo.command.train._training._fit", fit)
    return report


@pytest.mark.slow
@pytest.mark.parametrize(
    ("accumulated", "batches", "views"),
    [
        (1, "3 x 1 CPU,", 3),
        (3, "3 x 1 CPU x 3 accumulated batches,", 9),
        (2, "3 x 1 CPU x 2 accumulated batches, 1 in the last step of an epoch,", 6),
        (8, "3 x 1 CPU x 3 accumulated batches (all of an epoch, fewer than 8),", 9),
    ],
)
def test_views_per_step_and_rate_are_those_of_the_batches_that_an_epoch_has(
    reported, accumulated, batches, views
):
    """10 videos are three batches of 3."""
    rate = ["lr=0.1", "base_batch_size=36"]
    said = reported("batch_size=3", f"trainer.accumulate_grad_batches={accumulated}", *rate)
    assert f"{views} views per step: {batches} precision" in said
    assert f"rate       lr {0.1 * views / 36:g} = 0.1 x {views} / 36" in said


@pytest.mark.slow
def test_mixing_that_finds_no_other_video_is_warned_of(reported):
    alone = reported("batch_size=1", "clips_per_video=2", "mixing=mixup")
    assert "warning: mixing blends the videos of a batch, and batch_size is 1" in alone
    assert "warning: mixing" not in reported("batch_size=2", "mixing=mixup")
    assert "warning: mixing" not in reported("batch_size=1")


@pytest.mark.parametrize("name", ODD)
def test_the_next_commands_name_odd_paths_to_shell_and_hydra(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / name / "checkpoints"
    lines = next_commands(folder / "best.ckpt", str(tmp_path / name / "a clip.mp4"))
    test, predict = (shlex.split(line) for line in lines)
    assert test[:2] == ["gcvideo", "test"]
    assert predict[:2] == ["gcvideo", "predict"]
    assert predict[2:3] == test[2:]
    given = OverridesParser.create().parse_overrides(predict[2:])
    values = {one.key_or_group: str(one.value()).replace("\\${", "${") for one in given}
    expected = {"checkpoint": f"{name}/checkpoints/best.ckpt", "video": f"{name}/a clip.mp4"}
    assert values == expected
    elsewhere = next_commands(Path("/else/where/best.ckpt"), None)
    assert elsewhere[1] == "gcvideo predict checkpoint=/else/where/best.ckpt video=clip.mp4"


def test_a_run_without_a_best_checkpoint_goes_on_from_the_last(tmp_path, capsys):
    blind = {"chance_top1": 0.25, "majority_top1": 0.5, "majority_class": "wave"}
    report_end(tmp_path, {"last_val_top1": 0.75}, blind, seconds=1620, speed="")
    assert "next" not in capsys.readouterr().out
    last = tmp_path / "checkpoints" / "last.ckpt"
    last.parent.mkdir()
    last.touch()
    report_end(tmp_path, {"last_val_top1": 0.75}, blind, seconds=1620, speed="; 3 clips/s")
    lines = capsys.readouterr().out.splitlines()
    assert lines[:5] == [
        "",
        "finished in 27 min; 3 clips/s",
        "  chance                       0.2500",
        "  majority class               0.5000  (always 'wave')",
        "  last validation top-1        0.7500",
    ]
    assert lines[-2] == f"  gcvideo test checkpoint={last}"
