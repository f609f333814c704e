import functools
import re
import shlex
import shutil
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from gcvideo.command._assembly import build
from gcvideo.command.compare._comparing import run_comparison
from gcvideo.command.compare._plan import block_arguments, cell_overrides, plan_variants
from gcvideo.command.compare._request import parse_request
from gcvideo.command.configuration import _composition as composition

CONF = Path(__file__).resolve().parents[3] / "conf"
ARGUMENTS = {
    "gc": frozenset({"ratio", "pooling", "axes", "norm", "activation", "fusion"}),
    "nl": frozenset({"kind", "axes", "sub_sample"}),
    "snl": frozenset({"axes"}),
    "se": frozenset({"ratio", "axes"}),
}


def parse(*words):
    return parse_request(words, [CONF / "preset"], lambda net, block, search: ARGUMENTS[block])


def test_variants_are_all_combinations_and_a_block_without_a_factor_stands_once():
    request = parse("model=slow", "block=none,gc,nl", "ratio=1/4,1/16")
    assert request.names == ("none", "gc ratio=1/4", "gc ratio=1/16", "nl")
    assert request.baseline == "none"


def test_a_factor_that_all_variants_share_is_not_in_their_names_but_in_their_folders():
    request = parse("model=slow", "block=none,gc", "stages=res4+5")
    assert request.names == ("none", "gc")
    assert [variant.folder for variant in request.variants] == ["none", "gc_stages-res4+5"]


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("stages=res4", {"placement.res3": "[]", "placement.res4": "all", "placement.res5": "[]"}),
        ("stages=res4+5", {"placement.res4": "all", "placement.res5": "all"}),
        ("stages=res3-res5", {"placement.res3": "all", "placement.res4": "all"}),
        ("stages=five", {"placement.res3": "[1,3]", "placement.res4": "[1,3,5]"}),
        ("position=after_add", {"placement.position": "after_add"}),
        ("ratio=1/8", {"block.ratio": "0.125"}),
        ("transform=linear", {"block.ratio": "null", "block.norm": "false"}),
        ("transform=bottleneck+relu", {"block.activation": "true", "block.norm": "false"}),
        ("pooling=avg", {"block.pooling": "avg"}),
        ("fusion=mul+add", {"block.fusion": "[mul,add]"}),
        ("axes=time", {"block.axes": "t"}),
    ],
)
def test_a_factor_becomes_words_for_the_training(word, wanted):
    words = parse("model=slow", "block=gc", word).variants[0].overrides("slow")
    assert words[0] == "model=slow_gc"
    assert {f"++model.{key}={value}" for key, value in wanted.items()} <= set(words)


def test_non_local_over_time_does_not_pool_its_keys_over_space():
    words = parse("model=slow", "block=nl", "axes=time").variants[0].overrides("slow")
    assert "model.block.sub_sample=none" in words


def test_words_that_are_no_factor_are_the_recipe_of_all_cells():
    request = parse("model=slow", "block=none,gc", "epochs=3", "transform=strong", "seeds=2,5")
    assert request.recipe == ("epochs=3", "transform=strong")
    assert request.seeds == (2, 5)
    first, second = (
        cell_overrides(request, variant, 2, Path("cell")) for variant in request.variants
    )
    assert first[1:] == second[1:]


def test_words_for_the_launcher_are_no_part_of_the_recipe():
    request = parse("model=slow", "block=gc", "launcher=joblib", "hydra.launcher.n_jobs=2", "lr=1")
    assert (request.launcher, request.settings) == ("joblib", ("hydra.launcher.n_jobs=2",))
    assert request.recipe == ("lr=1",)


def test_words_of_the_command_line_come_behind_those_of_a_preset_and_factors_replace_its_variants():
    request = parse("preset=ratio", "model=i3d", "epochs=7", "block=none,se", "ratio=1/2")
    assert (request.net, request.recipe) == ("i3d", ("epochs=7",))
    assert request.names == ("none", "se")
    assert request.title == "Bottleneck ratio"


def test_a_variant_that_a_preset_names_twice_stands_once(tmp_path):
    groups = ["{block: [none, gc], ratio: 1/4, axes: t}", "{block: gc, axes: t, ratio: 1/4}"]
    (tmp_path / "twice.yaml").write_text("variants:\n" + "".join(f"- {g}\n" for g in groups))
    words = ["model=slow", "preset=twice"]
    request = parse_request(words, [tmp_path], lambda net, block, search: ARGUMENTS[block])
    assert request.names == ("none", "gc")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "no net to put the blocks into"),
        (("model=slow",), "no block to compare"),
        (("model=slow_gc", "block=gc"), "name the bare net, such as model=slow"),
        (("preset=nothing",), "choose one of block_design, bottleneck"),
        (("model=slow", "block=gc", "stages=layer3"), "stages is 'layer3'; write five"),
        (("model=slow", "block=gc", "stages=res5-3"), "runs backwards; write res3-5"),
        (("model=slow", "block=gc", "position=before"), "position is 'before'; choose one of"),
        (("model=slow", "block=gc", "ratio=4"), "ratio is '4'; write a share"),
        (("model=slow", "block=gc", "ratio=1/0"), "ratio is '1/0'; write a share"),
        (("model=slow", "block=gc", "axes=xy"), "axes is 'xy'; choose one of thw"),
        (("model=slow", "block=gc", "fusion=sub"), "fusion is 'sub'; choose one of add, mul"),
        (
            ("model=slow", "block=none,snl", "ratio=1/4"),
            "ratio=1/4 fits none of the blocks none, snl",
        ),
        (
            ("model=slow", "block=gc", "lr=0.1,0.2"),
            "'lr=0.1,0.2' has several values, but one recipe",
        ),
        (("model=slow", "block=gc", "seeds=1,1"), "seeds is '1,1'; list different whole numbers"),
        (("model=slow", "block=gc", "seeds=1,01"), "seeds is '1,01'; list different whole numbers"),
        (("model=slow", "block=gc", "seeds=a"), "seeds is 'a'; list different whole numbers"),
        (
            ("model=slow", "block=gc", "launcher=ray"),
            "launcher is 'ray'; choose one of local, joblib",
        ),
        (
            ("model=slow", "block=gc", "baseline=none"),
            "baseline is 'none'; choose one of the variants gc",
        ),
        (
            ("model=slow", "block=gc", "verify=gc"),
            "write VARIANT:SEED of one cell, such as verify=gc:0",
        ),
        (("model=slow", "block=gc", "verify=gc:4"), "write VARIANT:SEED of one cell"),
        (
            ("model=slow", "block=gc", "verify=nl:0"),
            "verify is 'nl'; choose one of the variants gc",
        ),
    ],
)
def test_a_word_that_means_nothing_is_named_with_the_rule(words, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        parse(*words)


def test_every_comparison_in_the_documentation_is_understood():
    documents = [
        CONF.parent / name for name in ("README.md", "docs/comparison.md", "docs/results.md")
    ]
    commands = [
        line
        for document in documents
        for line in re.findall(
            r"gcvideo compare ([^#`\n\\]*(?:\\\n[^#`\n\\]*)*)", document.read_text()
        )
    ]
    assert len(commands) > 6
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for command in commands:
            words = shlex.split(command.replace("\\\n", " "))
            request = parse_request(words, [CONF / "preset"], functools.cache(block_arguments))
            assert len(request.variants) > 1, command


OWN = """
defaults:
  - /net@net: slow
  - /block@block: gc
  - /placement@placement: five
name: slow_mine
"""


def test_a_block_in_a_folder_of_its_own_is_known_by_its_file_and_named_among_the_others(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "slow_mine.yaml").write_text(OWN)
    search = (f"hydra.searchpath=[file://{tmp_path}]",)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        assert block_arguments("slow", "mine", search) == block_arguments("slow", "gc")
        known = (
            "there is no model 'slow_x' for block=x; choose among none, cc, gc, mine, nl, se, snl,"
        )
        with pytest.raises(ValueError, match=known):
            block_arguments("slow", "x", search)


def test_the_help_names_the_block_of_every_model_file(tmp_path, monkeypatch, capsys):
    conf = shutil.copytree(CONF, tmp_path / "conf")
    (conf / "model" / "slow_mine.yaml").write_text(OWN)
    monkeypatch.setattr(composition, "config_folder", lambda: conf)
    monkeypatch.setenv("COLUMNS", "200")
    run_comparison(["--help"])
    printed = " ".join(capsys.readouterr().out.split())
    assert "all: none, cc, gc, mine, nl, se, snl; the first variant is the baseline" in printed


PRESETS = sorted(path.stem for path in (CONF / "preset").glob("*.yaml"))


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_compares_a_bare_net_with_variants_of_their_own(preset):
    request = parse(f"preset={preset}")
    assert request.baseline == "none"
    assert len(request.seeds) == 3
    words = {tuple(variant.overrides(request.net)) for variant in request.variants}
    assert len(words) == len(request.names) > 2


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_builds_nets_that_differ(preset, video_folder, tmp_path):
    # The smallest ratio of the presets, 1/32, needs two channels.
    narrow = ["width=8", "num_frames=4", "crop_size=32", f"data.root={video_folder}", "data=folder"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        words = [f"preset={preset}", *narrow]
        request = parse_request(words, [CONF / "preset"], block_arguments)
        planned = plan_variants(request, build(compose("train", narrow).data), tmp_path)
    assert planned[0].name == "none"
    assert not planned[0].blocks
    assert all(plan.blocks for plan in planned[1:])
    nets = {(plan.blocks, str(plan.cfg.model.get("block"))) for plan in planned}
    assert len(nets) == len(planned)
