"""The comparison: blocks in one net, trained by one recipe on the same clips, and compared in pairs."""

import os
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from hydra import compose

from gcvideo._console import Console
from gcvideo._invocation import command_line
from gcvideo.command._assembly import build, settle
from gcvideo.command._output_check import check_folder
from gcvideo.command._user_error import user_error
from gcvideo.command.compare._cell import Job, launch, read_cell
from gcvideo.command.compare._estimate import estimate_comparison
from gcvideo.command.compare._outcome import gather, print_outcome
from gcvideo.command.compare._plan import (
    block_arguments,
    cell_folder,
    cell_overrides,
    open_jobs,
    plan_variants,
)
from gcvideo.command.compare._request import ComparisonRequest, parse_request
from gcvideo.command.configuration._command_words import read_words, search_path
from gcvideo.command.configuration._composition import check_overrides, config_folder, initialized
from gcvideo.command.configuration._help_text import print_help
from gcvideo.command.train._estimation import given_step_seconds
from gcvideo.comparison._power import power_table
from gcvideo.comparison._results import Comparison
from gcvideo.data import VideoSplits
from gcvideo.data.listing._grouping import groups_of
from gcvideo.inference import read_checkpoint
from gcvideo.report import write_comparison_report


def run_comparison(words: Sequence[str]) -> None:
    """Run a comparison from the words after the name of the command; user errors end in one message."""
    console = Console(stderr=True)
    try:
        read = read_words("compare", words, config_name="compare")
        if read.wants_help:
            print_help("compare", "compare")
            return
        comparison = compare(read.overrides, typed=words)
    except KeyboardInterrupt:
        console.print("interrupted; the same command goes on with the cells that are not finished")
        raise SystemExit(130) from None
    except Exception as error:
        cause = user_error(error)
        if cause is None or os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        console.print(f"error: {cause}", soft_wrap=True)
        raise SystemExit(1) from error
    if comparison is not None and comparison.missing:
        raise SystemExit(1)


def compare(words: Sequence[str], *, typed: Sequence[str] | None = None) -> Comparison | None:
    """Train what is not trained yet, then write table, report and predictions of all cells.

    ``estimate=`` among the words only prints what that will take, and ``power=true`` which difference the
    test set can show; then nothing is written and the result is None. Otherwise the folder gets
    ``cells/VARIANT/seedN`` with checkpoints, logs and scores, ``table.csv``, ``table.md``, ``table.tex``,
    ``report.html``, and ``report`` with more tables and the figures in the formats ``figures=``. A cell that
    fails does not stop the others; the report names it.

    Args:
        words: ``preset=``, factors, ``seeds=``, ``launcher=``, ``folder=``, ``baseline=``, ``verify=``
            ``estimate=`` and ``power=``; all others are overrides of ``conf/train.yaml``.
        typed: words as they were typed, for the report; None: ``words``.

    Raises:
        ValueError: for unknown words, blocks that do not reach the net, a folder with cells of
            another recipe, or a cell that was to be verified and came out differently.
    """
    with initialized():
        presets = [folder / "preset" for folder in (config_folder(), *search_path(words))]
        request = parse_request(words, presets, block_arguments)
    if request.estimate is not False:
        given_step_seconds(request.estimate)
    # Before anything else is composed, because it names what was misspelled.
    recipe = [f"model={request.net}", *request.recipe]
    check_overrides("train", recipe)
    console = Console()
    with initialized():
        cfg = compose("train", recipe, return_hydra_config=True)
        data_name = cfg.hydra.runtime.choices["data"]
        folder = request.folder or Path("runs/compare") / f"{data_name}_{request.net}"
        folder = folder.resolve()
        if not request.power and request.estimate is False:
            check_folder(folder, "folder")
        splits: VideoSplits = build(cfg.data)
        for line in settle(cfg, splits):
            console.print(line, soft_wrap=True)
        if request.power:
            _print_power(splits, console)
            return None
        planned = plan_variants(request, splits, folder)
        for plan in planned:
            console.print(
                f"{plan.name:24s} {len(plan.blocks):2d} blocks, {plan.cost}", soft_wrap=True
            )
        if request.estimate is not False:
            estimated = estimate_comparison(request, planned, splits, folder)
            console.print(estimated.table().on_screen("estimate"))
            console.print(estimated.summary(), soft_wrap=True)
            return None
        jobs, num_finished = open_jobs(request, planned, folder)
        console.print(
            f"{num_finished} of {num_finished + len(jobs)} cells are finished; {folder}",
            soft_wrap=True,
        )
        errors = launch(jobs, folder / "cells", request) if jobs else {}
        command = f"{command_line('compare')} {shlex.join(typed or words)}"
        comparison = gather(request, planned, splits, folder, command=command, errors=errors)
        write_comparison_report(comparison, folder, formats=list(planned[0].cfg.figures))
        print_outcome(comparison, folder, console)
        if request.verify is not None:
            console.print(_verify(request, folder, *request.verify), soft_wrap=True)
    return comparison


def _print_power(splits: VideoSplits, console: Console) -> None:
    paths = splits.test.paths
    groups = list(paths) if splits.groups is None else groups_of(paths, splits.groups)
    num_groups = len(set(groups))
    about = f"{len(paths)} test videos in {num_groups} group{'s' * (num_groups > 1)}"
    if splits.groups is None:
        about = (
            f"{len(paths)} test videos, each by itself (data.groups tells which belong together)"
        )
    console.print(
        f"{about}. The difference in points that a two-sided test at 0.05 finds four times out of five, by the "
        "share of videos on which only one of two nets is right, and by the correlation r of such answers "
        "within a group:",
        soft_wrap=True,
    )
    console.print(power_table(groups).on_screen())


def _verify(request: ComparisonRequest, folder: Path, name: str, seed: int) -> str:
    """Train a cell once more, from scratch, and compare scores and weights bit for bit."""
    variant = request.variants[request.names.index(name)]
    first, again = cell_folder(folder, variant, seed), folder / "verify" / "again"
    shutil.rmtree(again, ignore_errors=True)
    job = Job(f"{name}, seed {seed}, again", again, cell_overrides(request, variant, seed, again))
    errors = launch([job], again.parent, request)
    if errors:
        raise errors[job.name]
    before, after = read_cell(first), read_cell(again)
    weights = [read_checkpoint(f / "checkpoints" / "last.ckpt").state_dict for f in (first, again)]
    differing = [key for key in weights[0] if not torch.equal(weights[0][key], weights[1][key])]
    if differing or not torch.equal(before.scores, after.scores):
        difference = (before.scores - after.scores).abs().max().item()
        raise ValueError(
            f"'{name}', seed {seed}, did not come out the same: {len(differing)} of {len(weights[0])} "
            f"tensors differ, scores by up to {difference:.3g}; on a CPU give num_threads=1, on a GPU "
            "trainer.deterministic=true"
        )
    return (
        f"verified: '{name}', seed {seed}, trained again, has the same {len(weights[0])} tensors and "
        f"{before.scores.numel()} scores, bit for bit (top-1 {after.content['top1']:.4f})"
    )
