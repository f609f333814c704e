import json

import numpy as np
import pytest

SIZE = (96, 64)


@pytest.fixture
def readers(benchmark):
    return benchmark("readers")


@pytest.fixture
def cell(benchmark):
    return benchmark("reader_table").cell


def case_named(readers, name):
    (case,) = (case for case in readers.all_cases() if case.name == name)
    return case


@pytest.mark.parametrize("number", [0, 1, 100, 255])
@pytest.mark.parametrize(
    ("turns", "is_mirrored", "name"),
    [
        (0, False, "upright"),
        (1, False, "turned left"),
        (2, False, "upside down"),
        (3, False, "turned right"),
        (0, True, "mirrored"),
        (1, True, "mirrored, turned left"),
        (2, True, "mirrored, upside down"),
        (3, True, "mirrored, turned right"),
    ],
)
def test_a_picture_tells_its_number_and_how_it_lies(benchmark, number, turns, is_mirrored, name):
    bar_code = benchmark("bar_code")
    drawn = bar_code.draw(number, SIZE)
    laid = np.rot90(drawn[:, ::-1] if is_mirrored else drawn, turns)
    noise = np.random.default_rng(0).normal(0, 10, laid.shape)
    for picture, most in ((laid, 0), ((laid + noise).clip(0, 255), 5)):
        seen = bar_code.look_at(picture)
        assert (seen.number, seen.orientation) == (number, name)
        assert seen.size == (laid.shape[1], laid.shape[0])
        assert seen.colour_error <= most


def test_mixed_pictures_have_no_number_and_a_wrong_matrix_shows_as_colour(benchmark):
    bar_code, coded_video = benchmark("bar_code"), benchmark("coded_video")
    one, other = (bar_code.draw(number, SIZE).astype(float) for number in (5, 250))
    assert bar_code.look_at((one + other) / 2).number is None
    luma, blue, red = (
        plane.astype(float) for plane in coded_video.Colour("yuv444p", "709").planes(one)
    )
    # BT.601, by the numbers of ITU-R BT.601: not the inverse of what made the planes.
    y, b, r = 255 / 219 * (luma - 16), 255 / 224 * (blue - 128), 255 / 224 * (red - 128)
    rgb = np.stack([y + 1.402 * r, y - 0.344136 * b - 0.714136 * r, y + 1.772 * b], axis=-1)
    seen = bar_code.look_at(rgb)
    assert seen.number == 5
    assert seen.colour_error > 15


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("open GOP, H.264", "ok"),
        ("edit list cuts the start", "reports 60"),
        ("rotated by 90 degrees", "turned left"),
    ],
)
def test_made_files_show_the_drawn_numbers(benchmark, readers, cell, tmp_path, name, plain):
    case = case_named(readers, name)
    path = str(case.make(tmp_path))
    examine = benchmark("reader_answer").examine
    answers = {
        reader: examine(readers.READERS[reader][0], path, len(case.numbers))
        for reader in ("gcvideo", "PyAV")
    }
    assert {reader: cell(case, answer) for reader, answer in answers.items()} == {
        "gcvideo": "ok",
        "PyAV": plain,
    }
    for answer in answers.values():
        assert answer["given"] == list(case.numbers)
        assert answer["last"]["number"] == case.numbers[-1]


def test_a_cell_says_all_that_differs(readers, cell):
    case = case_named(readers, "H.264 mp4")
    seen = {
        "number": 0,
        "orientation": "upright",
        "colour_error": 2.0,
        "noise": 0.0,
        "size": [192, 128],
    }
    right = {
        "reported": 60,
        "rate": 25.2,
        "given": list(range(60)),
        "first": seen,
        "middle": {**seen, "number": 30},
        "last": {**seen, "number": 59},
    }
    assert cell(case, right) == "ok"
    assert cell(case, {**right, "reported": None, "rate": None}) == "ok"
    raised = {"raised": "OSError: no"}
    for change, words in (
        ({"reported": -(2**63)}, "reports -9.2e+18"),
        ({"rate": 1000.0}, "rate 1000"),
        ({"given": [0]}, "gives 1"),
        ({"given": [*range(58), 58, None]}, "1 of 60 differ"),
        ({"first": {**seen, "number": 7, "colour_error": 21.7}}, "0 is 7, colour 22"),
        ({"first": {**seen, "number": None, "colour_error": 99.0}}, "0 is unreadable"),
        ({"middle": None, "last": raised}, "no frame 30, frame 59 raises OSError"),
        ({"last": {**right["last"], "orientation": "mirrored"}}, "mirrored"),
        ({"first": {**seen, "size": [96, 64]}}, "96 x 64"),
        (dict.fromkeys(("given", "first", "middle", "last"), raised), "raises OSError"),
    ):
        assert cell(case, {**right, **change}) == words
    assert cell(case, {"ended": "hangs"}) == "hangs"
    assert cell(case, raised) == "raises OSError"


def test_a_reader_that_ends_or_hangs_is_asked_about_the_other_files(readers, tmp_path, monkeypatch):
    script = tmp_path / "answer.py"
    script.write_text(
        "import os, sys\n"
        "for path in sys.argv[3:]:\n"
        "    if path == 'late':\n"
        "        print('Timeout (0:01:00)!', file=sys.stderr, flush=True)\n"
        "    if path != 'good':\n"
        "        os._exit(3)\n"
        "    print('noise\\nanswer: {\"rate\": 1}', flush=True)\n"
    )
    monkeypatch.setattr(readers, "SCRIPT", script)
    files = [(name, 1) for name in ("good", "bad", "good", "late", "good")]
    good = {"rate": 1}
    assert readers.ask("PyAV", files, {}) == [
        good,
        {"ended": "ends with status 3"},
        good,
        {"ended": "hangs"},
        good,
    ]


def test_the_page_has_a_column_for_each_reader_that_is_there(readers, tmp_path, capsys):
    page, answers = tmp_path / "readers.md", tmp_path / "answers.json"
    assert readers.READERS.keys() >= {"gcvideo", "PyAV", "decord2"}
    arguments = ["--reader", "gcvideo", "PyAV", "--case", "edit list", "--output", str(page)]
    assert readers.main([*arguments, "--json", str(answers)]) == 0
    assert "| edit list cuts the start | ok | reports 60 |" in page.read_text()
    assert "- **edit list cuts the start**: The list says" in page.read_text()
    assert set(json.loads(answers.read_text())["answers"]) == {"gcvideo", "PyAV"}
    assert "gcvideo" in capsys.readouterr().err
