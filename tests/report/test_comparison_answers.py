import csv
import re
from html import unescape
from statistics import mean, stdev

import pytest
import torch
from synthetic_comparison import CLASSES, VARIANTS, make_comparison

from gcvideo.evaluation import calibration, most_confused_pairs
from gcvideo.report._comparison_answers import (
    answer_figures,
    calibration_section,
    calibration_table,
    confused_pair_table,
    confusion_section,
    file_names,
    write_answer_tables,
)

TWO = {name: VARIANTS[name] for name in ("none", "nl")}


@pytest.fixture(scope="module")
def comparison():
    return make_comparison(variants=TWO, dropped={("nl", 2)})


def answers(variant):
    """Label and answer of each video, once per seed."""
    return [
        (int(label), int(scores.argmax()))
        for cell in variant.cells
        for label, scores in zip(cell.labels, cell.scores, strict=True)
    ]


def read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_tables_count_the_answers_of_all_seeds(comparison, tmp_path):
    write_answer_tables(comparison, tmp_path)
    assert len(list(tmp_path.iterdir())) == 4
    mistakes = read(tmp_path / "confused_pairs.csv")
    bins = read(tmp_path / "calibration.csv")
    for variant, num_seeds in zip(comparison.variants, (3, 2), strict=True):
        pairs = answers(variant)
        for i, row in enumerate(read(tmp_path / f"confusion_{variant.name}.csv")):
            counted = {name: int(row[name]) for name in CLASSES}
            assert counted == {name: pairs.count((i, j)) for j, name in enumerate(CLASSES)}
        mine = [row for row in mistakes if row["variant"] == variant.name]
        assert sum(int(row["videos"]) for row in mine) == sum(i != j for i, j in pairs)
        mine = [row for row in bins if row["variant"] == variant.name]
        assert sum(int(row["videos"]) for row in mine) == 240 * num_seeds
        right = sum(int(r["videos"]) * float(r["accuracy"]) for r in mine if r["accuracy"])
        assert right == pytest.approx(sum(i == j for i, j in pairs), abs=0.01)


def test_the_most_frequent_mistakes_of_each_variant_are_there(comparison):
    table = confused_pair_table(comparison)
    assert table.header == ("class → answer", "none", "nl")
    rows = {row[0]: row[1:] for row in table.rows}
    assert len(rows) == len(table.rows)
    for place, variant in enumerate(comparison.variants):
        pairs = answers(variant)
        num_videos = 20 * len(variant.cells)
        for pair in most_confused_pairs(variant.counts, 10):
            share = rows[f"{CLASSES[pair.label]} → {CLASSES[pair.answer]}"][place]
            wanted = 100 * pairs.count((pair.label, pair.answer)) / num_videos
            assert share == f"{wanted:.1f}"


def test_calibration_is_told_by_seed_and_of_all_answers(comparison):
    none, nl = comparison.variants
    rows = {row[0]: row[1:] for row in calibration_table(comparison).rows}
    errors = [100 * calibration(cell.labels, cell.scores).error for cell in none.cells]
    assert rows["none"][0] == f"{mean(errors):.1f} ± {stdev(errors):.1f}"
    scores = torch.cat([cell.scores for cell in nl.cells])
    error = calibration(torch.cat([cell.labels for cell in nl.cells]), scores).error
    assert rows["nl"][1:3] == (f"{100 * error:.1f}", f"{100 * scores.amax(1).mean():.1f}")


def test_variants_without_a_cell_are_left_out_or_have_dashes():
    comparison = make_comparison(seeds=(0,), variants=TWO, dropped={("nl", 0)})
    assert list(answer_figures(comparison)) == ["reliability", "confusion_none"]
    assert calibration_table(comparison).rows[1] == ("nl", "-", "-", "-", "-")
    assert confused_pair_table(comparison).header == ("class → answer", "none")
    with pytest.raises(ValueError, match="'nl' has no finished cell"):
        _ = comparison.variant("nl").counts
    assert confusion_section(comparison, {}) == calibration_section(comparison, {})


def test_files_of_variants_have_different_names():
    names = {name: (0.5, ()) for name in ("gc a=1/4", "gc a=1-4", "../x y")}
    found = file_names(make_comparison(seeds=(), variants=names))
    assert list(found.values()) == ["gc_a-1-4", "gc_a-1-4_1", "..-x_y"]


@pytest.mark.slow
def test_of_many_classes_the_matrices_have_those_that_are_confused_most():
    classes = tuple(f"class {number}" for number in range(60))
    comparison = make_comparison(classes=classes, seeds=(0,), variants=TWO)
    section = unescape(confusion_section(comparison, answer_figures(comparison)))
    assert "the most frequent mistakes, of 60" in section
    matrices = section.split('<figure class="matrix">')[1:]
    named = [set(re.findall(r">(class \d+)<", matrix.split("<h3>")[0])) for matrix in matrices]
    assert named[0] == named[1]
    assert 2 <= len(named[0]) <= 20
    first = most_confused_pairs(sum(variant.counts for variant in comparison.variants), 1)[0]
    assert {classes[first.label], classes[first.answer]} <= named[0]


@pytest.mark.slow
def test_a_page_of_many_variants_shows_some_matrices_and_stays_small():
    names = {f"gc ratio=1/{number}": (0.5, ()) for number in range(14)}
    comparison = make_comparison(seeds=(0,), variants=names)
    figures = answer_figures(comparison)
    section = confusion_section(comparison, figures)
    assert len(figures) == 15
    assert section.count('<figure class="matrix">') == 12
    assert "The first 12 variants are shown; the folder report has all 14." in section
    assert len(section) < 2_500_000
