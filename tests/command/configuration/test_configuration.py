import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from gcvideo import cli
from gcvideo.command._assembly import build_trainer
from gcvideo.command._device import best_precision
from gcvideo.command.configuration._composition import OverrideError, block_words, check_overrides
from gcvideo.command.configuration._value_rule import ValueRuleError
from gcvideo.models import inserted_blocks

CONF = Path(__file__).resolve().parents[3] / "conf"
MODELS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
NETS = sorted({name.partition("_")[0] for name in MODELS})


def files(group):
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@pytest.mark.parametrize("name", MODELS)
def test_every_model_builds_with_the_blocks_that_its_name_says(compose_config, name):
    cfg = compose_config("train", [f"model={name}", "width=16", "num_classes=3"])
    net = instantiate(cfg.model.net, _convert_="all")
    family, _, block = name.partition("_")
    assert cfg.model.name == name
    assert cfg.model.net._target_ == f"gcvideo.models.{family}_resnet"
    blocks = inserted_blocks(net)
    assert [(b.stage, b.index) for b in blocks] == (
        [("res3", 1), ("res3", 3), ("res4", 1), ("res4", 3), ("res4", 5)] if block else []
    )
    if block:
        assert {b.kind for b in blocks} == {
            type(instantiate(cfg.model.block, _convert_="all")(64)).__name__
        }
    if block in ("gc", "snl", "se"):
        assert {b.kind for b in blocks} == {"ContextBlock"}
    expected = {"after_relu"} if block in ("nl", "cc") else {"after_conv3"}
    assert {b.position for b in blocks} <= expected


def test_there_is_a_preset_for_every_net_and_block():
    assert {"gc", "snl", "se", "nl", "cc"} <= set(block_words())
    blocks = ["", *(f"_{word}" for word in block_words())]
    assert sorted(net + block for net in NETS for block in blocks) == MODELS


@pytest.mark.parametrize(
    ("group", "name"),
    [
        (group, name)
        for group in ("data", "transform", "protocol", "optimizer", "trainer", "weights", "mixing")
        for name in files(group)
    ],
)
def test_every_file_of_every_group_composes_and_resolves(compose_config, group, name):
    cfg = compose_config("train", [f"{group}={name}", "output_dir=x"])
    for key in ("data", "weights"):
        if cfg[key] is not None:
            for field in ("root", "path"):
                if OmegaConf.is_missing(cfg[key], field):
                    cfg[key][field] = "given"
    OmegaConf.resolve(cfg)


@pytest.mark.parametrize("name", files("experiment"))
def test_every_experiment_composes_and_states_its_command(compose_config, name):
    cfg = compose_config("train", [f"experiment={name}", "data.root=x", "output_dir=x"])
    OmegaConf.resolve(cfg)
    text = (CONF / "experiment" / f"{name}.yaml").read_text()
    assert f"gcvideo train experiment={name}" in text


def test_kinetics_recipes_have_the_published_numbers(compose_config):
    cfg = compose_config("train", ["experiment=kinetics400_scratch", "data.root=x", "output_dir=x"])
    assert (cfg.epochs, cfg.lr, cfg.base_batch_size, cfg.warmup_epochs) == (196, 0.1, 64, 34)
    assert (cfg.optimizer.momentum, cfg.optimizer.nesterov) == (0.9, True)
    assert (cfg.short_side, cfg.max_short_side, cfg.crop_size) == (256, 321, 224)
    protocol = instantiate(cfg.protocol, _convert_="all")
    assert (protocol.num_clips, protocol.num_crops, protocol.crop_size) == (10, 3, 256)
    inflated = compose_config(
        "train", ["experiment=kinetics400_imagenet", "data.root=x", "output_dir=x"]
    )
    schedule = instantiate(inflated.scheduler, _convert_="all")
    rates = [inflated.lr * schedule.factor(e, inflated.epochs) for e in (0, 43, 44, 88, 117)]
    assert rates == pytest.approx([1e-2, 1e-2, 1e-3, 1e-4, 1e-4])


@pytest.mark.parametrize("name", files("protocol"))
def test_every_protocol_can_go_by_time(compose_config, name):
    for overrides, by_time in (([], False), (["protocol.by_time=true"], True)):
        for command, others in (
            ("train", []),
            ("test", ["checkpoint=x", "num_frames=8", "sampling_rate=8", "num_clips=1"]),
        ):
            sizes = ["num_crops=1", "short_side=64", "crop_size=56"]
            words = [f"protocol={name}", *sizes, *others, *overrides]
            protocol = instantiate(compose_config(command, words).protocol, _convert_="all")
            assert protocol.by_time is by_time
            assert protocol.name == name


@pytest.mark.parametrize("transform", ["jitter_crop", "resized_crop"])
def test_training_rounds_sides_as_the_protocol_does(compose_config, transform):
    for name, size in (("mmaction", (256, 313)), ("slowfast_pyav", (256, 312))):
        sizes = ["short_side=256", "max_short_side=256"]
        cfg = compose_config("train", [f"protocol={name}", f"transform={transform}", *sizes])
        step, protocol = (
            instantiate(cfg.transform, _convert_="all").keywords["steps"][0],
            instantiate(cfg.protocol, _convert_="all"),
        )
        assert protocol.frame_size(288, 352) == size
        assert step(torch.zeros(1, 3, 288, 352, dtype=torch.uint8)).shape[2:] == size


def test_the_recipe_follows_the_data_and_yields_to_the_command_line(compose_config):
    kinetics = compose_config("train", ["data=kinetics400", "data.root=x", "optimizer=adamw"])
    assert (kinetics.epochs, kinetics.width) == (196, 64)
    assert kinetics.optimizer._target_ == "torch.optim.AdamW"
    assert compose_config("train", []).width == 16


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["modle=i3d"], r"'modle' is not a key of this configuration: did you mean model"),
        (["trainer.max_epoch=3"], r"did you mean trainer\.max_epochs"),
        (["model.block.ration=0.5"], r"did you mean model\.block\.ratio"),
        (["epochss=3"], r"did you mean epochs"),
        (["model=i3d_gx"], r"i3d_gc"),
        (["ratio=0.5"], r"did you mean model\.block\.ratio"),
    ],
)
def test_a_misspelled_override_fails_with_the_near_misses(overrides, message):
    with pytest.raises(OverrideError, match=message):
        check_overrides("train", overrides)


def test_good_overrides_and_sweeps_pass():
    check_overrides("train", ["model=slow_gc,i3d_gc", "model.block.ratio=0.25,0.125"])
    check_overrides("train", ["+extra=1", "data=folder", "data.root=/x"])


def test_every_value_of_a_sweep_is_looked_at():
    with pytest.raises(OverrideError, match=r"(?s)model\.block\.ratio.*with model=slow_nl of the"):
        check_overrides("train", ["model=slow_gc,slow_nl", "model.block.ratio=0.25,0.125"])
    with pytest.raises(ValueRuleError, match="epochs is 0; give a whole number of at least 1"):
        check_overrides("train", ["epochs=3,2,0"])


def test_an_override_of_a_block_that_is_not_there_says_so():
    with pytest.raises(OverrideError, match=r"'model\.block\.ratio' is not a key"):
        check_overrides("train", ["model=slow", "model.block.ratio=0.25"])


def test_precision_is_bf16_only_where_the_hardware_has_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    native = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    assert best_precision("auto") == ("bf16-mixed" if native else "32-true")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert best_precision("gpu") == "bf16-mixed"
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert best_precision("auto") == "32-true"


def test_no_number_of_the_recipe_is_written_twice():
    """Files outside of recipes and experiments interpolate what recipes set."""
    recipe = OmegaConf.load(CONF / "recipe" / "kinetics400.yaml")
    numbers = {str(key) for key in recipe if key != "defaults"}
    for group in ("net", "protocol", "transform", "trainer", "scheduler", "optimizer"):
        for path in (CONF / group).glob("*.yaml"):
            content = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
            for key in numbers & set(content):
                assert str(content[key]).startswith("${"), f"{path}: {key}"


def test_lightning_does_not_requeue_in_the_middle_of_a_step(compose_config, monkeypatch, tiny):
    for name, value in {
        "SLURM_NTASKS": "1",
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NAME": "train",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
        "SLURM_NODEID": "0",
    }.items():
        monkeypatch.setenv(name, value)
    cfg = compose_config("train", [*tiny, "callbacks=none", "logger=none", "output_dir=run"])
    environment = build_trainer(cfg)._accelerator_connector.cluster_environment
    assert type(environment).__name__ == "SLURMEnvironment"
    assert not environment.auto_requeue


def test_a_run_folder_that_cannot_be_made_is_refused_before_hydra_makes_it(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit):
        cli.main("train", [f"hydra.run.dir={tmp_path}/file/run"])
    assert f"error: the output folder '{tmp_path}/file/run' cannot be" in capsys.readouterr().err


@pytest.mark.slow
def test_an_estimate_prints_a_table_and_leaves_nothing(project, tmp_path):
    words = [str(project / "scripts" / "train.py"), "estimate=0.5", "data.train_per_class=2"]
    done = subprocess.run(
        [sys.executable, *words, "data.val_per_class=1", "batch_size=4"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "500 ms, as given" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_training_without_tensorboard_says_so_and_has_the_other_logs(
    compose_config, monkeypatch, capsys, tmp_path, tiny
):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    cfg = compose_config("train", [*tiny, f"output_dir={tmp_path}"])
    kinds = [type(logger).__name__ for logger in build_trainer(cfg).loggers]
    assert kinds == ["MetricLog", "MetricLog"]
    assert 'pip install "gcvideo[tensorboard]"' in capsys.readouterr().out
