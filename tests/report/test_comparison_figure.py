import re
from dataclasses import replace
from statistics import mean
from xml.etree import ElementTree

import numpy as np
import pytest
from synthetic_comparison import VARIANTS, make_comparison

from gcvideo.report._comparison_figure import (
    accuracy_figure,
    curve_figure,
    marker_figure,
    variant_reliability_figure,
    variant_styles,
)
from gcvideo.report._figure import inline_svg, write_figures

COLORS = {style.color.lower() for style in variant_styles(make_comparison(seeds=())).values()}


def svg_of(figure):
    return figure and inline_svg(figure.drawn(is_limited=False), figure.caption)


def by_macs(comparison, **options):
    macs = accuracy_figure(comparison, lambda v: v.macs / 1e9, "MACs per view (G)", **options)
    return svg_of(macs)


def losses(comparison):
    return svg_of(curve_figure(comparison, lambda point: point.train_loss, "training loss"))


def colors(svg):
    return {color.lower() for color in re.findall(r"#[0-9a-fA-F]{6}", svg)} & COLORS


def longest_lines(svg):
    """Of each colour, the heights of its line, upwards."""
    lines = {}
    for path, color in re.findall(
        r'<path d="([^"]*)"[^>]*style="fill: none; stroke: (#\w{6})', svg
    ):
        heights = [-float(y) for y in re.findall(r"[ML] \S+ (\S+)", path)]
        lines[color] = max(lines.get(color, []), heights, key=len)
    return lines


def test_plots_are_elements_that_reach_nothing_outside_of_them():
    comparison = make_comparison()
    style = variant_styles(comparison)["nl"]
    for svg in (by_macs(comparison), losses(comparison), marker_figure(style)):
        ElementTree.fromstring(svg)
        assert svg.startswith("<svg ")
        assert "<style" not in svg
        assert "<metadata" not in svg
        assert 'width="' not in svg.split(">")[0]
        assert set(re.findall(r'(?:href="|url\()(.)', svg)) <= {"#"}
    assert 'aria-label="Accuracy against MACs per view (G)"' in by_macs(comparison)


def test_equal_comparisons_give_equal_bytes():
    assert by_macs(make_comparison()) == by_macs(make_comparison())
    assert losses(make_comparison()) == losses(make_comparison())


def test_every_variant_has_its_colour_in_every_plot():
    comparison = make_comparison()
    assert colors(by_macs(comparison)) == colors(losses(comparison)) == COLORS
    assert len(COLORS) == len(VARIANTS)


def test_a_variant_that_was_not_measured_is_not_drawn():
    comparison = make_comparison()
    svg = svg_of(accuracy_figure(comparison, lambda variant: variant.ms_per_clip, "ms"))
    assert colors(svg) == COLORS - {variant_styles(comparison)["snl"].color.lower()}


def test_without_anything_measured_there_is_no_plot():
    comparison = make_comparison(seeds=())
    assert by_macs(comparison) is None
    assert losses(comparison) is None
    assert variant_reliability_figure(comparison) is None
    assert accuracy_figure(make_comparison(), lambda variant: None, "ms") is None


def test_a_curve_is_the_mean_over_seeds():
    comparison = make_comparison()
    drawn = longest_lines(losses(comparison))
    for variant in comparison.variants:
        heights = drawn[variant_styles(comparison)[variant.name].color.lower()]
        curves = [[point.train_loss for point in cell.curve] for cell in variant.cells]
        means = [mean(values) for values in zip(*curves, strict=True)]
        rises = [height - heights[0] for height in heights]
        scale = rises[-1] / (means[-1] - means[0])
        expected = [scale * (value - means[0]) for value in means]
        assert rises == pytest.approx(expected, abs=1e-3)


def test_an_epoch_that_diverged_is_left_out():
    comparison = make_comparison(seeds=(0,), variants={"none": VARIANTS["none"]})
    cell = comparison.variants[0].cells[0]
    first = replace(cell.curve[0], train_loss=float("nan"))
    broken = replace(cell, curve=(first, *cell.curve[1:]))
    variant = replace(comparison.variants[0], cells=(broken,))
    lines = longest_lines(losses(replace(comparison, variants=(variant,))))
    assert len(lines["#000000"]) == len(cell.curve) - 1


def test_many_variants_all_look_different():
    names = [f"variant {number}" for number in range(43)]
    comparison = make_comparison(seeds=(), variants={name: (0.5, ()) for name in names})
    styles = variant_styles(comparison)
    assert list(styles) == names
    assert len(set(styles.values())) == 43
    assert len({(style.color, style.marker) for style in styles.values()}) == 43


def test_the_baseline_is_black_wherever_it_stands():
    comparison = make_comparison(seeds=())
    styles = variant_styles(replace(comparison, baseline="se"))
    assert [name for name, style in styles.items() if style.color == "#000000"] == ["se"]


def test_names_stand_in_figures_that_are_files(tmp_path):
    names = {"none": (0.5, ()), "$x_1$": (0.6, ()), "\u6301": (0.7, ()), "4": (0.5, ())}
    comparison = make_comparison(seeds=(0,), variants=names)
    assert all(f">{name}<" not in by_macs(comparison) for name in list(names)[:3])
    figure = variant_reliability_figure(comparison, has_names=True)
    write_figures({"a": figure}, tmp_path, ["svg", "pdf"])
    svg = (tmp_path / "a.svg").read_text()
    assert all(f">{name}<" in svg for name in names)
    limited = figure.drawn(is_limited=True)
    shown = [text.get_text() for text in limited.legends[0].get_texts()]
    assert shown == ["none", "$x_1$", "variant 2", "4"]


def test_reliability_is_that_of_the_answers_of_all_seeds():
    comparison = make_comparison(seeds=(0, 1), variants={"none": VARIANTS["none"]})
    (variant,) = comparison.variants
    figure = variant_reliability_figure(comparison).drawn(is_limited=False)
    drawn = figure.axes[0].lines[0].get_xydata()
    rows = [
        (float(scores.max()), int(scores.argmax() == label))
        for cell in variant.cells
        for label, scores in zip(cell.labels, cell.scores, strict=True)
    ]
    bins = {}
    for confidence, right in rows:
        bins.setdefault(int(confidence * 15), []).append((confidence, right))
    expected = [
        [mean(c for c, _ in found), mean(r for _, r in found)] for _, found in sorted(bins.items())
    ]
    assert drawn == pytest.approx(np.array(expected), abs=1e-6)
