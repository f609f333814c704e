import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from gcvideo import cli
from gcvideo.command.configuration._command_words import PATH_KEYS
from gcvideo.command.configuration._composition import check_overrides
from gcvideo.command.configuration._value_rule import RULES, ValueRuleError, check_values

# Names, texts and lists, whose own code says what is wrong with them.
FREE = {
    "beside",
    "choice",
    "data",
    "device",
    "dtype",
    "estimate",
    "format",
    "host",
    "grad_cam_layer",
    "label",
    "layers",
    "layouts",
    "models",
    "packages",
    "preset",
    "protocol",
    "queries",
    "reference_dtype",
    "shapes",
    "crop_sizes",
    "non_local_shape",
    "split",
    "views",
}
WRONG = [
    ("train", "epochs=abc", "epochs is 'abc'; give a whole number of at least 1"),
    ("train", "epochs=1.5", "epochs is 1.5; give a whole number of at least 1"),
    ("train", "epochs=true", "epochs is True; give a whole number of at least 1"),
    ("train", "lr=abc", "lr is 'abc'; give a number above 0"),
    ("train", "lr=nan", "lr is nan; give a number above 0"),
    ("train", "lr=0", "lr is 0; give a number above 0"),
    ("train", "crop_size=0", "crop_size is 0; give a whole number of at least 1"),
    ("train", "num_frames=0", "num_frames is 0; give a whole number of at least 1"),
    ("train", "num_frames=null", "num_frames is null; give a whole number of at least 1"),
    ("train", "label_smoothing=2", "label_smoothing is 2; give a number of at least 0 and below 1"),
    ("train", "num_workers=-1", "num_workers is -1; give a whole number of at least 0, or null"),
    ("train", "weight_decay=-0.1", "weight_decay is -0.1; give a number of at least 0"),
    (
        "export",
        "min_agreement=99",
        "min_agreement is 99; give a number above 0 and at most 1, or null",
    ),
    ("train", "compile=maybe", "compile is 'maybe'; give true or false"),
    (
        "train",
        "layout=nchw",
        "layout is 'nchw'; give one of auto, contiguous, channels_last, folded",
    ),
    (
        "train",
        "max_short_side=60",
        "max_short_side is 60, below short_side of 72; give at least 72",
    ),
    (
        "train",
        "trainer.check_val_every_n_epoch=19",
        "epochs is 18, below trainer.check_val_every_n_epoch of 19; give at least 19",
    ),
    ("train", "trainer.max_epochs=0", "trainer.max_epochs is 0; give a whole number of at least 1"),
    ("train", "trainer.limit_train_batches=1.5", "give a whole number of batches, or a share"),
    (
        "train",
        "batch_norm.group_size=0",
        "group_size is 0; give a whole number of at least 1, or null",
    ),
    ("train", "protocol.by_time=1", "protocol.by_time is 1; give true or false"),
    (
        "train",
        ["protocol=slowfast", "protocol.sampling.reader=decord"],
        "protocol.sampling.reader is 'decord'; give one of whole, pyav, torchvision",
    ),
    (
        "train",
        ["protocol=mmaction_dense", "protocol.sampling.sample_range=0"],
        "protocol.sampling.sample_range is 0; give a whole number of at least 1",
    ),
    (
        "train",
        ["protocol=mmaction_segment", "protocol.sampling.seed=-1"],
        "protocol.sampling.seed is -1; give a whole number of at least 0",
    ),
    ("test", "num_clips=0", "num_clips is 0; give a whole number of at least 1, or null"),
    ("attention_stats", "max_videos=0", "max_videos is 0; give a whole number of at least 1"),
    ("predict", "top_k=0", "top_k is 0; give a whole number of at least 1"),
    ("predict", "threshold=50", "threshold is 50; give a number of at least 0 and at most 1"),
    ("predict", "stride_seconds=0", "stride_seconds is 0; give a number above 0, or null"),
    ("predict", "video=null", "video is null; it needs a value"),
    ("train", "frame_cache_gb=-1", "frame_cache_gb is -1; give a number of at least 0"),
    ("train", "output_dir=null", "output_dir is null; give a folder"),
    ("reencode", "gop_size=0", "gop_size is 0; give a whole number of at least 1"),
    (
        "benchmark",
        "what=nets",
        "what is 'nets'; give one of block, net, training, engine, end_to_end",
    ),
]


@pytest.mark.parametrize(("config", "words", "message"), WRONG, ids=str)
def test_a_value_that_breaks_the_rule_of_its_key_is_named(config, words, message):
    needed = ["data=demo", "output=x"] if config == "reencode" else []
    words = [words] if isinstance(words, str) else words
    with pytest.raises(ValueRuleError) as caught:
        check_overrides(config, [*needed, *words])
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "words",
    [
        ["num_workers=0", "num_workers=null", "num_threads=null", "num_classes=8"],
        ["lr=1e-3", "lr=1", "weight_decay=0", "dropout=0", "label_smoothing=0.1"],
        ["trainer.limit_train_batches=0.5", "trainer.limit_val_batches=3", "layout=folded"],
        ["trainer.gradient_clip_val=1", "batch_norm.mode=sync", "max_short_side=72"],
    ],
)
def test_values_within_the_rules_pass(words):
    for word in words:
        check_overrides("train", [word])


def test_a_value_that_follows_another_is_looked_at_where_it_ends():
    cfg = OmegaConf.create({"epochs": 3, "trainer": {"max_epochs": "${epochs}"}})
    check_values(cfg, cfg)
    cfg.epochs = 0
    with pytest.raises(ValueRuleError, match="epochs is 0"):
        check_values(cfg, cfg)


def test_what_hydra_is_asked_for_is_not_looked_at(monkeypatch):
    cfg = OmegaConf.create({"hydra": {"runtime": {"output_dir": None}}})
    monkeypatch.setattr(HydraConfig.instance(), "cfg", cfg)
    check_overrides("train", [])


def keys_of(node, above=""):
    for key in node:
        value = None if OmegaConf.is_missing(node, key) else node._get_node(key)._value()
        if OmegaConf.is_dict(node._get_node(key)) and not above.count("."):
            yield from keys_of(node[key], f"{above}{key}.")
        elif not (isinstance(value, str) and "${" in value):
            yield f"{above}{key}"


@pytest.mark.parametrize("name", [c.config for c in cli.COMMANDS.values() if c.config])
def test_every_key_of_every_command_has_a_rule_or_is_a_path_or_a_text(project, name):
    conf = project / "conf"
    files = [conf / f"{name}.yaml", *((conf / "recipe").glob("*.yaml") if name == "train" else ())]
    groups = {path.name for path in conf.iterdir() if path.is_dir()}
    for file in files:
        content = OmegaConf.load(file)
        for key in keys_of(content):
            if key.partition(".")[0] in ("defaults", "hydra", *groups):
                continue
            assert (key in RULES) + (key in PATH_KEYS) + (key in FREE) > 0, f"{file.name}: {key}"
