import importlib
import sys

import pytest


@pytest.fixture
def soak(project, monkeypatch):
    monkeypatch.syspath_prepend(str(project / "benchmarks"))
    module = importlib.import_module("soak")
    yield module
    for name in ("soak", "comparison"):
        sys.modules.pop(name, None)


def samples(soak, rss, descriptors=30):
    flat = {pid: soak.Usage(100, 60, 1, 12) for pid in (2, 3, 4, 5)}
    return [
        soak.Sample(epoch, flat | {1: soak.Usage(size, 60, 1, 30 if epoch < 3 else descriptors)}, 0)
        for epoch, size in enumerate(rss, start=1)
    ]


def test_a_soak_is_flat_up_to_five_percent(soak):
    table, faults = soak.compare(samples(soak, [50, 100, 104, 104]), main=1)
    assert faults == []
    assert table.rows[0].ratio == pytest.approx(100 / 104)


def test_a_soak_names_what_grew(soak):
    grown = soak.compare(samples(soak, [50, 100, 103, 106]), main=1)[1]
    assert grown == ["main, RSS grew from 0.0001 to 0.000106 MB"]
    opened = soak.compare(samples(soak, [50, 100, 100], 31), main=1)[1]
    assert opened == ["main, descriptors grew from 30 to 31"]


def test_a_soak_without_a_second_epoch_asks_for_more_time(soak):
    with pytest.raises(ValueError, match=r"came to epoch 2; .* give more --minutes"):
        soak.compare(samples(soak, [50, 100]), main=1)
