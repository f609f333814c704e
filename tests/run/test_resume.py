import json
import math
import os
import shutil
import signal
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from lightning import Callback
from omegaconf import OmegaConf

from gcvideo import cli
from gcvideo.run import ResumeError, application, resumed_config, train, training
from gcvideo.run.data_record import DataChangedError
from gcvideo.run.run_folder import RunFolderError, new_folder
from gcvideo.training import TrainingStopped

CONF = Path(__file__).resolve().parent.parent.parent / "conf"
SCRIPT = Path(__file__).resolve().parent.parent / "killed_training.py"


def killed_run(data, folder, signal_name, num_kills, *overrides, timeout=900):
    """The exit statuses of a run that was killed and resumed; beside it lies one that was not."""
    subprocess.run(
        [
            sys.executable,
            str(SCRIPT),
            str(data),
            str(folder),
            signal_name,
            str(num_kills),
            *overrides,
        ],
        check=True,
        timeout=timeout,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    return json.loads((folder / "statuses.json").read_text())


def last_checkpoint(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def assert_equal_runs(folder):
    whole, killed = last_checkpoint(folder / "whole"), last_checkpoint(folder / "killed")
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "train_metrics", "loops"):
        assert_equal(whole[part], killed[part])
    tables = [folder / name / "csv" / "metrics.csv" for name in ("whole", "killed")]
    assert tables[0].read_bytes() == tables[1].read_bytes()
    results = [json.loads((folder / n / "results.json").read_text()) for n in ("whole", "killed")]
    assert results[0]["metrics"] == results[1]["metrics"]


def assert_equal(a, b):
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_equal(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            assert_equal(one, other)
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    else:
        assert a == b


def seen(*journals):
    """Rows of (epoch, batch, videos) in the order of time."""
    return [json.loads(line) for path in journals for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_ten_kills_leave_weights_and_log_bit_equal_to_an_uninterrupted_run(tmp_path, video_folder):
    statuses = killed_run(
        video_folder,
        tmp_path,
        "SIGKILL",
        10,
        *("checkpoint.every_n_steps=3", "epochs=7", "ema=default", "ema.decay=0.9"),
    )
    assert statuses == [-9] * 10 + [0]
    assert_equal_runs(tmp_path)
    whole = seen(tmp_path / "whole.jsonl")
    assert len(whole) == 35
    killed = [seen(path) for path in sorted(tmp_path.glob("killed_*.jsonl"))]
    # What a step has seen last is what the weights have learnt from.
    lasting = {(epoch, batch): videos for run in killed for epoch, batch, videos in run}
    assert lasting == {(epoch, batch): videos for epoch, batch, videos in whole}
    assert sum(map(len, killed)) - len(whole) <= 10 * 3


def assert_loses_no_step(folder, data, signal_name, num_signals, status, *overrides):
    statuses = killed_run(data, folder, signal_name, num_signals, *overrides)
    assert statuses == [status] * num_signals + [0]
    assert_equal_runs(folder)
    journals = sorted(folder.glob("killed_*.jsonl"))
    assert seen(*journals) == seen(folder / "whole.jsonl")


def test_a_run_that_is_asked_to_stop_loses_no_step(tmp_path, video_folder):
    assert_loses_no_step(tmp_path, video_folder, "SIGTERM", 3, 143, "epochs=2")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signal_name", "status", "overrides"),
    [
        ("SIGTERM", 143, ["ema=default", "batch_norm.precise_batches=1"]),
        ("SIGINT", 130, ["train_only=blocks", "trainer.accumulate_grad_batches=2"]),
        ("SIGUSR1", 138, ["mixing=mixup", "clips_per_video=2"]),
    ],
)
def test_a_run_can_be_stopped_anywhere_under_any_recipe(
    tmp_path, video_folder, signal_name, status, overrides
):
    assert_loses_no_step(tmp_path, video_folder, signal_name, 8, status, "epochs=10", *overrides)


@pytest.fixture(scope="module")
def stopped_run(tmp_path_factory, tiny, video_folder):
    """The folder of a run of three epochs that was stopped in its last; its second was validated."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    words = [*tiny, "model=c2d", "data=folder", f"data.root={video_folder}", "epochs=3"]
    words += ["batch_size=2", "logger=none", "trainer.gradient_clip_val=1.5"]
    words += ["trainer.limit_train_batches=3", "trainer.check_val_every_n_epoch=2"]
    words += [f"output_dir={folder}"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", words)
    stop(cfg, after_epochs=2)
    return folder


def stop(cfg, after_epochs):
    """Train until an epoch has begun, as SIGTERM stops it."""

    class Stopping(Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.current_epoch == after_epochs:
                os.kill(os.getpid(), signal.SIGTERM)

    build = training.build_trainer

    def build_stopping(cfg):
        trainer = build(cfg)
        trainer.callbacks.append(Stopping())
        return trainer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "build_trainer", build_stopping)
        with pytest.raises(TrainingStopped):
            train(cfg)


@pytest.fixture
def run(stopped_run, tmp_path, video_folder):
    """A copy of it, with videos of its own."""
    folder = shutil.copytree(stopped_run, tmp_path / "moved")
    videos = shutil.copytree(video_folder, tmp_path / "videos")
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace(str(video_folder), str(videos)))
    return folder


def resumed(*words):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return resumed_config(list(words))


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (["trainer=cpu"], ("cpu", 1)),
        (["trainer=ddp", "trainer.devices=4"], ("auto", 4)),
        (["trainer.devices=4", "trainer=ddp"], ("auto", 4)),
        (["trainer.gradient_clip_val=3", "trainer=auto"], ("auto", 1)),
    ],
)
def test_another_trainer_changes_where_a_run_is_computed_and_nothing_else(run, words, place):
    before, after = resumed(f"resume={run}").trainer, resumed(f"resume={run}", *words).trainer
    assert (after.accelerator, after.devices) == place
    assert ("trainer=ddp" in words) == (after.strategy != "auto")
    placing = ("accelerator", "devices", "num_nodes", "strategy")
    changed = {key for key in before if before[key] != after[key]} - {*placing}
    assert changed == {word.partition("=")[0].partition(".")[2] for word in words if "clip" in word}
    assert after.max_epochs == 3
    assert after.limit_train_batches == 3


def test_settings_of_the_machine_are_read_again_where_a_run_goes_on(run, monkeypatch):
    monkeypatch.setenv("SLURM_NNODES", "2")
    cfg = resumed(f"resume={run}", "trainer=slurm")
    monkeypatch.setenv("SLURM_NNODES", "3")
    assert cfg.trainer.num_nodes == 3


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("trainer.limit_val_batches=1", "is part of what the run"),
        ("batch_size=0", "batch_size is 0; give a whole number of at least 1"),
    ],
)
def test_words_that_would_change_a_run_or_mean_nothing_are_refused(run, word, message):
    with pytest.raises(ValueError, match=message):
        resumed(f"resume={run}", word)


def saved(folder, name="last"):
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)


def contents(folder):
    """What files hold, but for that of the lock."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {path: path.read_bytes() for path in files}


def best_state(checkpoint):
    (state,) = [s for name, s in checkpoint["callbacks"].items() if "BestCheckpoint" in name]
    return state


def raise_best_score(folder, score):
    """As if an epoch had been better than any that follows can be."""
    for path in (folder / "checkpoints").iterdir():
        content = torch.load(path, weights_only=True)
        best = best_state(content)
        best["best_model_score"] = best["kth_value"] = torch.tensor(score)
        best["best_k_models"] = {best["best_model_path"]: torch.tensor(score)}
        torch.save(content, path)


def test_a_run_whose_folder_was_moved_keeps_its_best_epoch(run):
    raise_best_score(run, 1.5)
    best = (run / "checkpoints" / "best.ckpt").read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics = train(resumed(f"resume={run}"))
    assert metrics["best_val_top1"] == 1.5
    assert (run / "checkpoints" / "best.ckpt").read_bytes() == best
    assert best_state(saved(run))["best_model_path"] == str(run / "checkpoints" / "best.ckpt")


def test_a_best_checkpoint_that_is_gone_counts_no_longer(run, capsys):
    raise_best_score(run, 1.5)
    path = run / "checkpoints" / "best.ckpt"
    path.unlink()
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("max_epochs: ${epochs}", "max_epochs: 4"))
    assert train(resumed(f"resume={run}"))["best_val_top1"] <= 1
    assert f"'{path}' of val/top1 1.5000 is gone" in capsys.readouterr().out
    assert saved(run, "best")["epoch"] == 3


def test_a_metric_of_before_the_stop_stands_in_the_results(run, capsys):
    metrics = train(resumed(f"resume={run}"))
    before = best_state(saved(run, "best"))["best_model_score"]
    assert metrics["last_val_top1"] == metrics["best_val_top1"] == before
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    assert line.startswith("epoch 3/3  loss")
    assert "val" not in line
    assert json.loads((run / "results.json").read_text())["last_validated_epoch"] == 2


def test_a_finished_run_that_is_resumed_changes_nothing(run, capsys):
    metrics = train(resumed(f"resume={run}"))
    before = contents(run)
    shutil.rmtree(run.parent / "videos")  # which nobody asks for
    assert train(resumed(f"resume={run}", "trainer=auto")) == metrics
    assert "is finished: 3 epochs, 9 steps; nothing is changed" in capsys.readouterr().out
    assert contents(run) == before


def test_an_early_stopped_run_is_finished(compose_config, tmp_path, tiny, video_folder):
    words = [*tiny, "model=c2d", "data=folder", f"data.root={video_folder}", "epochs=9"]
    words += ["logger=none", "early_stopping=default", "early_stopping.patience=1", "lr=1e-9"]
    metrics = train(compose_config("train", [*words, f"output_dir={tmp_path}"]))
    before = json.loads((tmp_path / "results.json").read_text())
    assert before["epochs"] == 2
    step = saved(tmp_path)["global_step"]
    assert train(resumed(f"resume={tmp_path}")) == metrics
    # Killed before it could write its results.
    (tmp_path / "results.json").unlink()
    assert train(resumed(f"resume={tmp_path}")) == metrics
    after = json.loads((tmp_path / "results.json").read_text())
    assert before | {"seconds": 0} == after | {"seconds": 0}
    assert saved(tmp_path)["global_step"] == step


def test_other_classes_are_refused(run):
    (run.parent / "videos" / "dark").rename(run.parent / "videos" / "night")
    with pytest.raises(DataChangedError, match=r"1 missing \(dark\), 1 new \(night\); its head"):
        train(resumed(f"resume={run}", "accept_changed_lists=true"))


def test_classes_in_another_order_are_refused(run):
    videos = run.parent / "videos"
    for old, new in (("dark", "x"), ("light", "dark"), ("x", "light")):
        (videos / old).rename(videos / new)
    # The files say the same, and their folders do not.
    with pytest.raises(DataChangedError, match=r"begun with other videos: of train, 10 videos"):
        train(resumed(f"resume={run}"))


def test_other_lists_are_refused_until_a_word_accepts_them_once(run, capsys):
    videos = run.parent / "videos"
    (videos / "dark" / "dark_0.mp4").rename(videos / "dark" / "dark_0b.mp4")
    with pytest.raises(DataChangedError) as caught:
        train(resumed(f"resume={run}"))
    message = str(caught.value)
    assert "1 missing (dark/dark_0.mp4)" in message
    assert "1 new (dark/dark_0b.mp4)" in message
    assert "accept_changed_lists=true" in message
    train(resumed(f"resume={run}", "accept_changed_lists=true"))
    assert "1 missing (dark/dark_0.mp4)" in capsys.readouterr().out
    (videos / "dark" / "dark_0b.mp4").rename(videos / "dark" / "dark_0c.mp4")
    (run / "results.json").unlink()
    with pytest.raises(DataChangedError, match=r"1 missing \(dark/dark_0b\.mp4\), 1 new"):
        train(resumed(f"resume={run}"))


def test_the_rate_follows_the_epochs_where_lists_are_shorter(run):
    config = OmegaConf.load(run / "config.yaml")
    config.trainer.limit_train_batches = None
    OmegaConf.save(config, run / "config.yaml")
    content = saved(run)
    content["progress"]["epoch_batches"] = [3, 3, 3]
    torch.save(content, run / "checkpoints" / "last.ckpt")
    for video in ("dark/dark_0.mp4", "dark/dark_1.mp4"):
        (run.parent / "videos" / video).unlink()
    train(resumed(f"resume={run}", "accept_changed_lists=true", "checkpoint.every_n_steps=1"))
    rates = {
        saved(run, name)["global_step"]: saved(run, name)["lr_schedulers"][0]["_last_lr"][0]
        for name in ("previous", "last")
    }
    # Six steps in two epochs, then four in the last: the third of them stands at 2 3/4 of 3 epochs.
    cosine = 0.5 * (1 + math.cos(math.pi * (2 + 3 / 4) / 3))
    assert rates[9] == pytest.approx(cosine * 0.001 * 2 / 16)


def test_a_run_without_a_record_of_its_data_needs_the_word(run):
    (run / "data.jsonl.gz").unlink()
    with pytest.raises(DataChangedError, match=r"lacks data\.jsonl\.gz"):
        train(resumed(f"resume={run}"))
    train(resumed(f"resume={run}", "accept_changed_lists=true"))
    assert (run / "data.jsonl.gz").is_file()


def test_a_new_run_is_not_begun_among_the_checkpoints_of_an_old_one(run):
    before = contents(run)
    cfg = OmegaConf.load(run / "config.yaml")
    cfg.resume, cfg.output_dir = None, str(run)
    with pytest.raises(RunFolderError, match=r"has a run already \(best\.ckpt, last\.ckpt, prev"):
        train(cfg)
    assert contents(run) == before


def test_checkpoints_of_another_run_are_not_taken(run):
    config = OmegaConf.load(run / "config.yaml")
    config.run_id = "another"
    OmegaConf.save(config, run / "config.yaml")
    with pytest.raises(ResumeError, match="is of another run than"):
        train(resumed(f"resume={run}"))


def test_two_processes_do_not_train_in_one_folder(run):
    code = f"""
import sys
from pathlib import Path
from gcvideo.run.run_folder import held
with held(Path({str(run)!r})):
    print("held", flush=True)
    sys.stdin.read()
"""
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(RunFolderError, match=f"is in use by process {process.pid} on"):
            train(resumed(f"resume={run}"))
    finally:
        process.kill()
        process.communicate()
    train(resumed(f"resume={run}"))  # a killed process holds nothing


def test_starts_in_the_same_moment_have_folders_of_their_own(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(new_folder, [tmp_path / "runs" / "12-00-00"] * 8))
    names = ["12-00-00", *(f"12-00-00_{number}" for number in range(2, 9))]
    assert sorted(folder.name for folder in made) == sorted(names)


def test_a_command_begins_in_a_folder_that_nobody_has(tmp_path, monkeypatch, video_folder, tiny):
    monkeypatch.chdir(tmp_path)
    default, told = application._default_folder, []

    def same_moment(read, key):
        told.append(default(read, key))
        return tmp_path / "runs" / "now"

    monkeypatch.setattr(application, "_default_folder", same_moment)
    words = [*tiny, "data=folder", f"data.root={video_folder}", "model=c2d"]
    for more in (["num_classes=5"], ["-m", "num_classes=5,6"]):  # which the data does not have
        with pytest.raises(SystemExit):
            cli.run("train", [*words, *more])
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["now", "now_2"]
    assert (tmp_path / "runs" / "now" / ".hydra").is_dir()
    assert [folder.parent for folder in told] == [Path("runs/folder_c2d"), Path("runs/sweep")]


def test_a_folder_that_is_given_and_has_a_run_is_refused_before_anything_is_written(
    run, tiny, video_folder, capsys
):
    before = contents(run)
    words = [*tiny, "data=folder", f"data.root={video_folder}", f"hydra.run.dir={run}"]
    with pytest.raises(SystemExit):
        cli.run("train", words)
    assert "has a run already" in capsys.readouterr().err
    assert contents(run) == before
