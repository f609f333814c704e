import json
import re
import subprocess
import sys

import pytest
import torch
from hydra import initialize_config_dir
from small_benchmark import CONF, MACHINE, lines_of, run_benchmark
from speed_model import build_drawn_net, compose_clip_net
from step_profile import PARTS
from torch import nn

from gcvideo.models import count_cost

SMALL_NETS = ["rounds=1", "num_frames=2", "crop_size=32", "dtype=float32"]
SMALL_FILES = [
    *("rounds=2", "num_frames=2", "crop_size=32", "batch_size=2", "video_size=32"),
    *("video_frames=20", "num_videos=2", "dtype=float32"),
    'models=["slow_gc width=4 short_side=32 max_short_side=40"]',
]
REFERENCE = "pytorchvideo, contiguous, float32"


@pytest.fixture
def small_net():
    """A net of the benchmark by its words, on 2 frames of 32 x 32."""

    def make(words):
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return build_drawn_net(compose_clip_net(words, 2, 32))

    return make


def test_the_inference_of_nets_is_compared_as_a_whole_and_by_ingredient(tmp_path):
    path = tmp_path / "net.json"
    words = "slow_gc width=4 placement@model.placement=all"
    run_benchmark("what=net", f'models=["{words}"]', *SMALL_NETS, f"json={path}")
    lines = lines_of(path)
    forms = ("all together", "layout alone", "folded batch norms alone")
    assert [line["case"] for line in lines] == [f"{words}, inference, {form}" for form in forms]
    assert {line["reference"] for line in lines} == {REFERENCE}


def test_the_rate_of_a_net_counts_its_products(small_net):
    table = run_benchmark("what=net", 'models=["slow width=4"]', *SMALL_NETS, "batch_size=1")
    row = table.rows[0]
    macs = count_cost(small_net("slow width=4"), 2, 32).macs
    assert row.rate.rate == pytest.approx(2 * macs / (row.ours / 1e3) / 1e12)


@pytest.mark.parametrize("what", ["net", "training"])
def test_errors_are_those_from_float32_whatever_the_reference_computes_in(what):
    words = [f"what={what}", 'models=["slow_gc width=4"]', *SMALL_NETS]
    table = run_benchmark(*words, "dtype=bfloat16", "reference_dtype=bfloat16")
    assert table.rows
    for row in table.rows:
        ours, theirs = map(float, re.findall(r"by (\d\.?\d*e[-+]\d+)", row.note))
        assert 1e-3 < theirs < 0.3
        assert 1e-3 < ours < 0.3


def test_a_net_is_drawn_so_that_every_part_shows(small_net):
    net = small_net("slow_nl width=4")
    assert all(parameter.any() for parameter in net.parameters())
    x = torch.randn(2, 3, 2, 32, 32)
    before = net.eval()(x)
    layers = [m for m in net.modules() if isinstance(m, nn.Conv3d | nn.Linear)]
    assert len(layers) > 50
    for layer in layers:
        with torch.no_grad():
            kept = layer.weight.clone()
            layer.weight.mul_(1.5)
            after = net(x)
            layer.weight.copy_(kept)
        assert not torch.allclose(after, before, rtol=1e-4), layer


@pytest.mark.slow
def test_training_steps_are_compared_in_each_layout_and_blocks_with_the_bare_net():
    models = 'models=["slow_gc width=4","slow width=4"]'
    table = run_benchmark("what=training", models, "layouts=[auto,folded]", *SMALL_NETS)
    lines = [(row.case, row.reference) for row in table.rows]
    assert lines == [
        ("slow_gc width=4, training step, auto", REFERENCE),
        ("slow_gc width=4, training step, folded", REFERENCE),
        ("slow width=4, training step, auto", REFERENCE),
        ("slow width=4, training step, folded", REFERENCE),
        ("slow_gc width=4, training step, auto", "slow width=4, auto"),
        ("slow_gc width=4, training step, folded", "slow width=4, folded"),
    ]
    added = table.rows[-1]
    assert added.note == f"5 blocks add {added.ours / added.theirs - 1:.1%}"


@pytest.mark.slow
def test_files_are_scored_and_trained_on_from_made_videos(tmp_path):
    path = tmp_path / "files.json"
    run_benchmark(
        "what=end_to_end", *SMALL_FILES, "rounds=1", "views=[[1,1],[2,3]]", f"json={path}"
    )
    cases = [line["case"].partition(", ")[2] for line in lines_of(path)]
    assert cases == [
        "files to scores, 2 videos, 1 x 1 views",
        "files to scores, 1 videos, 2 x 3 views",
        "files to optimizer steps, 0 workers",
    ]


def test_the_profile_of_a_step_names_its_parts_and_sums_to_the_step(tmp_path, capsys):
    path, figure = tmp_path / "profile.json", tmp_path / "profile.png"
    profile = run_benchmark("what=profile", *SMALL_FILES, f"json={path}", f"figure={figure}")
    lines = json.loads(path.read_text())
    assert [line["part"] for line in lines] == [*PARTS, "other"]
    assert all(line.keys() == {"part", "ms", "share"} | MACHINE for line in lines)
    assert sum(line["share"] for line in lines) == pytest.approx(1)
    assert (profile.num_steps, profile.num_clips) == (2, 2)
    parts = profile.parts()
    assert sum(parts.values()) == pytest.approx(profile.total / 2)
    # Each of the parts is seen, and what is not covered is neither negative nor most of it.
    assert all(parts[part] > 0 for part in PARTS)
    assert 0 <= profile.shares()["other"] < 0.5
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert "training step of 2 clips, mean of 2" in capsys.readouterr().out


def test_views_and_videos_that_are_not_there_are_refused():
    for wrong in ("num_videos=9", "views=[]"):
        with pytest.raises(
            ValueError, match=r"give at least one pair of clips and crops, and 1 to 8"
        ):
            run_benchmark("what=end_to_end", *SMALL_FILES, wrong)


# As a command, for the checker of annotations cannot be compiled.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["shapes=[[1,16,2,4,4]]", "non_local_shape=[1,8,2,4,4]"], "published, compiled"),
        (["what=net", *SMALL_NETS], "slow width=4, inference, all together, compiled"),
        (["what=training", *SMALL_NETS], "slow width=4, training step, auto, compiled"),
    ],
)
def test_compiled_forms_take_part_on_request(project, tmp_path, words, expected):
    path = tmp_path / "lines.json"
    given = {word.partition("=")[0] for word in words}
    command = [sys.executable, "scripts/benchmark.py", *words, "compiled=true", "device=cpu"]
    more = {"rounds": "1", "dtype": "float32", "models": '["slow width=4"]', "json": str(path)}
    command += [f"{key}={value}" for key, value in more.items() if key not in given]
    subprocess.run(command, cwd=project, check=True, capture_output=True, timeout=600)
    lines = lines_of(path)
    assert expected in {line[key] for line in lines for key in ("case", "reference")}
