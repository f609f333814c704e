import csv
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from gcvideo.command._costing import PUBLISHED_PARAMETERS, cost

CONF = Path(__file__).resolve().parents[2] / "conf"
ALL = "slow_gc placement@model.placement=all"


def count(models=None, **settings):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("cost")
        cfg.models = models or cfg.models
        cfg.update(settings)
        return cost(cfg)


@pytest.fixture(scope="module")
def slow():
    """Of the five models in the paper's table, by name."""
    return {row.words: row for row in count(["slow", "slow_nl", "slow_snl", "slow_gc", ALL])}


def test_slow_nets_have_the_published_parameters(slow):
    numbers = {words: row.costs[0].num_parameters for words, row in slow.items()}
    assert numbers == {
        "slow": 32_454_096,
        "slow_nl": 39_812_560,
        "slow_snl": 36_132_309,
        "slow_gc": 34_300_373,
        ALL: 42_455_005,
    }
    for words, row in slow.items():
        published = PUBLISHED_PARAMETERS[words]
        assert row.published_parameters == published
        assert f"{row.costs[0].num_parameters / 1e6:.2f}" == f"{published / 1e6:.2f}"
        assert row.costs[0].num_block_parameters == row.costs[0].num_parameters - 32_454_096


def non_local(channels, positions, keys, projected):
    """Theta and the output at all positions, phi and g at some; scores and sums over the keys."""
    inner = channels // 2
    return 2 * channels * inner * (positions + projected) + 2 * positions * keys * inner


def simplified_non_local(channels, positions):
    """The mask's product and the weighted sum; one square layer."""
    return 2 * channels * positions + channels**2


def global_context(channels, positions):
    """The same pooling; a bottleneck of a quarter of the channels."""
    return 2 * channels * positions + 2 * channels * channels // 4


@pytest.mark.parametrize(("crop", "crop_size"), [(0, 224), (1, 256)])
def test_blocks_add_the_macs_of_their_formulas(slow, crop, crop_size):
    places = {8: (512, crop_size // 8), 16: (1024, crop_size // 16), 32: (2048, crop_size // 32)}
    (c3, p3), (c4, p4), (c5, p5) = ((c, 8 * side**2) for c, side in places.values())
    expected = {
        "slow": 0,
        "slow_nl": 2 * non_local(c3, p3, p3 // 4, p3 // 4)
        + 3 * non_local(c4, p4, p4 // 4, p4 // 4),
        "slow_snl": 2 * simplified_non_local(c3, p3) + 3 * simplified_non_local(c4, p4),
        "slow_gc": 2 * global_context(c3, p3) + 3 * global_context(c4, p4),
        ALL: 4 * global_context(c3, p3) + 6 * global_context(c4, p4) + 3 * global_context(c5, p5),
    }
    bare = slow["slow"].costs[crop].macs
    for words, row in slow.items():
        found = row.costs[crop]
        assert found.crop_size == crop_size
        assert found.block_macs == expected[words], words
        assert found.macs - bare == expected[words], words


@pytest.mark.parametrize(("sub_sample", "keys_of"), [("none", 1), ("after", 4)])
def test_overrides_of_a_model_act_and_keys_cost_what_they_are_pooled_to(sub_sample, keys_of):
    (row,) = count([f"i3d_nl model.block.sub_sample={sub_sample}"], crop_sizes=[64], num_frames=4)
    # Time is halved behind res2.
    expected = [
        non_local(channels, positions, positions // keys_of, positions)
        for channels, positions in [(512, 2 * 8 * 8)] * 2 + [(1024, 2 * 4 * 4)] * 3
    ]
    assert [block.macs for block in row.costs[0].blocks] == expected
    assert f"sub_sample={sub_sample}" in row.blocks


def test_a_net_of_another_length_has_no_published_number():
    (row,) = count(["slow"], crop_sizes=[32], num_frames=4)
    assert row.published_parameters is None


def test_the_table_is_printed_and_written_with_its_convention(tmp_path, capsys):
    folder = tmp_path / "new" / "costs"
    rows = count(["slow", "slow_nl"], crop_sizes=[224], output=str(folder))
    printed = capsys.readouterr().out
    text = (folder / "cost.md").read_text()
    assert "| slow_nl | 5 | 39.81 | 7.36 | 39.81 | 63.98 | 22.235 |" in text
    for words in ("39.81", "22.235", "sub_sample=before", "MACs: multiply-accumulates of"):
        assert words in printed
        assert words in text
    with (folder / "cost.csv").open() as file:
        written = list(csv.DictReader(file))
    assert [row["model"] for row in written] == ["slow", "slow_nl"]
    assert written[1] == {
        "model": "slow_nl",
        "num_frames": "8",
        "crop_size": "224",
        "num_blocks": "5",
        "parameters": "39812560",
        "published_parameters": "39810000",
        "block_parameters": str(39_812_560 - 32_454_096),
        "macs": str(rows[1].costs[0].macs),
        "block_macs": str(rows[1].costs[0].macs - rows[0].costs[0].macs),
    }


def test_the_configured_table_has_every_net_bare_and_with_each_block():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        models = list(compose("cost").models)
    assert models == [
        words.replace("slow", net)
        for net in ("slow", "i3d", "c2d")
        for words in PUBLISHED_PARAMETERS
    ]


def test_an_unknown_model_is_refused():
    with pytest.raises(ValueError, match=r"(?s)'slow_xx' is not a model: .*conf/model"):
        count(["slow_xx"])


@pytest.mark.parametrize("settings", [{"num_frames": 0}, {"crop_sizes": []}, {"crop_sizes": [16]}])
def test_sizes_that_no_net_takes_are_refused(settings):
    with pytest.raises(
        ValueError, match=r"give at least one model, 1 frame, and crops of at least 3"
    ):
        count(["slow"], **settings)
