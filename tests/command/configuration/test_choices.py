"""Every choice of every group of the configuration is started: it trains for a step."""

import shutil
from pathlib import Path

import pytest
import torch
from torchvision.models import resnet50

import gcvideo.weights._weight_source as weight_source
from gcvideo.command._assembly import TrainerError
from gcvideo.command._user_error import user_error
from gcvideo.command.configuration._command_words import CommandWordError, without_null_groups
from gcvideo.command.train._training import train
from gcvideo.models import slow_resnet

CONF = Path(__file__).resolve().parents[3] / "conf"
ONE_STEP = [
    *("trainer.limit_train_batches=1", "trainer.limit_val_batches=1", "batch_size=2"),
    "trainer.enable_progress_bar=false",
]
PACKAGES = {"block": "model.block", "net": "model.net", "placement": "model.placement"}
# The test of any other choice has other choices of these.
NEEDS = {
    ("scheduler", "warmup_steps"): ["scheduler.milestones=[0.5]"],
    ("experiment", "kinetics400_multigrid"): ["scheduler.milestones=[0.5]"],
    ("experiment", "kinetics400_imagenet"): ["scheduler.milestones=[0.5]"],
    ("data", "demo"): ["data.train_per_class=1", "data.val_per_class=1"],
    ("data", "cue"): ["data.train_per_class=1", "data.val_per_class=1", "data.test_per_class=1"],
    ("placement", "all"): ["block@model.block=gc"],
}
HEADER = "label,youtube_id,time_start,time_end,split\n"
NEEDS_GPU = ("gpu", "slurm")


def choices(group):
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


GROUPS = sorted(path.name for path in CONF.iterdir() if path.is_dir() and path.name != "preset")


@pytest.fixture
def kinetics_root(tmp_path, video_folder):
    """A folder with the official lists."""
    root = tmp_path / "k400"
    root.mkdir()
    for split, numbers in (("train", range(5)), ("val", (5,))):
        rows = []
        for name in ("dark", "light"):
            for number in numbers:
                clip = f"{name:_<10}{number}"  # of eleven letters, as on YouTube
                source = video_folder / name / f"{name}_{number}.mp4"
                shutil.copy(source, root / f"{clip}_000000_000010.mp4")
                rows.append(f"{name},{clip},0,10,{split}\n")
        (root / f"{split}.csv").write_text(HEADER + "".join(rows))
    return root


@pytest.fixture
def downloads(tmp_path, monkeypatch):
    """Published weights of the right shapes, as if they had been downloaded."""

    def file(url, **_):
        path = tmp_path / url.rpartition("/")[2]
        if not path.exists():
            images = "resnet50" in path.name
            net = resnet50() if images else slow_resnet(depth=50, num_classes=400)
            torch.save(net.state_dict() if images else {"model_state": net.state_dict()}, path)
        return path

    monkeypatch.setattr(weight_source, "cached_file", file)


@pytest.fixture
def start(compose_config, tiny, video_folder, kinetics_root, downloads, tmp_path, monkeypatch):
    """Trains with overrides for a step; returns the folder of the run and its metrics."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*overrides):
        words = [*tiny, *ONE_STEP, f"output_dir={tmp_path / 'run'}"]
        text = " ".join(overrides)
        if "experiment=" not in text and "data=" not in text:
            words.append("data=folder")
        if "data=demo" not in text and "data=cue" not in text:
            root = kinetics_root if "kinetics" in text and "recipe" not in text else video_folder
            words.append(f"data.root={root}")
        if "model=" not in text and "experiment=" not in text:
            words.append("model=c2d")
        given = [word for word in words if word != "trainer=cpu" or "trainer=" not in text]
        return tmp_path / "run", train(compose_config("train", [*given, *overrides]))

    yield run
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def overrides_of(group, name, checkpoint):
    key = f"{group}@{PACKAGES[group]}" if group in PACKAGES else group
    if group == "choice":
        key = "choice@weights.choice"
    words = [f"{key}={name}", *NEEDS.get((group, name), ())]
    if group in ("block", "net", "placement"):
        words.insert(0, "model=c2d_gc")
    if group == "choice":
        words.insert(0, "weights=checkpoint")
    if "weights=checkpoint" in words:
        words += ["model=i3d_gc", f"weights.path={checkpoint}"]
    if (group, name) == ("weights", "imagenet") or (group == "experiment" and name != "small_data"):
        words.append("width=64")
    if group == "multigrid" or name == "kinetics400_multigrid":
        words.append("batch_size=1")  # of the smallest clips there are eight times as many
    if group == "trainer":
        words += ["trainer.accelerator=cpu"] if name not in NEEDS_GPU else []
    if group not in ("callbacks", "logger"):
        words += ["callbacks=none", "logger=none"]
    return words


def test_a_run_starts_with_a_choice_of_every_group(start, checkpoint):
    folder, metrics = start(
        *("model=i3d_gc", "block@model.block=gc", "placement@model.placement=all"),
        *("data=folder", "recipe=folder", "transform=strong", "protocol=mmaction"),
        *("optimizer=sgd", "scheduler=warmup_steps", "scheduler.milestones=[0.5]"),
        *(
            "weights=checkpoint",
            f"weights.path={checkpoint}",
            "mixing=mixup_cutmix",
            "trainer=auto",
        ),
        *("trainer.accelerator=cpu", "callbacks=default", "logger=none", "ema=default"),
        *("early_stopping=default", "multigrid=short"),
    )
    assert "best_val_top1" in metrics
    assert (folder / "checkpoints" / "best.ckpt").is_file()
    assert not (folder / "csv").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("group", "name"),
    [
        (group, name)
        for group in GROUPS
        for name in choices(group)
        if (group, name) not in {("trainer", name) for name in NEEDS_GPU}
    ],
)
@pytest.mark.filterwarnings(
    "ignore:.broadcast_buffers. is deprecated",
    "ignore:Grad strides do not match bucket view strides",
    "ignore:It is recommended to use .self.log",
)
def test_every_choice_of_every_group_trains_for_a_step(start, checkpoint, group, name):
    folder, metrics = start(*overrides_of(group, name, checkpoint))
    assert (folder / "results.json").is_file()
    assert "last_val_top1" in metrics
    is_logged = group == "callbacks" or (group == "logger" and name == "default")
    assert (folder / "csv" / "metrics.csv").is_file() == is_logged


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("name", NEEDS_GPU)
def test_a_trainer_whose_device_is_not_here_says_so(start, name):
    with pytest.raises(TrainerError) as caught:
        start(f"trainer={name}", "callbacks=none", "logger=none")
    message = user_error(caught.value)
    assert message is not None
    assert "trainer.accelerator=gpu" in message
    assert "trainer=cpu" in message


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        *((f"{g}=null", f"{g}=none") for g in ("callbacks", "logger", "weights", "mixing", "ema")),
        *((f"{g}=NULL", f"{g}=none") for g in ("early_stopping", "multigrid")),
        ("mixing=null,mixup", "mixing=none,mixup"),
        ("experiment=null", None),
        ("num_workers=null", "num_workers=null"),
        ("resume=null", "resume=null"),
        ("callbacks.lr=null", "callbacks.lr=null"),
        ("-m", "-m"),
    ],
)
def test_null_means_none_where_a_group_may_be_absent(compose_config, word, meant):
    named = [*without_null_groups(["epochs=2", word], "train")]
    assert named == ["epochs=2", *([] if meant is None else [meant])]
    if "," not in word and word != "-m":
        group = word.partition("=")[0]
        cfg = compose_config("train", named)
        assert not cfg.get(group.partition(".")[0]) or "." in group


def test_null_leaves_a_test_with_the_data_of_the_checkpoint():
    assert list(without_null_groups(["data=null", "protocol=null"], "test")) == []


@pytest.mark.parametrize("group", ["model", "data", "recipe", "trainer", "optimizer", "protocol"])
def test_null_is_refused_where_nothing_goes_without(group):
    with pytest.raises(CommandWordError) as caught:
        list(without_null_groups([f"{group}=null"], "train"))
    assert f"a run needs a {group}; choose one of {choices(group)[0]}, " in str(caught.value)


def test_a_callback_or_logger_that_is_set_to_null_is_left_out(start):
    folder, _ = start(
        *("callbacks.lr=null", "callbacks.throughput=null", "callbacks.learning_curve=null"),
        *("logger.tensorboard=null", "logger.timing=null"),
    )
    assert [path.name for path in (folder / "csv").iterdir()] == ["metrics.csv"]
    assert not (folder / "tensorboard").exists()
    assert not (folder / "learning_curve.png").exists()
