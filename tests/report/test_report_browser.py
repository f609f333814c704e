import os
from pathlib import Path

import pytest
from headless_browser import PAPER_WIDTH
from made_result import HISTORY, NAMES, make_result

from gcvideo.report import write_run_report

MANY = (*NAMES, *(f"a class with a long name and the number {number}" for number in range(35)))


@pytest.mark.slow
@pytest.mark.parametrize("classes", [NAMES, MANY], ids=["few", "many"])
def test_nothing_is_cut_on_desktop_phone_and_paper(browser, tmp_path, classes):
    result = make_result(tmp_path, classes=classes, num_videos=160, history=HISTORY, num_files=3)
    write_run_report(result, tmp_path, formats=[])
    page = tmp_path / "report.html"
    for width in (1280, 390):
        layout = browser.open(page, width)
        if folder := os.environ.get("SCREENSHOTS"):
            browser.picture(Path(folder) / f"{len(classes)}-{width}.png")
        assert layout["width"] <= layout["window"] <= width
        assert layout["cut"] == []
        assert layout["smallest"] >= 16
        assert min(layout["plots"]) > 200
        assert browser.complaints() == []
        assert browser.addresses() <= {"file", "data"}
    layout = browser.open(page, PAPER_WIDTH, is_printed=True)
    assert layout["cut"] == []
    assert layout["width"] <= PAPER_WIDTH
    assert set(classes) <= {head.strip() for head in layout["heads"]}
    if folder:
        browser.print(Path(folder) / f"{len(classes)}.pdf")
