import csv
import io
import re
from html.parser import HTMLParser
from math import nan

import pytest
from synthetic_comparison import CLASSES, LONG_NAME, VARIANTS, make_comparison

from gcvideo.comparison._paired_difference import SeedValues
from gcvideo.comparison._table import (
    Table,
    comparison_table,
    csv_table,
    describe_blocks,
    latex_table,
    markdown_table,
    mean_and_spread,
    p_value,
    percent,
    percent_decimals,
    seed_table,
    significant,
)


class Cells(HTMLParser):
    """The texts of a table, row by row."""

    def __init__(self, html):
        super().__init__()
        self.rows = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.rstrip("\n")


def column(table, name):
    return [row[table.header.index(name)] for row in table.rows]


def test_the_csv_holds_what_the_comparison_says_to_the_last_digit():
    comparison = make_comparison()
    rows = [*csv.DictReader(io.StringIO(csv_table(comparison)))]
    assert [row["variant"] for row in rows] == [variant.name for variant in comparison.variants]
    for row, variant in zip(rows, comparison.variants, strict=True):
        assert int(row["parameters"]) == variant.num_parameters
        assert int(row["MACs per view"]) == variant.macs
        assert int(row["peak memory (bytes)"]) == variant.peak_bytes
        assert int(row["number of inserted blocks"]) == len(variant.blocks)
        assert float(row["training (ms per clip)"]) == variant.train_ms_per_clip
        assert float(row["top-1, mean (fraction)"]) == variant.top_k(1).mean
        assert float(row["top-5, spread (fraction)"]) == variant.top_k(5).spread
        assert float(row["top-1, shuffled, mean (fraction)"]) == variant.probe("shuffled").mean
        assert float(row["top-1, seed 2 (fraction)"]) == variant.cells[2].top_k(1)
        difference = comparison.differences.get(variant.name)
        if difference is None:
            assert row["difference, mean (fraction)"] == row["Holm p"] == ""
            continue
        assert float(row["difference, mean (fraction)"]) == difference.top1.mean
        assert float(row["difference, spread (fraction)"]) == difference.top1.spread
        assert float(row["McNemar p"]) == difference.pooled_mcnemar
        assert float(row["McNemar p, seed 1"]) == difference.mcnemar[1]
        assert float(row["clustered p"]) == difference.clustered
        assert float(row["Holm p"]) == comparison.adjusted_p_values[variant.name]
    assert rows[3]["inference (ms per clip)"] == ""


def test_the_table_for_people_is_rounded_and_has_dashes():
    table = comparison_table(make_comparison())
    assert column(table, "variant")[:2] == ["none", "gc ratio=1/16"]
    assert column(table, "inserted blocks")[:3] == [
        "none",
        "13 ContextBlock: res3.0-3 res4.0-5 res5.0-2",
        "5 NonLocalBlock: res3.1,3 res4.1,3,5",
    ]
    assert column(table, "parameters (M)")[:2] == ["2.100", "2.260"]
    assert column(table, "MACs per view (G)")[:3] == ["0.3300", "0.3308", "0.4200"]
    assert column(table, "ms per clip")[2:4] == ["12.7", "-"]
    assert column(table, "peak memory (MiB)")[0] == "180"
    assert re.fullmatch(r"\d\d\.\d ± \d\.\d", column(table, "top-1 (%)")[0])
    assert column(table, "difference (points)")[0] == "-"
    assert re.fullmatch(r"\+\d\d\.\d ± \d\.\d", column(table, "difference (points)")[1])
    assert column(table, "Holm p")[:2] == ["-", "< 0.001"]
    assert column(table, "seeds")[0] == "0 1 2"
    assert column(table, "top-1, frozen (%)")[0] == "31.0 ± 1.0"


def test_top_five_needs_more_than_five_classes():
    assert "top-5 (%)" in comparison_table(make_comparison(seeds=(0,))).header
    few = make_comparison(seeds=(0,), classes=CLASSES[:5])
    assert "top-5 (%)" not in comparison_table(few).header
    assert "top-5" not in csv_table(few)


def test_one_seed_has_no_spread_and_an_unfinished_variant_no_accuracy():
    table = comparison_table(make_comparison(seeds=(4,), dropped={("nl", 4)}))
    assert column(table, "top-1 (%)")[0].endswith(" ± -")
    assert column(table, "top-1 (%)")[2] == column(table, "seeds")[2] == "-"
    assert column(table, "difference (points)")[2] == column(table, "clustered p")[2] == "-"


def test_a_comparison_without_any_cell_still_has_its_costs():
    comparison = make_comparison(seeds=())
    table = comparison_table(comparison)
    assert set(column(table, "top-1 (%)")) == {"-"}
    assert column(table, "parameters (M)")[0] == "2.100"
    assert csv_table(comparison).count("\n") == 7
    assert seed_table(comparison).rows == ()


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("a|b", r"a\|b"),
        ("<b>x</b> & y", "&lt;b>x&lt;/b> & y"),
        ("&lt;", "&amp;lt;"),
        ("*bold* `code` [link]", r"\*bold\* \`code\` \[link\]"),
        ("after_conv3 _x_", r"after_conv3 \_x\_"),
        ("two\nlines", "two lines"),
        ("< 0.001", "< 0.001"),
    ],
)
def test_names_are_no_markup_in_markdown(text, markdown):
    table = Table(("name", "value"), ((text, "1"),))
    assert table.markdown() == f"| name | value |\n|---|---|\n| {markdown} | 1 |\n"


def test_names_are_no_markup_in_html():
    table = Table(("<i>", 'a"b'), (("</td><script>", "&amp;"), ("\u6301", "x" * 40)))
    html = table.html()
    assert "<script" not in html
    assert Cells(html).rows == [["<i>", 'a"b'], ["</td><script>", "&amp;"], ["\u6301", "x" * 40]]


def test_markdown_and_html_show_the_same_table():
    table = comparison_table(make_comparison())
    assert Cells(table.html()).rows == [list(table.header), *map(list, table.rows)]
    lines = markdown_table(make_comparison()).splitlines()
    assert lines[0] == f"| {' | '.join(table.header)} |"
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines[:8]}) == 1
    assert lines[8] == ""
    assert "-: not measured" in lines[9]


def test_what_is_missing_stands_below_the_table():
    named = ("nl, seed 2: out of memory",)
    complete = markdown_table(make_comparison(missing=named, dropped={("nl", 2)}))
    assert "Missing: nl, seed 2: out of memory\n" in complete
    assert "Missing" not in markdown_table(make_comparison())


def test_each_seed_has_a_row_with_its_own_test():
    comparison = make_comparison(dropped={("none", 1)})
    rows = {(name, seed): cells for name, seed, *cells in seed_table(comparison).rows}
    assert len(rows) == 6 * 3 - 1
    difference = comparison.differences[LONG_NAME]
    assert rows[LONG_NAME, "2"][1:3] == [
        str(difference.num_better[2]),
        str(difference.num_worse[2]),
    ]
    assert rows[LONG_NAME, "2"][3] == f"{difference.mcnemar[2]:.3g}"
    assert rows[LONG_NAME, "1"][1:] == rows["none", "0"][1:] == ["-", "-", "-"]


def test_numbers_keep_their_significant_digits_and_all_whole_ones():
    values = 32.454096, 0.045118, 41739.2, 0.0, 9.99996
    assert [*map(significant, values)] == ["32.45", "0.04512", "41739", "0.000", "10.000"]
    assert significant(13.399, 3) == "13.4"


def test_p_values_are_read_from_below_a_thousandth_to_one():
    assert [*map(p_value, (1.0, 0.0496, 0.001, 0.00099, 0.0))] == [
        *("1", "0.0496", "0.001", "< 0.001", "< 0.001")
    ]


def test_a_difference_has_a_sign_unless_it_rounds_to_nothing():
    assert percent(0.123, 1, signed=True) == "+12.3"
    assert percent(-0.123, 1, signed=True) == "-12.3"
    assert {percent(value, 1, signed=True) for value in (0.0, 1e-9, -1e-9)} == {"0.0"}
    assert percent(0.123, 2) == "12.30"


def test_what_is_not_known_is_a_dash():
    assert [significant(None), p_value(None), percent(None, 1), percent(nan, 1)] == ["-"] * 4
    assert mean_and_spread(SeedValues({}), 1) == "-"
    assert mean_and_spread(SeedValues({3: 0.5}), 1) == "50.0 ± -"
    assert mean_and_spread(SeedValues({0: 0.5, 1: 0.7}), 1, signed=True) == "+60.0 ± 14.1"


def test_two_decimals_stand_where_single_videos_are_that_small():
    assert percent_decimals(make_comparison(num_videos=999, seeds=(0,))) == 1
    assert percent_decimals(make_comparison(num_videos=1000, seeds=(0,))) == 2
    assert percent_decimals(make_comparison(seeds=())) == 1


@pytest.mark.parametrize(
    ("blocks", "text"),
    [
        ((), "none"),
        (("res4.5 ContextBlock",), "1 ContextBlock: res4.5"),
        (
            ("res3.1 NL", "res3.3 NL", "res4.0 NL", "res4.1 NL", "res4.2 NL", "res4.5 NL"),
            "6 NL: res3.1,3 res4.0-2,5",
        ),
        (("res3.0 SE", "res3.0 GC", "res3.1 GC"), "1 SE: res3.0; 2 GC: res3.0-1"),
    ],
)
def test_blocks_are_counted_and_placed(blocks, text):
    assert describe_blocks(blocks) == text


def test_latex_has_a_row_per_variant_and_no_command_that_a_name_made():
    text = latex_table(make_comparison())
    *comments, begin, top, head, middle = text.splitlines()[:8]
    header = comparison_table(make_comparison()).header
    assert all(line.startswith("%") for line in comments)
    assert begin == r"\begin{tabular}{l" + "r" * (len(header) - 1) + "}"
    assert (top, middle) == (r"\toprule", r"\midrule")
    rows = text.split("\\midrule\n")[1].split("\\bottomrule")[0].splitlines()
    assert len(rows) == len(VARIANTS)
    for row in (head, *rows):
        assert row.endswith(r" \\")
        assert len(re.findall(r"(?<!\\)&", row)) == len(header) - 1
        assert not re.search(r"(?<!\\)[%#_]", row)
    assert r"\textless{}b\textgreater{}gc\textless{}/b\textgreater{} \& " in rows[-1]
    assert r"position=after\_conv3" in rows[-1]
    assert r"$-$1.4 $\pm$" in rows[-1]


def test_parts_of_a_table_have_all_columns_once_and_the_first_in_each():
    table = Table(tuple("abcdefgh"), (tuple("12345678"),))
    parts = table.parts(4)
    assert [part.header for part in parts] == [tuple("abcd"), tuple("aefg"), tuple("ah")]
    assert [part.rows[0] for part in parts] == [tuple("1234"), tuple("1567"), tuple("18")]
    assert table.parts(8) == [table]
    assert Table(("a",), (("1",),)).parts(3) == [Table(("a",), (("1",),))]
