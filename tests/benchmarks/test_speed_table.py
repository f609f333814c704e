import json

import numpy as np
import pytest
from speed_table import Rate, SpeedTable


@pytest.fixture
def table():
    table = SpeedTable("a title")
    ours, theirs = np.array([0.001, 0.002, 0.004]), np.array([0.004, 0.008, 0.008])
    rate = Rate(rate=12.3456, rate_unit="GB/s", share=0.625)
    table.add_times("pooling", "published", ours, theirs, note="equal", rate=rate)
    table.add("memory", "published", 20.0, 30.0, "MB")
    table.leave_out("pooling", "timm", "not there")
    return table


def test_a_line_has_the_ratio_of_medians_and_quartiles_of_the_ratios_of_rounds(table):
    row = table.rows[0]
    assert (row.ours, row.theirs, row.unit) == (2.0, 8.0, "ms")
    assert row.ratio == 4.0
    assert (row.low, row.high) == (3.0, 4.0)  # of 4, 4 and 2


def test_seconds_are_shown_as_such():
    table = SpeedTable("")
    table.add_times("scores", "loop", np.array([2.0]), np.array([3.0]), unit="s")
    assert (table.rows[0].ours, table.rows[0].theirs, table.rows[0].unit) == (2.0, 3.0, "s")


def test_the_file_has_a_line_for_each_row_with_its_rate_and_the_machine(table, tmp_path):
    file = tmp_path / "rows.json"
    table.write(file, {"machine": "a processor"})
    timed, memory, left_out = json.loads(file.read_text())
    assert timed == {
        "case": "pooling",
        "reference": "published",
        "ours": 2.0,
        "theirs": 8.0,
        "unit": "ms",
        "ratio": 4.0,
        "low": 3.0,
        "high": 4.0,
        "note": "equal",
        "rate": 12.3456,
        "rate_unit": "GB/s",
        "share": 0.625,
        "machine": "a processor",
    }
    assert "rate" not in memory
    assert memory["ratio"] == 1.5
    assert left_out["ratio"] is None
    assert left_out["note"] == "left out: not there"
    assert list(tmp_path.iterdir()) == [file]


def test_the_printed_table_shows_rates_and_what_was_left_out(table, capsys):
    table.show()
    printed = capsys.readouterr().out
    for text in ("a title", "4.00", "3.00 - 4.00", "12.3 GB/s (62%)", "left out: not there"):
        assert text in printed


def test_a_table_without_rates_has_no_column_for_them(capsys):
    table = SpeedTable("")
    table.add("memory", "published", 20.0, 30.0, "MB")
    table.show()
    assert "achieves" not in capsys.readouterr().out
