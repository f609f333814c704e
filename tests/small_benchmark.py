"""Benchmarks of tiny things, with limits of the machine that are known without measuring."""

import json
from pathlib import Path
from unittest.mock import patch

import pytest
import speed as benchmarking
from hydra import compose, initialize_config_dir
from roofline import Roofline

CONF = Path(__file__).resolve().parent.parent / "conf"
ROOFLINE = Roofline(gigabytes_per_second=20.0, teraflops_per_second=0.5)
FIELDS = {"case", "reference", "ours", "theirs", "unit", "ratio", "low", "high", "note"}
RATE = {"rate", "rate_unit", "share"}
MACHINE = {"machine", "cores", "threads", "torch", "dtype", "date", "keeps_freed_memory"} | {
    *("copy_gigabytes_per_second", "product_teraflops_per_second"),
}


def run_benchmark(*overrides):
    with (
        patch.object(benchmarking, "measure_roofline", lambda *_: ROOFLINE),
        patch.object(benchmarking, "keep_freed_memory", lambda: True),
        initialize_config_dir(str(CONF), version_base="1.3"),
    ):
        cfg = compose("benchmark", ["device=cpu", *map(str, overrides)])
        return benchmarking.benchmark(cfg)


def lines_of(path):
    lines = json.loads(path.read_text())
    for line in lines:
        assert line.keys() - RATE == FIELDS | MACHINE
        if line["ratio"] is not None:
            assert line["ratio"] == pytest.approx(line["theirs"] / line["ours"])
    return lines
