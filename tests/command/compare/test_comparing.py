import csv
import importlib.util
import json
import shutil
from pathlib import Path

import pytest
import torch
from gcvideo_runs import TINY
from omegaconf import OmegaConf

import gcvideo.command.compare._cell as cell_module
import gcvideo.command.compare._plan as plan
from gcvideo._hint import override
from gcvideo.command.compare._cell import read_cell
from gcvideo.command.compare._comparing import compare, run_comparison
from gcvideo.command.configuration._command_words import read_words
from gcvideo.command.train._resuming import resumed_config

pytestmark = pytest.mark.slow  # trainings, which take most of the time of a default suite

TWICE = """
title: The same block twice
train: [model=c2d]
variants:
  - block: [none, gc]
  - {block: gc, ratio: 1/4}
"""
LOST = """
defaults:
  - /net@net: c2d
  - /block@block: gc
  - /placement@placement: none
name: c2d_lost
"""


@pytest.fixture(scope="module")
def typed(tmp_path_factory):
    """A folder beside ``conf``: a preset that compares a block with itself, a model that loses its block."""
    folder = tmp_path_factory.mktemp("given") / "my own, yaml (files)"
    for path, text in (("preset/twice.yaml", TWICE), ("model/c2d_lost.yaml", LOST)):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return ["--config-dir", str(folder)]


@pytest.fixture(scope="module")
def conf(typed):
    """The same as words of Hydra."""
    return read_words("compare", typed, config_name="compare").overrides


@pytest.fixture(scope="module")
def words(video_folder):
    return [
        *(word for word in TINY if "progress" not in word),
        "data=folder",
        f"data.root={video_folder}",
        "num_threads=1",
        "logger=none",
        "+logger.csv._target_=gcvideo.training.MetricLog",
        "+logger.csv.path=${output_dir}/csv/metrics.csv",
    ]


@pytest.fixture(scope="module")
def finished(conf, words, tmp_path_factory):
    """The folder of a comparison, and the comparison."""
    folder = tmp_path_factory.mktemp("compared")
    return folder, compare([*conf, "preset=twice", f"folder={folder}", *words])


def test_the_same_block_under_two_names_differs_by_exactly_nothing(finished):
    _, comparison = finished
    gc, again = (comparison.variant(name) for name in ("gc", "gc ratio=1/4"))
    assert gc.settings != again.settings
    assert torch.equal(gc.cells[0].scores, again.cells[0].scores)
    assert (
        comparison.differences["gc"].top1.values
        == comparison.differences["gc ratio=1/4"].top1.values
    )
    assert gc.cells[0].curve == again.cells[0].curve
    assert gc.cells[0].curve[0].train_loss is not None


def test_nets_differ_in_their_blocks_alone(finished):
    _, comparison = finished
    none, gc = (comparison.variant(name) for name in ("none", "gc"))
    assert not none.blocks
    assert len(gc.blocks) == 5
    assert gc.num_parameters > none.num_parameters
    assert gc.ms_per_clip is not None
    assert none.cells[0].videos == gc.cells[0].videos
    assert set(none.cells[0].probes) == {"shuffled", "reversed", "frozen"}


def test_the_folder_holds_table_report_and_the_scores_of_each_video(finished):
    folder, comparison = finished
    assert "<table" in (folder / "report.html").read_text()
    with (folder / "table.csv").open() as file:
        assert [row["variant"] for row in csv.DictReader(file)] == ["none", "gc", "gc ratio=1/4"]
    cell = folder / "cells" / "gc" / "seed0"
    content, labels, scores = read_cell(cell)
    assert content["precision"] == {"training": "32-true", "test": "float32"}
    timed_in = json.loads((folder / "speed.json").read_text())["circumstances"]["precision"]
    assert timed_in == {"training": "32-true", "inference": "float32"}
    assert "trained in 32-true, scored in float32" in (folder / "report.html").read_text()
    with (cell / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["video"] for row in rows] == content["videos"]
    right = (scores.argmax(1) == labels).double().mean().item()
    assert content["top1"] == pytest.approx(right)
    assert comparison.variant("gc").top_k(1).mean == pytest.approx(right)
    with (folder / "report" / "confusion_gc.csv").open() as file:
        counts = [int(row[name]) for row in csv.DictReader(file) for name in comparison.classes]
    assert sum(counts) == len(labels)
    assert sum(counts[:: len(comparison.classes) + 1]) == pytest.approx(right * len(labels))
    assert (folder / "report" / "accuracy_macs.svg").is_file()


def test_finished_cells_are_kept_and_a_new_seed_is_trained_alone(
    finished, conf, words, monkeypatch
):
    folder, before = finished
    trained = []
    monkeypatch.setattr(cell_module, "run_cell", lambda cfg: trained.append(cfg.output_dir))
    after = compare([*conf, "preset=twice", "seeds=0,3", f"folder={folder}", *words])
    assert [Path(path).parts[-2:] for path in trained] == [
        ("none", "seed3"),
        ("gc", "seed3"),
        ("gc_ratio-1-4", "seed3"),
    ]
    assert after.missing == tuple(
        f"{name}, seed 3: not finished" for name in ("none", "gc", "gc ratio=1/4")
    )
    assert after.variant("gc").ms_per_clip == before.variant("gc").ms_per_clip


def test_a_comparison_that_was_moved_goes_on(finished, conf, words, tmp_path, monkeypatch):
    folder, before = finished
    moved = shutil.copytree(folder, tmp_path / "moved")
    monkeypatch.setattr(cell_module, "run_cell", lambda cfg: pytest.fail("trains again"))
    after = compare([*conf, "preset=twice", f"folder={moved}", *words, "figures=[pdf]"])
    assert not after.missing
    drawn = {path.stem for path in (moved / "report").glob("*.pdf")}
    assert drawn > {"reliability", "confusion_none", "confusion_gc", "confusion_gc_ratio-1-4"}
    assert not list((folder / "report").glob("*.pdf"))
    for name in ("none", "gc"):
        assert after.variant(name).top_k(1) == before.variant(name).top_k(1)


@pytest.mark.slow
def test_a_cell_trained_again_is_the_same_bit_for_bit(finished, conf, words, capsys):
    folder, _ = finished
    compare([*conf, "preset=twice", "verify=gc:0", f"folder={folder}", *words])
    assert "verified: 'gc', seed 0, trained again, has the same" in capsys.readouterr().out


@pytest.mark.slow
def test_a_cell_that_comes_out_differently_is_an_error(finished, conf, words, monkeypatch):
    folder, _ = finished

    def copy_another(cfg):
        shutil.copytree(folder / "cells" / "none" / "seed0", cfg.output_dir, dirs_exist_ok=True)
        last = folder / "cells" / "gc" / "seed0" / "checkpoints" / "last.ckpt"
        shutil.copy(last, Path(cfg.output_dir) / "checkpoints")
        content = read_cell(Path(cfg.output_dir))
        cell_module.write_tensors(
            Path(cfg.output_dir) / "scores.safetensors",
            {"labels": content.labels, "scores": content.scores + 0.5},
        )

    monkeypatch.setattr(cell_module, "run_cell", copy_another)
    with pytest.raises(ValueError, match=r"'gc', seed 0, did not come out the same: 0 of \d+"):
        compare([*conf, "preset=twice", "verify=gc:0", f"folder={folder}", *words])


def test_a_cell_of_another_recipe_is_not_taken_for_one_of_this(finished, conf, words):
    folder, _ = finished
    with pytest.raises(ValueError, match=r"begun by another recipe: .*lr was .*, is 0.5"):
        compare([*conf, "preset=twice", f"folder={folder}", *words, "lr=0.5"])


def test_validations_on_the_way_do_not_make_another_recipe_unless_they_change_the_net(finished):
    cell = finished[0] / "cells" / "gc" / "seed0"
    cfg = OmegaConf.load(cell / "config.yaml")
    cfg.trainer.check_val_every_n_epoch += 6
    plan._check_same(cell, cfg)
    cfg.batch_norm.precise_batches = 2
    with pytest.raises(ValueError, match=r"precise_batches was 0, is 2; trainer\.check_val_every"):
        plan._check_same(cell, cfg)


def test_a_stage_without_blocks_is_one_that_is_left_out(finished):
    cell = finished[0] / "cells" / "gc" / "seed0"
    cfg = OmegaConf.load(cell / "config.yaml")
    cfg.model.placement.res5 = []
    cfg.model.net.placement.res5 = []
    plan._check_same(cell, cfg)
    cfg.model.placement.res4 = []
    with pytest.raises(ValueError, match=r"model\.placement\.res4 was \[1, 3, 5\], is None"):
        plan._check_same(cell, cfg)


def test_a_cell_that_was_resumed_on_the_way_is_still_one_of_this_recipe(finished, tmp_path):
    cell = finished[0] / "cells" / "gc" / "seed0"
    resumed = resumed_config([override("resume", cell)])
    resumed.logger.tensorboard = {"purge_step": 12}  # as train does for the point it goes on from
    OmegaConf.save(resumed, tmp_path / "config.yaml")
    cfg = OmegaConf.load(cell / "config.yaml")
    cfg.logger.tensorboard = {"purge_step": None}
    cfg.output_dir = str(tmp_path)
    plan._check_same(tmp_path, cfg)


@pytest.mark.slow
def test_an_interrupted_cell_goes_on_and_ends_as_if_nothing_had_happened(
    finished, conf, words, tmp_path, monkeypatch
):
    folder, _ = finished

    def interrupt(*args):
        raise KeyboardInterrupt

    given = ["model=c2d", "block=gc", f"folder={tmp_path}", *words]
    with monkeypatch.context() as patch:
        patch.setattr(cell_module, "_score", interrupt)
        with pytest.raises(KeyboardInterrupt):
            compare([*conf, *given])
    cell = tmp_path / "cells" / "gc" / "seed0"
    assert not (cell / "cell.json").exists()
    compare([*conf, *given])
    assert "is finished" in (cell / "log.txt").read_text()
    assert torch.equal(read_cell(cell).scores, read_cell(folder / "cells" / "gc" / "seed0").scores)


@pytest.mark.slow
def test_a_cell_that_fails_is_named_and_the_others_are_done(
    typed, words, tmp_path, monkeypatch, capsys
):
    def fail_once(cfg):
        if "gc" in str(cfg.output_dir):
            raise FloatingPointError("the loss is nan")
        Path(cfg.output_dir).mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(cell_module, "run_cell", fail_once)
    with pytest.raises(SystemExit) as raised:
        run_comparison([*typed, "model=c2d", "block=gc,none", f"folder={tmp_path}", *words])
    assert raised.value.code == 1
    assert "missing: gc, seed 0: the loss is nan" in capsys.readouterr().out
    assert "the loss is nan" in (tmp_path / "report.html").read_text()


def test_a_block_that_was_asked_for_and_not_inserted_is_an_error(conf, words, tmp_path):
    with pytest.raises(ValueError, match="asks for the block 'lost', but its net has 0"):
        compare([*conf, "model=c2d", "block=none,lost", f"folder={tmp_path}", *words])


def test_a_bare_net_with_blocks_is_an_error(conf, words, tmp_path):
    more = ["placement@model.placement=five", "+block@model.block=gc"]
    with pytest.raises(ValueError, match="asks for no block, but its net has 5"):
        compare([*conf, "model=c2d", "block=none", f"folder={tmp_path}", *words, *more])


def test_a_cell_on_several_devices_is_refused(conf, words, tmp_path):
    with pytest.raises(ValueError, match="a cell trains on one device"):
        compare([*conf, "model=c2d", "block=gc", f"folder={tmp_path}", *words, "trainer.devices=2"])


def test_a_setting_that_the_launcher_does_not_have_is_named(conf, words, tmp_path):
    given = ["model=c2d", "block=gc", f"folder={tmp_path}", *words, "hydra.launcher.n_jobs=2"]
    with pytest.raises(ValueError, match=r"hydra.launcher.n_jobs=2 fits the launcher 'basic'"):
        compare([*conf, *given])


@pytest.mark.skipif(
    importlib.util.find_spec("hydra_plugins.hydra_submitit_launcher") is not None,
    reason="the launcher is installed",
)
def test_a_launcher_that_is_not_installed_is_named_with_its_package(conf, words, tmp_path):
    given = ["model=c2d", "block=gc", f"folder={tmp_path}", *words, "launcher=submitit"]
    with pytest.raises(ValueError, match=r'pip install "gcvideo\[slurm\]"'):
        compare([*conf, *given])


def test_a_mistake_on_the_command_line_is_one_message(typed, capsys):
    with pytest.raises(SystemExit):
        run_comparison([*typed, "model=c2d", "block=gc", "epoch=3"])
    printed = capsys.readouterr().err
    assert "did you mean epochs" in printed
    assert "Traceback" not in printed


@pytest.mark.slow
def test_cells_in_processes_of_their_own_come_out_as_those_in_this(finished, conf, words, tmp_path):
    folder, _ = finished
    two = ["launcher=joblib", "hydra.launcher.n_jobs=2"]
    compare([*conf, "preset=twice", *two, f"folder={tmp_path}", *words])
    for cell in ("none/seed0", "gc/seed0"):
        ours, theirs = (read_cell(f / "cells" / cell) for f in (folder, tmp_path))
        assert torch.equal(ours.scores, theirs.scores)
        assert json.dumps(ours.content["probes"]) == json.dumps(theirs.content["probes"])
