"""The commands of README, docs and the heads of configuration files are run, at a small size."""

import logging
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import speed as benchmarking
import torch
from command_sandbox import make_files, make_nets
from documented_command import (
    DOCUMENTS,
    PROJECT,
    documented_commands,
    programs_in,
    readable,
)
from small_benchmark import ROOFLINE
from small_command import OUTPUTS, needs_process, not_run, outcome, small_words

import gcvideo
from gcvideo import cli
from gcvideo.weights import ZOO

# The checker of shapes would run inside traces, and slow them down.
pytestmark = pytest.mark.usefixtures("unchecked")

COMMANDS = documented_commands()
# What a command leaves, below its working folder.
LEFT = {
    "train": "**/results.json",
    "test": "runs/test/*/scores.csv",
    "probe": "runs/probe/*/*",
    "compare": "runs/compare/**/report.html",
    "attention stats": "runs/attention/*/*",
    "attention show": "attention/*/*",
    "check": "checks/*/bad_videos.csv",
}
PRINTED = {
    "cost": "M params",
    "benchmark": "ratio",
    "predict": "precision  ",
    "index": " videos in ",
    "doctor": "torch",
}
_TWO_RANKS = ("--standalone", "--nproc-per-node", "2")


def small_runs():
    """Each different run once: the command, and its words at a small size.

    tests/test_documented_command.py has what is asserted of those that are left out.
    """
    runs = {}
    for command in COMMANDS:
        if not not_run(command):
            words = small_words(command)
            runs.setdefault(outcome(command, words), (command, words))
    return [
        pytest.param(command, words, id=f"{command.document}: {command.text}")
        for command, words in runs.values()
    ]


def call(program, *words):
    """Exit status of a program in this process."""
    sys.argv = [str(program), *words]
    try:
        if Path(program).suffix == ".py":
            runpy.run_path(str(program), run_name="__main__")
        else:
            cli.main()
    except SystemExit as ending:
        return ending.code or 0
    return 0


@pytest.fixture(scope="session")
def sandbox_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("documents")
    make_files(folder)

    def run(*words):
        assert call("gcvideo", *words) == 0

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", [])
        make_nets(folder, run)
    return folder, shutil.copytree(folder, tmp_path_factory.mktemp("kept") / "documents")


@pytest.fixture
def sandbox(sandbox_files, monkeypatch):
    """The working folder of a command, as it was made: runs to go on with stay where they were."""
    folder, kept = sandbox_files
    shutil.rmtree(folder)
    shutil.copytree(kept, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", sys.argv)
    handlers = list(logging.root.handlers)
    yield folder
    for handler in [h for h in logging.root.handlers if h not in handlers]:
        handler.close()
    logging.root.handlers[:] = handlers


def files_below(folder):
    return {path for path in folder.rglob("*") if path.is_file()}


def clear(paths):
    """Take away what an earlier command has left under these names."""
    for path in paths:
        if path.is_file():
            path.unlink()
        shutil.rmtree(path, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.parametrize(("command", "words"), small_runs())
def test_a_documented_command_runs(command, words, sandbox, capfd, monkeypatch):
    monkeypatch.setattr(benchmarking, "measure_roofline", lambda *_: ROOFLINE)
    monkeypatch.setattr(benchmarking, "keep_freed_memory", lambda: True)
    given = dict(word.split("=", 1) for word in words if "=" in word)
    named = [sandbox / given[key] for key in OUTPUTS if key in given]
    clear([*named, sandbox / given.get("output", words[1])] if command.name == "export" else named)
    before = files_below(sandbox)
    program, status = command.argv[0], None
    if program == "torchrun":
        script = PROJECT / "scripts" / f"{command.name}.py"
        status = run_process("-m", "torch.distributed.run", *_TWO_RANKS, str(script), *words)
    elif needs_process(words):
        status = run_process("-m", "gcvideo.cli", command.name, *words)
    elif program == "python":
        status = call(PROJECT / command.argv[1], *words)
    else:
        status = call(program, *command.name.split(), *words)
    printed, errors = capfd.readouterr()
    assert status == 0, printed + errors
    for path in named:
        assert path.is_file() or any(path.iterdir())
    new = {path for path in files_below(sandbox) - before if path.stat().st_size}
    if "--help" in words or not command.name:
        assert "usage: gcvideo" in printed
    elif "estimate" in given or "--cfg" in words:
        assert ("learning rate" if "estimate" in given else "\nlr: ") in printed
        assert not new
    elif command.name in LEFT and not {"output", "output_dir"} & given.keys():
        assert new & set(sandbox.glob(LEFT[command.name]))
    elif command.name in PRINTED:
        assert PRINTED[command.name] in printed
    else:
        assert new


def run_process(*words):
    """Exit status of a program, where ranks are processes of their own."""
    paths = [str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.run(
        [sys.executable, *words],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)},
        timeout=300,
    ).returncode


def programs():
    """Programs that the documents print, but for one that has a test of its own."""
    found = [(path.name, program) for path in DOCUMENTS for program in programs_in(readable(path))]
    (own,) = (pair for pair in found if "count_cost" in pair[1])  # of tests/test_project.py
    found.remove(own)
    return [pytest.param(program, id=f"{name} {i}") for i, (name, program) in enumerate(found)]


# A training of seconds, in the place of one of hours.
SMALL_TRAINING = {
    "num_frames=8, sampling_rate=8": "num_frames=2, sampling_rate=2, short_side=48, crop_size=48, "
    "val_crop_size=32, train_crop_size=32, num_clips=1, num_crops=1",
    "ShortSideResize(256, 321": "ShortSideResize(40, 48",
    "RandomCrop(224)": "RandomCrop(32)",
    "batch_size=8": "batch_size=2, num_workers=0",
    "slow_resnet(num_classes=len": "slow_resnet(width=4, num_classes=len",
    "slow_resnet(num_classes=10, weights": "slow_resnet(width=4, num_classes=10, weights",
    "slow_resnet(weights": "slow_resnet(width=4, weights",
    "max_epochs=50": "max_epochs=1, accelerator='cpu', enable_progress_bar=False",
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Lightning's, on the machine and the size of the data
@pytest.mark.parametrize("program", programs())
def test_a_documented_program_runs(program, sandbox):
    for large, small in SMALL_TRAINING.items():
        program = program.replace(large, small)
    clips = torch.zeros(1, 3, 8, 224, 224)
    if "net.pt2" in program:
        assert call("gcvideo", "export", "best.ckpt", "net.pt2") == 0
        clips = torch.zeros(2, 3, 4, 32, 32, dtype=torch.uint8)
    for name in ZOO:
        program = program.replace(f'"{name}"', f'"{name}.safetensors"')
    names = {"gcvideo": gcvideo, "torch": torch, "clips": clips}
    exec(compile(program, "document", "exec"), names)
    if "net.pt2" in program:
        assert names["scores"].sum(1).tolist() == pytest.approx([1, 1])


@pytest.mark.slow
def test_the_benchmark_of_lists_runs(tmp_path):
    """The other scripts of benchmarks have tests of their own."""
    table = tmp_path / "table.json"
    script = str(PROJECT / "benchmarks" / "sample_list.py")
    assert run_process(script, "--rows", "2000", "--json", str(table)) == 0
    assert "first read" in table.read_text()
