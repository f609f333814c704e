from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread

from gcvideo.command.dataset._histogram import Histogram, bin_edges, draw_histograms

VALUES = {
    "ten seconds and a few outliers": lambda rng: np.r_[
        rng.normal(10, 0.2, 3000), rng.uniform(2, 10, 600), 3600, 0.04
    ],
    "from a second to hours": lambda rng: np.exp(rng.normal(3, 2, 2000)),
    "short sides": lambda rng: rng.integers(90, 1100, 2000).astype(float),
    "nearly all the same": lambda rng: np.r_[np.full(5000, 10.0), np.arange(20.0)],
    "zeros": lambda rng: np.r_[np.zeros(50), rng.uniform(0, 1000, 100)],
}


def leading_digit(number):
    return round(number / 10 ** np.floor(np.log10(number * 1.0001)), 6)


@pytest.mark.parametrize("name", VALUES)
def test_bins_are_few_and_round_and_count_every_value_as_numpy_does(name):
    values = np.round(VALUES[name](np.random.default_rng(0)), 2)
    histogram = Histogram.of_numbers("x", values.tolist())
    edges = bin_edges(values)
    assert 2 <= len(histogram.counts) <= 12
    assert histogram.counts.sum() == len(values)
    assert histogram.counts.tolist() == np.histogram(values, edges)[0].tolist()
    assert np.all(np.diff(edges) > 0)
    inner = edges[np.isfinite(edges)]
    assert (values < inner[0]).mean() <= 0.01
    assert (values >= inner[-1]).mean() <= 0.01
    steps = np.diff(inner)
    if np.allclose(steps, steps[0]):
        assert leading_digit(steps[0]) in (1, 2, 5)
    else:
        assert {leading_digit(edge) for edge in inner} <= {1, 2, 3, 5}
    for start, end, label in zip(edges[:-1], edges[1:], histogram.labels, strict=True):
        open_label = {-np.inf: f"< {end:g}", np.inf: f">= {start:g}"}
        told = open_label.get(start) or open_label.get(end) or f"{start:g} - {end:g}"
        assert label == told


@given(st.lists(st.floats(0, 1e6).map(lambda x: round(x, 2)), max_size=60))
def test_no_value_is_lost_or_counted_twice(values):
    for histogram in (
        Histogram.of_numbers("x", values),
        Histogram.of_texts("x", map(str, values)),
    ):
        assert histogram.counts.sum() == len(values)
        assert len(histogram.labels) == len(histogram.counts) <= 12
        assert len(set(histogram.labels)) == len(histogram.labels)


def test_few_values_stand_by_themselves():
    histogram = Histogram.of_numbers("x", [256, 240, 256, 1080])
    assert histogram.labels == ("240", "256", "1080")
    assert histogram.counts.tolist() == [1, 2, 1]
    assert Histogram.of_numbers("x", [1.231, 1.232, 1.24]).labels == ("1.23", "1.24")


def test_rare_texts_are_counted_together():
    texts = [f"{i}x{i}" for i in range(20) for _ in range(i + 1)]
    histogram = Histogram.of_texts("x", texts)
    ranked = Counter(texts).most_common(11)
    assert histogram.labels == (*(text for text, _ in ranked), "9 others")
    assert histogram.counts.tolist() == [*(count for _, count in ranked), sum(range(1, 10))]


def test_the_text_has_a_bar_as_long_as_the_count():
    histogram = Histogram("duration (s)", ("< 5", "5 - 10", ">= 10"), np.array([1, 20, 0]))
    assert histogram.text(width=34) == (
        "duration (s)\n     < 5   1  #\n  5 - 10  20  ####################\n   >= 10   0"
    )
    assert Histogram.of_numbers("empty", []).text() == "empty"


def test_the_picture_shows_every_bin_and_leaves_no_draft(tmp_path):
    histograms = [
        Histogram.of_numbers("a", [1, 2, 2]),
        Histogram.of_texts("b", ["x"]),
        Histogram.of_numbers("c", []),
    ]
    draw_histograms(histograms, tmp_path / "histograms.png")
    assert list(tmp_path.iterdir()) == [tmp_path / "histograms.png"]
    picture = imread(tmp_path / "histograms.png")
    blue = picture[..., 2] > picture[..., 0] + 0.3
    height, width = blue.shape
    # Two bars of 1 : 2 in the first panel, one in the second, none below.
    upper_left = blue[: height // 2, : width // 2].sum(1)
    lengths = sorted({int(n) for n in upper_left.tolist() if n > 20})
    assert lengths[-1] / lengths[0] == pytest.approx(2, rel=0.02)
    assert blue[: height // 2, width // 2 :].sum() > 0
    assert blue[height // 2 :].sum() == 0


def test_equal_values_are_one_bin_and_no_line_has_more_than_80_columns():
    rng = np.random.default_rng(0)
    histograms = [
        Histogram.of_numbers("frame rate (1/s)", [29.97002997] * 5000),
        Histogram.of_numbers("frames", (300 * np.exp(rng.normal(0, 2, 4000))).round().tolist()),
        Histogram.of_numbers("duration (s)", rng.pareto(1, 4000).tolist()),
        Histogram.of_texts("frame size (px)", [f"{n}x{n}" for n in range(1000, 3000, 100)]),
    ]
    assert (histograms[0].labels, histograms[0].counts.tolist()) == (("29.97",), [5000])
    for histogram in histograms:
        assert max(map(len, histogram.text().splitlines())) <= 80
    for heavy in histograms[1:3]:  # no bin has nearly all
        assert heavy.counts.max() < 0.5 * heavy.counts.sum()
