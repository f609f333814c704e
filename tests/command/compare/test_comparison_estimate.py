from dataclasses import replace

import pytest
from gcvideo_runs import TINY

import gcvideo.command.compare._comparing as comparing
from gcvideo._duration import duration, step_duration
from gcvideo.command.compare._comparing import compare, run_comparison


@pytest.fixture
def estimated(video_folder, tmp_path, monkeypatch, capsys):
    """What an estimate says, and the object behind it."""
    found = []
    real = comparing.estimate_comparison
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(
        comparing, "estimate_comparison", lambda *given: found.append(real(*given)) or found[-1]
    )

    def run(*words):
        given = [*TINY, "model=c2d", "data=folder", f"data.root={video_folder}"]
        assert compare([*given, f"folder={tmp_path / 'out'}", *words]) is None
        return found[-1], capsys.readouterr().out

    return run


def test_an_estimate_counts_the_cells_that_are_not_finished_and_writes_nothing(estimated, tmp_path):
    cell = tmp_path / "out" / "cells" / "gc" / "seed1"
    cell.mkdir(parents=True)
    (cell / "cell.json").write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    result, printed = estimated(
        "estimate=0.5", "block=gc", "seeds=0,1,2", "epochs=4", "num_threads=1"
    )
    assert sorted(tmp_path.rglob("*")) == before
    (gc,) = result.variants
    assert (gc.name, gc.num_open, gc.num_cells, gc.cell.step.seconds) == ("gc", 2, 3, 0.5)
    video_seconds = gc.cell.loading.seconds
    # Ten videos in batches of four, and every video read by this process itself.
    assert gc.cell.training_hours == pytest.approx(4 * 2 * (0.5 + 4 * video_seconds) / 3600)
    # Two test videos of two views, as they are and under three probes, a third of a step each.
    assert gc.test_hours == pytest.approx(2 * 2 * (4 * 0.5 / 3 / 4 + video_seconds) / 3600)
    assert result.hours == pytest.approx(2 * gc.cell_hours)
    assert "step: as given" in printed
    assert f"2 cells, {duration(3600 * result.hours)} in all; one after the other" in printed
    assert "2 of 3" in printed

    # At a time they share the hours, but a cell stays as long as it is.
    twice = replace(result, variants=[replace(gc, num_open=3), replace(gc, num_open=3)])
    hours = {n: replace(twice, num_parallel=n).elapsed_hours for n in (1, 2, 100)}
    assert hours == {
        1: pytest.approx(6 * gc.cell_hours),
        2: pytest.approx(3 * gc.cell_hours),
        100: pytest.approx(gc.cell_hours),
    }


@pytest.mark.slow
def test_a_step_of_each_variant_is_measured_here(estimated):
    words = ["block=none,gc", "launcher=joblib", "hydra.launcher.n_jobs=4"]
    result, printed = estimated("estimate=true", *words)
    none, gc = result.variants
    assert counted(none.cell.memory) < counted(gc.cell.memory)
    steps = {variant.cell.step.seconds for variant in result.variants}
    assert len(steps) == 2
    assert min(steps) > 0
    assert result.num_parallel == 4
    assert "measured on the CPU" in printed
    assert "2 cells" in printed
    assert "up to 4 at a time (launcher joblib)" in printed


def test_what_is_no_duration_is_refused(video_folder, capsys):
    given = [*TINY, "model=c2d", "block=none", "data=folder", f"data.root={video_folder}"]
    with pytest.raises(SystemExit) as ended:
        run_comparison([*given, "estimate=soon"])
    assert ended.value.code == 1
    assert "estimate is 'soon'; give true" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "0 s"),
        (40, "40 s"),
        (119.4, "119 s"),
        (119.8, "2 min"),
        (27 * 60 + 10, "27 min"),
        (119 * 60, "119 min"),
        (3600 * 3 + 20 * 60, "3 h 20 min"),
        (3600 * 5, "5 h"),
        (3600 * 24 * 5 + 3600 * 2, "5 days 2 h"),
        (3600 * 24 * 5 - 60, "5 days"),
    ],
)
def test_a_duration_is_said_in_the_units_that_people_use(seconds, said):
    assert duration(seconds) == said


def test_power_says_what_the_test_set_can_show_and_writes_nothing(
    video_folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("COLUMNS", "200")
    words = [*TINY, "model=c2d", "block=none,gc", "data=folder", f"data.root={video_folder}"]
    words += [f"folder={tmp_path / 'out'}", "power=true"]
    assert compare(words) is None
    printed = capsys.readouterr().out
    assert "2 test videos, each by itself (data.groups tells which belong together)" in " ".join(
        printed.split()
    )
    assert "r = " not in printed
    groups = tmp_path / "groups.csv"
    paths = [path.relative_to(video_folder) for path in sorted(video_folder.rglob("*.mp4"))]
    groups.write_text("path,group\n" + "".join(f"{path},{path.stem[-1]}\n" for path in paths))
    assert compare([*words, f"data.groups={groups}"]) is None
    assert "2 test videos in 1 group." in (printed := capsys.readouterr().out)
    assert "r = 0.3" in " ".join(printed.split())
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="power is 'soon'; give true or false"):
        compare([*words, "power=soon"])


def counted(memory):
    """Without what was measured."""
    return memory.total - memory.work_space


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        *((0.0253, "25.3 ms"), (0.35, "350 ms"), (0.9994, "999 ms"), (0.99951, "1 s")),
        *((1.254, "1.25 s"), (9.994, "9.99 s"), (27.4, "27 s"), (1620, "27 min")),
    ],
)
def test_the_time_of_a_step_has_three_digits(seconds, said):
    assert step_duration(seconds) == said
