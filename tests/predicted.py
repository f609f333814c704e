"""Predictions as tests read them."""

import csv
import json


def rows_of(output):
    """What stands in a file of results, by video."""
    if output.suffix == ".jsonl":
        return {row["video"]: row for row in map(json.loads, output.read_bytes().splitlines())}
    found = {}
    with output.open(newline="", errors="surrogateescape") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["video"], []).append(row)
    return found


def record_of(output):
    """What the results are of."""
    return json.loads(output.with_name(f"{output.name}.run.json").read_text())
