import csv
import json
import math
import threading

import pytest
import torch
from block_net import write_block_checkpoint

import gcvideo
from gcvideo import cli
from gcvideo.attention._pair_distance import CosineDistance, Divergence, PairMeans
from gcvideo.attention._query_independence import QueryIndependence, query_independence
from gcvideo.command.attention._stats import attention_stats
from gcvideo.command.attention._stats_table import LayerRow, explain, markdown
from gcvideo.data import read_views
from gcvideo.models import inserted_blocks

NET = {"classes": ["dark", "light"], "size": 40, "res3": [1], "res4": [0]}


@pytest.fixture(scope="module")
def non_local(tmp_path_factory, video_folder):
    """A checkpoint with two non-local blocks, and the data that it says it was trained on."""
    data = {"_target_": "gcvideo.data.annotated_videos", "root": str(video_folder)}
    path = tmp_path_factory.mktemp("checkpoint") / "nl.safetensors"
    torch.manual_seed(0)
    return write_block_checkpoint(path, "NonLocalBlock", data=data, **NET)


@pytest.fixture
def measure(compose_config, tmp_path):
    def measure(checkpoint, *overrides):
        given = [f"checkpoint={checkpoint}", f"output_dir={tmp_path}", "num_workers=0"]
        cfg = compose_config("attention_stats", [*given, "device=cpu", *overrides])
        statistics = attention_stats(cfg)
        return statistics, json.loads((tmp_path / "query_independence.json").read_text())

    return measure


def measured_directly(checkpoint, paths):
    """By layer, all that was measured of each video."""
    classifier = gcvideo.load(checkpoint, device="cpu")
    found = {}
    for path in paths:
        views = read_views(path, classifier.protocol.single_view())
        for block in inserted_blocks(classifier.model.net):
            name = f"{block.stage}.{block.index}"

            def keep(module, args, name=name):
                found.setdefault(name, []).append(query_independence(module, args[0]))

            handle = block.module.register_forward_pre_hook(keep)
            with torch.no_grad():
                classifier.model(views[None])
            handle.remove()
    return found


def test_figures_are_the_means_over_videos_of_what_each_block_is_given(
    measure, non_local, video_folder, tmp_path
):
    folder = video_folder / "dark"
    statistics, written = measure(non_local, f"videos={folder}")
    paths = sorted(map(str, folder.iterdir()))
    expected = measured_directly(non_local, paths)
    assert [row.layer for row in statistics.layers] == list(expected) == ["res3.1", "res4.0"]
    for row in statistics.layers:
        assert (row.kind, row.grid) == (
            "embedded_gaussian",
            {"res3.1": "4x5x5", "res4.0": "4x3x3"}[row.layer],
        )
        for name in ("input", "output", "attention", "divergence"):
            means = zip(*(getattr(m, name).means for m in expected[row.layer]), strict=True)
            assert getattr(row.measured, name).means == pytest.approx(
                [sum(values) / len(paths) for values in means], rel=1e-3
            )
    for pairs in ("all", "spatial", "temporal"):
        values = [getattr(row.measured.output.means, pairs) for row in statistics.layers]
        assert getattr(statistics.mean.measured.output.means, pairs) == pytest.approx(
            sum(values) / 2
        )
    assert list(statistics.videos) == paths
    assert written["videos_measured"] == written["videos_listed"] == 6
    with (tmp_path / "query_independence.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["layer"] for row in rows] == ["res3.1", "res4.0", "mean"]
    first = statistics.layers[0].measured
    assert float(rows[0]["cos_attention_temporal"]) == first.attention.means.temporal
    assert float(rows[0]["jsd_attention"]) == first.divergence.means.all
    assert written["layers"][0]["cos_output_spatial"] == first.output.means.spatial
    assert written["videos"][paths[0]][0]["layer"] == "res3.1"
    page = (tmp_path / "query_independence.md").read_text()
    assert f"| E-Gaussian | res3.1 | 4x5x5 | {first.input.means.all:.4f} |" in page
    assert "Published" not in page


def test_the_net_computes_in_the_precision_asked_for(measure, non_local):
    found = {name: measure(non_local, f"precision={name}") for name in ("float32", "bfloat16")}
    assert all(written["precision"] == name for name, (_, written) in found.items())
    exact, rounded = (s.mean.measured.input.means.all for s, _ in found.values())
    assert exact != rounded == pytest.approx(exact, rel=0.1)


def test_the_test_split_of_the_checkpoint_is_measured_unless_told_otherwise(measure, non_local):
    statistics, written = measure(non_local)
    assert written["split"] == "test"
    assert written["videos_measured"] == 2
    others, written = measure(non_local, "split=train")
    assert written["videos_measured"] == 10
    assert not set(others.videos) & set(statistics.videos)


def test_other_data_can_be_given(measure, non_local, video_folder):
    words = ["data=folder", f"data.root={video_folder}", f"data.test={video_folder}"]
    statistics, written = measure(non_local, *words, "max_videos=null")
    assert written["data"]["root"] == str(video_folder)
    assert len(statistics.videos) == 12


def test_a_subset_is_drawn_by_the_seed(measure, non_local, video_folder, tmp_path):
    words = [f"videos={video_folder}", "max_videos=3"]
    first, again, other = (measure(non_local, *words, f"seed={seed}")[0] for seed in (0, 0, 1))
    assert len(first.videos) == 3
    assert first == again
    assert set(first.videos) != set(other.videos)
    assert "3 videos (3 drawn of 12, seed 1)" in (tmp_path / "query_independence.md").read_text()


def test_more_clips_and_crops_are_averaged(measure, non_local, video_folder):
    video = f"videos={video_folder}/dark/dark_0.mp4"
    one, _ = measure(non_local, video)
    many, written = measure(non_local, video, "num_clips=2", "num_crops=3")
    assert written["views_per_video"] == 6
    assert many.mean.measured.input.means != one.mean.measured.input.means


@pytest.mark.parametrize(
    ("kind", "name"), [("gaussian", "Gaussian"), ("dot_product", "Dot product"), ("concatenation", "Concat")]
)  # fmt: skip
def test_other_kinds_have_their_name_and_a_divergence_only_with_a_softmax(
    measure, tmp_path, video_folder, kind, name
):
    block = {"_target_": "gcvideo.nn.NonLocalBlock", "kind": kind}
    path = write_block_checkpoint(tmp_path / "x.safetensors", block, **NET)
    statistics, written = measure(path, f"videos={video_folder}/dark/dark_0.mp4")
    assert statistics.mean.method == name
    assert (written["mean"]["jsd_attention"] is None) == (kind != "gaussian")


def test_the_published_figures_are_shown_when_asked_for_and_named_so(
    measure, non_local, video_folder, tmp_path, capsys
):
    measure(non_local, f"videos={video_folder}/dark/dark_0.mp4", "published=true")
    for text in ((tmp_path / "query_independence.md").read_text(), capsys.readouterr().out):
        text = " ".join(text.split())
        assert "Published, not measured here: Cao et al., GCNet (arXiv:1904.11492), Table 1" in text
        assert text.index("Published") < text.index("0.095")


def test_unreadable_videos_are_listed_and_the_others_measured(
    measure, non_local, video_folder, tmp_path, capsys
):
    folder = tmp_path / "videos"
    folder.mkdir()
    (folder / "fine.mp4").symlink_to(video_folder / "dark" / "dark_0.mp4")
    (folder / "broken.mp4").write_bytes(b"")
    statistics, written = measure(non_local, f"videos={folder}")
    assert list(statistics.failures) == list(written["failures"]) == [str(folder / "broken.mp4")]
    assert list(statistics.videos) == [str(folder / "fine.mp4")]
    assert "Not measured: cannot read video" in (tmp_path / "query_independence.md").read_text()
    assert "broken.mp4" in capsys.readouterr().out
    words = [str(non_local), f"videos={folder}", "num_workers=0", "device=cpu"]
    with pytest.raises(SystemExit, match="1"):
        cli.main("attention stats", [*words, f"hydra.run.dir={tmp_path}"])


def test_reading_stops_at_the_time_budget(measure, non_local, video_folder, monkeypatch):
    end = threading.Event()
    monkeypatch.setattr("gcvideo.inference._batch.read_views", lambda *_: end.wait())
    message = r"(?s)none of the 1 videos can be read:.*dark_0\.mp4.*budget of 0\.1 seconds"
    with pytest.raises(ValueError, match=message):
        measure(non_local, f"videos={video_folder}/dark/dark_0.mp4", "time_budget_seconds=0.1")
    end.set()


def test_a_net_without_a_map_per_query_is_refused(measure, tmp_path, video_folder):
    path = write_block_checkpoint(tmp_path / "gc.safetensors", "global_context", **NET)
    message = r"'.*gc\.safetensors' has 2 blocks of ContextBlock, but only a NonLocalBlock has"
    with pytest.raises(ValueError, match=message):
        measure(path, f"videos={video_folder}")
    path = write_block_checkpoint(tmp_path / "bare.safetensors", None, **NET)
    with pytest.raises(ValueError, match=r"has no context blocks.*such as model=slow_nl"):
        measure(path, f"videos={video_folder}")


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (["videos=nowhere"], FileNotFoundError, "no video at 'nowhere'"),
        (["videos=x", "data=folder", "data.root=x"], ValueError, "videos is 'x' and data is given"),
        (["split=tset"], ValueError, "split is 'tset'; choose train, val or test"),
        (["num_pairs=0"], ValueError, "num_pairs is 0; draw at least 1 pair"),
    ],
)
def test_unusable_options_are_refused(measure, non_local, overrides, error, message):
    with pytest.raises(error, match=message):
        measure(non_local, *overrides)


def test_a_checkpoint_that_names_no_videos_asks_for_some(measure, tmp_path):
    path = write_block_checkpoint(tmp_path / "x.safetensors", "NonLocalBlock", **NET)
    with pytest.raises(ValueError, match=r"was trained elsewhere, so it names no videos"):
        measure(path)


def row_of(output=0.25, *, layer="res4.1", error=0.0, zero_share=0.0, axes="thw"):
    distance = CosineDistance(PairMeans(0.5, 0.00012, math.nan), 0.0)
    divergence = Divergence(
        PairMeans(0.1, 0.1, math.nan), PairMeans(error, error / 2, math.nan), is_exact=not error
    )
    outputs = CosineDistance(PairMeans(output, output, output), zero_share)
    measured = QueryIndependence(distance, outputs, distance, divergence)
    return LayerRow(layer, "embedded_gaussian", axes, "1x4x4", measured)


def test_small_and_undefined_figures_are_told_apart_from_zero():
    page = markdown([row_of(0.0), row_of(math.nan, axes="hw")], [], published=False)
    assert "| E-Gaussian | res4.1 | 1x4x4 | 0.5000 | 0.0000 | 0.5000 | 0.1000 |" in page
    assert "| E-Gaussian | res4.1 | 1x4x4 | 1.2e-04 | 0.0000 | 1.2e-04 | 0.1000 |" in page
    assert "| E-Gaussian (hw) | res4.1 | 1x4x4 | nan | nan | nan | nan |" in page


def test_notes_say_what_was_drawn_and_left_out():
    assert len(explain([row_of(), row_of(layer="mean")], 4096)) == 2
    drawn, zero = explain([row_of(error=0.002, zero_share=0.5), row_of(layer="mean")], 4096)[2:]
    assert drawn.startswith("JSD of res4.1: from 4096 random pairs")
    assert drawn.endswith("standard error at most 2.0e-03.")
    assert zero.startswith("res4.1: 50.00% of the output vectors are zero and have no angle")
