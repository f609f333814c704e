import csv

import pytest
from small_benchmark import lines_of, run_benchmark
from speed_worth import Accuracy, read_accuracies

SMALL = ["what=worth", "models=['i3d width=4']", "rounds=1", "num_frames=2", "crop_size=32"]
COLUMNS = ["variant", "top-1, mean (fraction)", "top-1, spread (fraction)"]


@pytest.fixture
def table_of(tmp_path):
    """The table of a comparison with some rows."""

    def write(*rows, columns=COLUMNS):
        path = tmp_path / "table.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([columns, *rows])
        return str(path)

    return write


def test_accuracies_are_those_of_finished_variants(table_of):
    found = read_accuracies(table_of(["none", 0.5, 0.1], ["gc", 0.75, ""], ["nl", "", ""]))
    assert found == {"none": Accuracy(0.5, 0.1), "gc": Accuracy(0.75, None)}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_each_variant_is_timed_beside_the_bare_net_in_both_types(table_of, tmp_path, suffix):
    table = table_of(["none", 0.5, 0.1], ["gc", 0.75, 0.1], ["nl", 0.4, 0.1])
    figure, path = tmp_path / f"worth.{suffix}", tmp_path / "worth.json"
    words = [f"table={table}", f"figure={figure}", f"json={path}", "dtype=bfloat16"]
    run_benchmark(*SMALL, *words)
    stages = [
        f"{stage}, {dtype}"
        for stage in ("training", "inference")
        for dtype in ("float32", "bfloat16")
    ]
    assert [(line["case"], line["reference"], line["note"]) for line in lines_of(path)] == [
        (f"i3d_{name} width=4, {stage}", f"i3d width=4, {stage}", points)
        for stage in stages
        for name, points in (("gc", "+25.0 points"), ("nl", "-10.0 points"))
    ]
    start = figure.read_bytes()[:500]
    assert start.startswith(b"\x89PNG") if suffix == "png" else b"<svg" in start


@pytest.mark.slow
def test_one_type_is_timed_once(table_of):
    table = run_benchmark(
        *SMALL, f"table={table_of(['none', 0.5, ''], ['se', 0.6, ''])}", "dtype=float32"
    )
    assert [row.case for row in table.rows] == [
        f"i3d_se width=4, {stage}, float32" for stage in ("training", "inference")
    ]


def test_what_cannot_be_timed_is_named(table_of):
    with pytest.raises(ValueError, match="table is null"):
        run_benchmark(*SMALL)
    for table in (table_of(["none", "", ""]), table_of(["a"], columns=["name"]), table_of()):
        with pytest.raises(ValueError, match="no table of a comparison"):
            run_benchmark(*SMALL, f"table={table}")
    good = table_of(["none", 0.5, ""])
    with pytest.raises(ValueError, match="give one bare net"):
        run_benchmark(*SMALL, f"table={good}", "models=[i3d,slow]")
