"""A training as ``estimate=true`` foretells it, and as it is.

python benchmarks/estimates.py experiment=motion data=demo epochs=2
python benchmarks/estimates.py trainer=cpu epochs=1 trainer.limit_train_batches=8 --json estimates.json

The words are those of `gcvideo train`. Both sides run in a process of their own (Linux). The time is that
from the first step to the end of the last validation, without loading of libraries, building of the net and
opening of the videos. The memory of the training is the highest RSS less that before its first step, to which
the weights are added, because they were there already.
"""

import argparse
import json
from argparse import RawTextHelpFormatter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from hydra import compose
from soak import Usage

from gcvideo.command.configuration._command_words import read_words
from gcvideo.command.configuration._composition import initialized, register_published_weights
from gcvideo.command.train import _training


@dataclass(frozen=True)
class Taken:
    """What a training takes.

    Args:
        seconds: time of steps and validations.
        num_bytes: memory of weights, gradients, optimizer state, activations, views and kept frames.
    """

    seconds: float
    num_bytes: int


def foretold(words: Sequence[str]) -> Taken:
    """By ``estimate=true``."""
    found: list[Any] = []
    measure = _training.measure
    _training.measure = lambda *given, **named: found.append(measure(*given, **named)) or found[0]
    _train([*words, "estimate=true"])
    (estimate,) = found
    num_bytes = estimate.memory.total + estimate.loading.kept_bytes
    return Taken(3600 * estimate.hours, num_bytes)


def measured(words: Sequence[str]) -> Taken:
    """By training."""
    found: list[Taken] = []
    fit: Callable[[Any, Any], None] = _training._fit

    def watched(run: Any, point: Any) -> None:
        net = run.module.model
        weights = sum(t.nbytes for t in [*net.parameters(), *net.buffers()])
        before, started = Usage.read("self").rss, perf_counter()
        fit(run, point)
        seconds = perf_counter() - started
        peak = 1024 * getrusage(RUSAGE_SELF).ru_maxrss
        found.append(Taken(seconds, peak - before + weights))

    _training._fit = watched
    _train(words)
    return found[0]


def _train(words: Sequence[str]) -> None:
    register_published_weights()
    with TemporaryDirectory() as folder, initialized():
        read = read_words("train", [*words, f"output_dir={folder}"], config_name="train")
        _training.train(compose("train", list(read.overrides)))


def _in_own_process(side: Callable[[Sequence[str]], Taken], words: Sequence[str]) -> Taken:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(side, words).result()


def compare(words: Sequence[str]) -> dict[str, dict[str, float]]:
    """Both sides and measured / foretold, by name of the figure."""
    before, after = (_in_own_process(side, words) for side in (foretold, measured))
    return {
        name: {"foretold": getattr(before, name), "measured": getattr(after, name)}
        | {"ratio": getattr(after, name) / getattr(before, name)}
        for name in ("seconds", "num_bytes")
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print both sides of one training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=RawTextHelpFormatter)
    parser.add_argument("words", nargs="+", help="words of gcvideo train")
    parser.add_argument("--json", type=Path, help="file that gets a line")
    given = parser.parse_args(arguments)
    found = compare(given.words)
    for name, unit in (("seconds", "s"), ("num_bytes", "MiB")):
        figures = found[name]
        shown = [figures[side] / (1 if unit == "s" else 2**20) for side in ("foretold", "measured")]
        print(
            "{}: foretold {:.4g} {unit}, measured {:.4g} {unit}".format(
                "time" if unit == "s" else "memory", *shown, unit=unit
            )
            + f", measured / foretold {figures['ratio']:.2f}"
        )
    if given.json is not None:
        with given.json.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"words": given.words} | found) + "\n")


if __name__ == "__main__":
    main()
