import re
import sys
from types import SimpleNamespace

import pytest
import speed_setting as benchmark_setting
import torch
from alternation import UnequalError
from published_block import PublishedContextBlock
from small_benchmark import lines_of, run_benchmark
from speed_reference import mmcv_context_block, timm_global_context, timm_squeeze_excitation
from torch import nn

from gcvideo.command._device import choose_device
from gcvideo.nn import ContextBlock, global_context, squeeze_excitation

# Of so many values that normalising them does not enlarge the rounding.
IN_BFLOAT16 = [
    *("shapes=[[1,64,2,8,8]]", "non_local_shape=[1,64,2,8,8]"),
    *("rounds=1", "dtype=bfloat16"),
]


def test_blocks_are_compared_in_both_layouts_and_both_directions(tmp_path, capsys):
    path, figure = tmp_path / "block.json", tmp_path / "block.png"
    shapes = ["shapes=[[1,16,2,4,4]]", "non_local_shape=[1,8,2,4,4]"]
    run_benchmark(*shapes, "rounds=1", "dtype=float32", f"json={path}", f"figure={figure}")
    lines = lines_of(path)
    assert all(line["keeps_freed_memory"] for line in lines)
    published = {line["case"]: line for line in lines if line["reference"] == "published"}
    for layout in ("contiguous", "channels-last"):
        expected = [f"attention pooling, 1x16x2x4x4, {layout}"]
        for direction in ("forward", "forward + backward"):
            expected.append(f"GC, 1x16x2x4x4, {layout}, {direction}")
            for kind in ("embedded_gaussian", "dot_product"):
                case = f"NL {kind}, 1x8x2x4x4, {layout}, {direction}"
                expected += [case, f"{case}, peak memory"]
        assert set(expected) <= published.keys()
    others = {line["reference"] for line in lines} - {"published"}
    assert others == {"timm", "mmcv"}
    # One pass over 16 x 32 floats for pooling, three for the block, four more for its gradients.
    for name, passes in (
        ("attention pooling, 1x16x2x4x4, contiguous", 1),
        ("GC, 1x16x2x4x4, contiguous, forward", 3),
        ("GC, 1x16x2x4x4, contiguous, forward + backward", 7),
    ):
        line = published[name]
        rate = passes * 16 * 32 * 4 / (line["ours"] / 1e3) / 1e9
        assert line["rate"] == pytest.approx(rate)
        assert line["rate_unit"] == "GB/s"
        assert line["share"] == pytest.approx(rate / 20)
    # theta and the output at 32 positions, phi and g at 8; two products of 32 x 8 x 4.
    macs = 2 * 8 * 4 * (32 + 8) + 2 * 32 * 8 * 4
    line = published["NL embedded_gaussian, 1x8x2x4x4, contiguous, forward"]
    assert line["rate"] == pytest.approx(2 * macs / (line["ours"] / 1e3) / 1e12)
    assert figure.read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert "measured: copy 20 GB/s read and written, product 0.5 TFLOP/s" in printed
    assert "ours achieves: for pooling, x read once" in printed


def test_memory_is_given_back_where_that_is_asked_for(tmp_path):
    path, shapes = tmp_path / "block.json", ["shapes=[[1,16,1,2,2]]", "non_local_shape=[1,4,1,2,2]"]
    run_benchmark(*shapes, "rounds=1", "dtype=float32", "keep_freed_memory=false", f"json={path}")
    assert not any(line["keeps_freed_memory"] for line in lines_of(path))


def test_packages_that_are_not_installed_are_left_out_by_name(monkeypatch):
    for package in ("timm", "timm.layers", "mmcv", "mmcv.cnn.bricks.context_block"):
        monkeypatch.setitem(sys.modules, package, None)
    shapes = ["shapes=[[1,16,1,2,2]]", "non_local_shape=[1,4,1,2,2]"]
    table = run_benchmark(*shapes, "rounds=1", "dtype=float32")
    left_out = {(row.case, row.reference) for row in table.rows if row.ratio is None}
    case = "1x16x1x2x2, contiguous"
    assert left_out == {(f"GC, {case}", "timm"), (f"GC, {case}", "mmcv"), (f"SE, {case}", "timm")}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_reference_that_computes_something_else_ends_the_benchmark(monkeypatch, dtype):
    forward = PublishedContextBlock.forward
    monkeypatch.setattr(PublishedContextBlock, "forward", lambda s, x: forward(s, x) * 1.0001)
    with pytest.raises(UnequalError, match=r"GC, .*, forward, published, float64: results differ"):
        run_benchmark(*IN_BFLOAT16, f"dtype={dtype}")


def rounded(forward, factor):
    """A forward pass that is off by a factor in bfloat16 alone."""
    return lambda s, x: forward(s, x) * (factor if torch.is_autocast_enabled("cpu") else 1)


def test_our_form_is_to_blame_where_it_is_far_from_exact_in_the_type_that_is_timed(monkeypatch):
    monkeypatch.setattr(ContextBlock, "forward", rounded(ContextBlock.forward, 1.1))
    with pytest.raises(
        UnequalError, match=r"GC, .*, forward, published: results differ by 0\.1 of"
    ):
        run_benchmark(*IN_BFLOAT16)


def test_a_published_form_far_from_exact_is_shown_and_not_held_against_ours(monkeypatch):
    forward = PublishedContextBlock.forward
    monkeypatch.setattr(PublishedContextBlock, "forward", rounded(forward, 1.1))
    notes = {
        (row.case, row.reference): row.note
        for row in run_benchmark(*IN_BFLOAT16).rows
        if row.unit != "MB" and row.ratio is not None
    }
    assert len(notes) > 10
    errors = {key: re.findall(r"by (\d\.?\d*e[-+]\d+)", note) for key, note in notes.items()}
    for (case, reference), (ours, theirs) in errors.items():
        off = case.startswith("GC") and reference == "published"
        assert (float(theirs) > 0.09) == off, case
        # Of eight bits.
        assert 5e-4 < float(ours) < 0.05


@pytest.mark.parametrize(
    ("package", "make", "block"),
    [
        ("timm.layers", timm_global_context, global_context(16, ratio=1 / 4)),
        ("mmcv.cnn.bricks.context_block", mmcv_context_block, global_context(16, ratio=1 / 4)),
        ("timm.layers", timm_squeeze_excitation, squeeze_excitation(16, ratio=1 / 4)),
    ],
)
def test_blocks_of_other_packages_give_what_ours_give(package, make, block):
    pytest.importorskip(package, exc_type=ImportError)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.4)
    x = torch.randn(2, 16, 3, 4, 5)
    torch.testing.assert_close(make(block)(x), block(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"pooling": "avg", "fusion": ("mul",), "norm": True}])
def test_a_block_that_timm_has_not_is_refused(settings):
    with pytest.raises(ValueError, match=r"timm's SqueezeExcite is that of gcvideo.nn.squeeze"):
        timm_squeeze_excitation(ContextBlock(16, **settings))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["what=all"],
            r"what is 'all'; choose block, net, training, end_to_end, engine, worth or profile",
        ),
        (["rounds=0"], r"rounds is 0; time at least 1 round"),
        (["device=tpu"], r"device is 'tpu'; choose auto, cpu, cuda or cuda:<number>"),
        (["device=cuda:x"], r"device is 'cuda:x'; choose auto, cpu, cuda or"),
        (["device=cuda:99"], r"device is 'cuda:99', but torch sees \d+ CUDA devices; choose one"),
        (["dtype=int8"], r"the type 'int8' is not known; choose auto, float32 or bfloat16"),
        (["what=net", "reference_dtype=half"], r"the type 'half' is not known; choose auto"),
        (["shapes=[[1,2,3]]"], r"shapes has \[1, 2, 3\]; give \(batch, channels, frames, height"),
        (["non_local_shape=[1,8,0,4,4]"], r"non_local_shape has \[1, 8, 0, 4, 4\]; give"),
        (["what=net", "models=[]"], r"models is \[\], .*; give at least one model"),
        (["what=training", "crop_size=16"], r"crop_size 16; give at least .* at least 32 pixels"),
        (["what=net", "models=[slow_xx]"], r"'slow_xx' is not a model: "),
        (["what=training", "layouts=[]"], r"layouts is \[\]; give at least one, such as"),
        (["what=profile", "models=[slow,i3d]"], r"\['slow', 'i3d'\]; a profile is that of one net"),
        (["json=/dev/null/a.json"], r"'/dev/null/a.json' cannot be written: .* with json="),
        (["figure=/"], r"figure is '/', which is a folder; give the name of a file"),
    ],
)
def test_what_cannot_be_timed_is_refused(overrides, message):
    with pytest.raises(ValueError, match=message):
        run_benchmark(*overrides)


@pytest.mark.parametrize(
    ("precision", "expected"), [("bf16-mixed", "bfloat16"), ("32-true", "float32")]
)
def test_the_type_follows_what_the_device_computes_in(monkeypatch, precision, expected):
    monkeypatch.setattr(benchmark_setting, "best_precision", lambda _: precision)
    cpu = torch.device("cpu")
    assert benchmark_setting.choose_dtype("auto", cpu) == (getattr(torch, expected), "")
    dtype, warning = benchmark_setting.choose_dtype("bfloat16", cpu)
    assert dtype == torch.bfloat16
    assert ("is emulated" in warning) == (precision == "32-true")


def test_an_emulated_type_is_timed_with_a_warning(monkeypatch, capsys):
    monkeypatch.setattr(benchmark_setting, "best_precision", lambda _: "32-true")
    table = run_benchmark(*IN_BFLOAT16)
    assert "warning: bfloat16 has no instructions here" in capsys.readouterr().out
    # Two bytes a number.
    row = table.rows[0]
    assert row.rate.rate == pytest.approx(64 * 128 * 2 / (row.ours / 1e3) / 1e9)


@pytest.mark.parametrize(("available", "kind"), [(True, "cuda"), (False, "cpu")])
def test_a_gpu_is_taken_where_there_is_one(monkeypatch, available, kind):
    monkeypatch.setattr(
        torch, "cuda", SimpleNamespace(is_available=lambda: available, device_count=lambda: 2)
    )
    assert choose_device("auto").type == kind
    assert choose_device("cuda:1") == torch.device("cuda:1")
