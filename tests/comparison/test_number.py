from math import nan

from synthetic_comparison import make_comparison

from gcvideo.comparison._number import (
    mean_and_spread,
    p_value,
    percent,
    percent_decimals,
    significant,
)
from gcvideo.comparison._paired_difference import SeedValues


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
