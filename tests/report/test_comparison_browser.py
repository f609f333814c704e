import os

import pytest
from headless_browser import PAPER_WIDTH
from synthetic_comparison import make_comparison

from gcvideo.comparison._table import comparison_table
from gcvideo.report import write_comparison_report


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_opens_on_desktop_and_phone_and_nothing_is_cut_or_loaded(
    browser, tmp_path, scheme
):
    missing = ("nl, seed 2: out of memory after epoch 3",)
    write_comparison_report(make_comparison(missing=missing, dropped={("nl", 2)}), tmp_path)
    for width in (1280, 390):
        layout = browser.open(tmp_path / "report.html", width, scheme=scheme)
        if folder := os.environ.get("SCREENSHOTS"):
            browser.picture(tmp_path.__class__(folder) / f"{scheme}-{width}.png")
        assert layout["width"] <= layout["window"] <= width
        assert layout["cut"] == []
        assert layout["smallest"] >= 16
        assert min(layout["plots"]) > 200
        assert len(layout["ids"]) == len(set(layout["ids"]))
        assert layout["ink"] == ("rgb(27, 29, 32)" if scheme == "light" else "rgb(230, 232, 235)")
        assert browser.complaints() == []
        assert browser.addresses() <= {"file", "data"}


@pytest.mark.slow
def test_on_paper_every_column_is_there_and_nothing_is_cut(browser, tmp_path):
    comparison = make_comparison()
    write_comparison_report(comparison, tmp_path)
    layout = browser.open(tmp_path / "report.html", PAPER_WIDTH, scheme="dark", is_printed=True)
    assert layout["cut"] == []
    assert layout["width"] <= PAPER_WIDTH
    assert layout["ink"] == "rgb(27, 29, 32)"
    header = comparison_table(comparison).header
    assert len(header) > 15
    assert {*header, *comparison.differences} <= {
        " ".join(head.split()) for head in layout["heads"]
    }
    browser.print(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").stat().st_size > 10_000
