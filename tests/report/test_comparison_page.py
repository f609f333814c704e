import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import pytest
from synthetic_comparison import CLASSES, FACTS, LONG_NAME, VARIANTS, make_comparison

from gcvideo.comparison._table import csv_table, markdown_table
from gcvideo.report import _comparison_report as report
from gcvideo.report import write_comparison_report
from gcvideo.report._comparison_answers import answer_figures


def report_page(comparison):
    return report.report_page(comparison, answer_figures(comparison))


VOID = {"meta", "link", "br"}


@pytest.fixture(scope="module")
def page():
    return report_page(make_comparison())


class Outline(HTMLParser):
    """Tags that must be closed are; headings and addresses are kept."""

    def __init__(self, page):
        super().__init__()
        self.open, self.headings, self.addresses, self.tags = [], [], [], set()
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("h1", "h2"):
            self.headings.append(data)


def test_the_page_has_all_sections_and_loads_nothing(page):
    outline = Outline(page)
    assert outline.headings == [
        "Quick <comparison>",
        *("What was compared", "Table", "Plots", "Classes", "Confusion", "Calibration", "Probes"),
        *("Seeds", "How it was made"),
    ]
    assert all(address.startswith(("#", "data:")) for address in outline.addresses)
    assert not outline.tags & {"script", "img", "iframe", "b"}
    assert not re.findall(r"url\((?!#)", page)
    assert "@import" not in page
    assert page.count("<figure>") == 5
    assert page.count('<figure class="matrix">') == len(VARIANTS)
    assert len(page) < 1_000_000
    assert 'content="width=device-width, initial-scale=1"' in page


def test_whatever_names_hold_is_shown_as_text(page):
    text = unescape(re.sub("<[^>]*>", "", page))
    for name in (*VARIANTS, *CLASSES, *FACTS, *FACTS.values()):
        assert name in text, name


def test_dollars_and_braces_in_names_stay_as_they_are():
    comparison = replace(
        make_comparison(seeds=()), title="$table {baseline} $$", facts={"{}": "$1"}
    )
    page = report_page(comparison)
    assert "<h1>$table {baseline} $$</h1>" in page
    assert "<dt>{}</dt><dd>$1</dd>" in page


def test_missing_cells_have_a_box_of_their_own(page):
    nl, missing = {"nl": VARIANTS["nl"]}, ("nl, seed 2: <out> of memory",)
    unfinished = report_page(
        make_comparison(variants=nl, classes=CLASSES[:3], missing=missing, dropped={("nl", 2)})
    )
    assert "Missing cells" in Outline(unfinished).headings
    assert "<li>nl, seed 2: &lt;out&gt; of memory</li>" in unfinished
    assert "No cell is missing." not in unfinished
    assert "<p>No cell is missing.</p>" in page


def test_a_comparison_without_any_cell_has_a_page():
    page = report_page(make_comparison(seeds=(), missing=("all: not started",)))
    assert "The baseline none has no finished cell yet" in page
    assert "Not measured: accuracy against MACs, accuracy against time, training loss" in page
    assert page.count("<p>No cell is finished.</p>") == 2
    assert "No variant shares a seed with the baseline yet." in page
    Outline(page)


def test_the_outcome_the_probes_and_the_number_of_comparisons_are_told(page):
    assert "<li>gc ratio=1/16 is 41.7 points above none (p &lt; 0.001); the spread over 3" in page
    assert "adjusted by Holm for 5 comparisons with the baseline none" in page
    assert "adjusts p for the number of comparisons with none, here 5." in page
    assert "shuffled (%)" in page
    assert "perturbed. What a variant loses against its own top-1 is what it draws from" in page


def test_without_probes_the_page_says_so():
    comparison = make_comparison(seeds=(0,), classes=CLASSES[:3], variants={"none": (0.5, ())})
    (cell,) = comparison.variants[0].cells
    variant = replace(comparison.variants[0], cells=(replace(cell, probes={}),))
    assert "<p>None was made.</p>" in report_page(replace(comparison, variants=(variant,)))


def test_bars_of_classes_point_to_gain_and_loss_in_the_colour_of_the_variant(page):
    comparison = make_comparison()
    gains = comparison.class_gains("gc ratio=1/16").tolist()
    largest = max(max(map(abs, comparison.class_gains(name).tolist())) for name in VARIANTS)
    for title, gain in zip(CLASSES, gains, strict=True):
        start = page.index(f">{title.split(' <')[0]}", page.index("<h2>Classes"))
        bar = re.search(
            r"<td>([^<]*)<div class=\"bar\"><i class=\"(\w+)\" style=\"([^\"]*)", page[start:]
        )
        assert bar is not None
        assert bar[1] == f"{100 * gain:+.1f}"
        assert bar[2] == ("gain" if gain > 0 else "loss")
        assert bar[3] == f"width:{50 * abs(gain) / largest:.2f}%;background:#0072B2"


@pytest.mark.slow
def test_of_many_classes_those_that_change_most_come_first():
    classes = tuple(f"class {number}" for number in range(50))
    page = report_page(make_comparison(classes=classes, seeds=(0,)))
    assert "The 20 classes that change most, of 50." in page
    first, everything = page.split("All 50 classes")
    # On a screen they stand in one table, on paper in two.
    for part, names in ((first, 20), (everything, 50)):
        screen, paper = part[part.index("gain and loss by class") :].split('class="printed"')
        assert len(re.findall(r'row">class \d+ ', screen)) == names
        assert len(re.findall(r'row">class \d+ ', paper.split("<h2>")[0])) == 2 * names
    assert re.findall(r'row">(class \d+) ', everything)[:50] == list(classes)


TWO = {name: VARIANTS[name] for name in ("none", LONG_NAME)}


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
def test_the_report_is_written_whole_and_again_bit_for_bit(tmp_path):
    folder = tmp_path / "new" / "folder"
    comparison = make_comparison(variants=TWO)
    write_comparison_report(comparison, folder, formats=["svg", "pdf"])
    files = contents(folder)
    slug = "-b-gc--b-_-_-add-mul-_position-after_conv3"
    figures = ["accuracy_macs", "accuracy_time", "loss", "val_top1", "reliability"]
    matrices = ["confusion_none", f"confusion_{slug}"]
    assert set(files) == {
        *("table.csv", "table.md", "table.tex", "report.html"),
        *(f"report/{name}.csv" for name in ("calibration", "confused_pairs", *matrices)),
        *(f"report/{name}.{kind}" for name in (*figures, *matrices) for kind in ("svg", "pdf")),
    }
    assert files["report/loss.pdf"].startswith(b"%PDF")
    assert files["table.csv"].decode() == csv_table(comparison)
    assert files["table.md"].decode() == markdown_table(comparison)
    write_comparison_report(make_comparison(variants=TWO), folder, formats=["svg", "pdf"])
    assert contents(folder) == files


@pytest.mark.slow
def test_an_interrupted_report_leaves_the_older_one(tmp_path, monkeypatch):
    write_comparison_report(make_comparison(variants=TWO), tmp_path, formats=[])
    files = contents(tmp_path)

    def interrupted(comparison, answers):
        raise KeyboardInterrupt

    monkeypatch.setattr(report, "report_page", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_comparison_report(make_comparison(seeds=(0,)), tmp_path)
    assert contents(tmp_path) == files
