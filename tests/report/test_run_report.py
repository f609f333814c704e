import csv
import re
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from made_result import HISTORY, NAMES, make_result

from gcvideo.evaluation import most_confused_pairs
from gcvideo.report import write_run_report
from gcvideo.report._figure import shortened
from gcvideo.report._gallery import gallery_sheet, read_shown, surest_mistakes, worst_videos


class Outline(HTMLParser):
    """Tags that must be closed are; headings, addresses and pictures are kept."""

    def __init__(self, page):
        super().__init__()
        self.open, self.headings, self.addresses, self.tags = [], [], [], []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag not in {"meta", "link", "br", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("h1", "h2"):
            self.headings.append(data)


def written(result, folder, **options):
    write_run_report(result, folder, **options)
    return (folder / "report.html").read_text()


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return make_result(tmp_path_factory.mktemp("videos"), history=HISTORY)


@pytest.fixture(scope="module")
def logged():
    """What another log is given."""
    return {}


@pytest.fixture(scope="module")
def folder(result, logged, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    write_run_report(result, folder, log_picture=logged.__setitem__)
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return (folder / "report.html").read_text()


def test_the_page_has_all_sections_and_loads_nothing(page):
    outline = Outline(page)
    assert outline.headings == [
        *("Test of <net>", "Result", "Learning curves", "Confusion", "Classes", "Calibration"),
        *("Worst videos", "Surest mistakes", "Data", "How it was made"),
    ]
    assert all(re.match("#|data:", address) for address in outline.addresses)
    assert not {"script", "iframe", "i3d"} & set(outline.tags)
    assert "@import" not in page
    assert not re.findall(r"url\((?!#)", page)
    assert outline.tags.count("svg") == 4
    assert len(page) < 2_000_000


def test_names_are_shown_as_text(page):
    text = unescape(re.sub("<[^>]*>", "", page))
    for name in (*NAMES, "video & <i> 0.mp4", 'gcvideo test "<x>"', "name: <net>"):
        assert name in text, name


def read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_the_tables_are_those_counted_from_scores(result, folder):
    answers = result.scores.argmax(1).tolist()
    pairs = list(zip(result.labels.tolist(), answers, strict=True))
    header, *rows = read(folder / "report" / "confusion.csv")
    assert header == ["true class", *NAMES]
    for i, row in enumerate(rows):
        assert row == [NAMES[i], *(str(pairs.count((i, j))) for j in range(len(NAMES)))]
    _, *shares = read(folder / "report" / "confusion_shares.csv")
    assert float(shares[0][1]) == pytest.approx(pairs.count((0, 0)) / 10, abs=1e-6)
    assert shares[-1][1:] == [""] * len(NAMES)
    _, *classes = read(folder / "report" / "classes.csv")
    assert classes[0][:4] == [NAMES[0], "5", "10", str(pairs.count((0, 0)))]
    assert classes[3][3] == "0"  # never answered
    assert classes[4][2:5] == ["0", "0", ""]  # never seen
    _, *bins = read(folder / "report" / "calibration.csv")
    assert sum(int(row[2]) for row in bins) == 40
    _, *mistakes = read(folder / "report" / "confused_pairs.csv")
    assert sum(int(row[2]) for row in mistakes) == sum(a != b for a, b in pairs)


def test_the_galleries_have_the_least_probable_classes_and_the_surest_mistakes(result, page):
    wrong = [i for i in range(40) if result.scores[i].argmax() != result.labels[i]]
    chances = {i: float(result.scores[i, result.labels[i]]) for i in wrong}
    worst = sorted(wrong, key=lambda i: chances[i])[:6]
    assert worst_videos(result) == worst
    others = sorted(set(wrong) - set(worst), key=lambda i: -float(result.scores[i].max()))
    assert surest_mistakes(result, worst) == others[:6]
    assert page.count("data:image/jpeg;base64,") == len(worst) + len(others[:6])


@pytest.mark.slow
def test_figures_have_the_formats_that_were_asked_for(result, folder, tmp_path):
    names = {path.name for path in (folder / "report").iterdir() if path.suffix != ".csv"}
    figures = ("loss", "top1", "confusion", "reliability")
    assert names == {f"{name}.{ending}" for name in figures for ending in ("png", "svg")}
    write_run_report(result, tmp_path, formats=["pdf"])
    written = [path for path in (tmp_path / "report").iterdir() if path.suffix != ".csv"]
    assert {path.name for path in written} == {f"{name}.pdf" for name in figures}
    assert all(path.read_bytes().startswith(b"%PDF") for path in written)
    write_run_report(result, tmp_path / "none", formats=[])
    assert {path.suffix for path in (tmp_path / "none" / "report").iterdir()} == {".csv"}


def test_a_name_without_letters_in_the_font_is_a_label_in_pictures_alone(folder):
    assert NAMES[3] in (folder / "report" / "confusion.svg").read_text()
    assert shortened(NAMES[3], True, "class 3") == "class 3"
    assert shortened("a b\n" + 30 * "c", False, "") == "a b " + 8 * "c" + "\u2026" + 9 * "c"
    assert shortened("caf\udce9", True, "") == "caf\\udce9"


def test_a_video_that_cannot_be_read_is_named_and_the_report_goes_on(tmp_path):
    result = make_result(tmp_path, num_files=2)
    (tmp_path / "video & <i> 1.mp4").write_bytes(b"")
    page = written(result, tmp_path / "run", formats=[])
    assert "No picture: " in page
    assert "data:image/jpeg" in page
    Outline(page)


def test_scores_that_are_no_numbers_are_told_and_left_out(tmp_path):
    result = make_result(tmp_path)
    result.scores[7] = torch.nan
    page = written(result, tmp_path / "run", formats=[])
    assert "1 of 40 videos have scores that are not finite numbers" in page
    assert int(result.counts.sum()) == 39
    assert 7 not in [*worst_videos(result, 40), *surest_mistakes(result, [], 40)]
    result = make_result(tmp_path, scores=torch.full((40, 5), torch.nan))
    assert "nothing to show" in written(result, tmp_path / "none", formats=["png"])


@pytest.mark.slow
def test_without_scores_and_with_one_class_there_is_a_page(tmp_path):
    empty = make_result(tmp_path, videos=[], labels=torch.empty(0).long(), scores=torch.empty(0, 5))
    assert written(empty, tmp_path / "a", formats=["png"]).count("nothing to show") == 3
    one = make_result(tmp_path, classes=("all",), num_videos=4)
    page = written(one, tmp_path / "b", formats=["png"])
    assert "No answer is wrong." in page
    assert page.count("<p>There is none.</p>") == 2
    assert int(one.counts) == 4


@pytest.mark.slow
def test_many_classes_have_a_matrix_without_names_and_a_part_with_names(tmp_path):
    classes = tuple(f"class {number}" for number in range(60))
    result = make_result(tmp_path, classes=classes, num_videos=240)
    page = written(result, tmp_path / "run", formats=["svg"])
    whole = (tmp_path / "run" / "report" / "confusion.svg").read_text()
    assert "class 1<" not in whole
    part = (tmp_path / "run" / "report" / "confusion_part.svg").read_text()
    named = set(re.findall(r"class \d+", part))
    assert 2 <= len(named) <= 20
    first = most_confused_pairs(result.counts, 1)[0]
    assert {classes[first.label], classes[first.answer]} <= named
    assert "60 names would not be legible" in page
    assert "The 20 classes with the lowest accuracy, of 60." in page
    assert "All 60 classes" in page


@pytest.mark.slow
def test_equal_results_give_equal_bytes(result, folder, tmp_path):
    write_run_report(result, tmp_path)
    for path in folder.rglob("*.*"):
        assert (tmp_path / path.relative_to(folder)).read_bytes() == path.read_bytes(), path.name


def test_another_log_is_given_the_figures_of_scores_and_sheets_of_the_galleries(folder, logged):
    assert set(logged) == {"confusion", "reliability", "worst_videos", "surest_mistakes"}
    assert all(pixels.shape[2] == 3 and pixels.dtype == "uint8" for pixels in logged.values())
    assert (logged["confusion"] < 255).any()


def test_a_sheet_has_a_row_for_each_video_that_can_be_read(tmp_path):
    result = make_result(tmp_path, num_files=3)
    (tmp_path / "video & <i> 1.mp4").write_bytes(b"")
    caption, frame, gap = 21, 32, 2
    sheet = gallery_sheet(result, read_shown(result, range(6)))
    pixels = np.asarray(sheet)
    assert len(pixels) == 4 * (caption + frame + gap) + gap
    for row, file in enumerate((0, 2, 0, 2)):
        middle = pixels[
            gap + row * (caption + frame + gap) + caption + frame // 2, gap + frame // 2
        ]
        assert middle == pytest.approx(40 * file + 40, abs=4)
    assert gallery_sheet(result, read_shown(result, [1, 4])) is None
