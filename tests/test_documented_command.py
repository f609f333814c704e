"""That no command of the documents is missed, and what stands for those that are not run."""

import argparse
import re
import subprocess
import sys
import tomllib

import pytest
from documented_command import (
    DOCUMENTS,
    PROJECT,
    DocumentedCommand,
    commands_in,
    count_names,
    count_traces,
    documented_commands,
    programs_in,
    readable,
)
from small_command import NOT_RUN, STARTS, not_run, outcome, small_words, with_launcher

from gcvideo import cli
from gcvideo.command.configuration._command_words import read_words
from gcvideo.command.configuration._composition import check_overrides
from gcvideo.weights import ZOO

COMMANDS = documented_commands()
TEXT = """
Prose with `gcvideo check` and `torchrun` by name, `gcvideo check data=folder` and `pytest -m
gpu` as commands; gcvideo tests nothing. | `gcvideo attention stats` | `make help` |

    gcvideo train -m a=1,2 \\
        b='[c d]'     # or gcvideo train
    videos/           gcvideo index data=x
      train/
    # gcvideo probe x.ckpt
    pip install -e ".[dev]" && pytest
    A=1 python benchmarks/soak.py --minutes 3
    lr = f(gcvideo)

```
torchrun --nnodes 8 scripts/train.py x=1
```

```python
gcvideo = train
```
"""


def test_commands_are_found_in_blocks_and_between_backticks(tmp_path):
    path = tmp_path / "text.md"
    path.write_text(TEXT)
    assert list(commands_in(readable(path))) == [
        "gcvideo check data=folder",
        "pytest -m gpu",
        "make help",
        "gcvideo train -m a=1,2 b='[c d]'",
        "gcvideo index data=x",
        'pip install -e ".[dev]"',
        "pytest",
        "A=1 python benchmarks/soak.py --minutes 3",
        "torchrun --nnodes 8 scripts/train.py x=1",
    ]
    assert programs_in(TEXT) == ["gcvideo = train"]


def test_of_a_configuration_file_the_head_is_read(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(
        "# Train `gcvideo train`.\n#\n#   gcvideo train a=1 \\\n#       b=2\nkey: 1\n#   make it\n"
    )
    assert list(commands_in(readable(path))) == ["gcvideo train a=1 b=2"]


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("gcvideo attention show a.ckpt b=1", "attention show", ["a.ckpt", "b=1"]),
        ("python scripts/train.py 'a=[b c]'", "train", ["a=[b c]"]),
        ("torchrun --nnodes 8 scripts/train.py a=1", "train", ["a=1"]),
        ("sbatch --nodes=8 scripts/slurm/train.sbatch a=1", "train", ["a=1"]),
        ("sbatch scripts/slurm/predict.sbatch best.ckpt clips", "predict", ["best.ckpt", "clips"]),
        ("sbatch --array=0-3 scripts/slurm/predict.sbatch check a=1", "check", ["a=1"]),
        ("A=1 python benchmarks/soak.py --json x", None, ["benchmarks/soak.py", "--json", "x"]),
        ("pytest", None, []),
    ],
)
def test_a_command_has_a_name_and_words(text, name, words):
    command = DocumentedCommand("README.md", text)
    assert (command.name, command.words) == (name, words)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_whatever_looks_like_a_command_is_found_or_a_name(path):
    text = readable(path)
    assert count_traces(text) == sum(map(count_traces, commands_in(text))) + count_names(text)


def test_every_command_of_ours_is_documented():
    assert {command.name for command in COMMANDS if command.name} == {*cli.COMMANDS, "benchmark"}


def test_each_reason_to_leave_a_command_out_is_that_of_some_command():
    assert {pattern for command in COMMANDS for pattern in not_run(command)} == set(NOT_RUN)


@pytest.mark.parametrize(
    ("text", "other", "is_same"),
    [
        ("gcvideo export best.ckpt a.onnx", "gcvideo export output=b.onnx checkpoint=CKPT", True),
        ("gcvideo export best.ckpt a.onnx", "gcvideo export best.ckpt a.onnx crop_size=224", True),
        ("gcvideo export best.ckpt a.onnx", "gcvideo export best.ckpt a.pt2", False),
        ("gcvideo export best.ckpt a.onnx", "gcvideo export gc.ckpt a.onnx", False),
        ("gcvideo predict best.ckpt clips", "gcvideo predict best.ckpt clips top_k=3", False),
        ("gcvideo train -m lr=1,2 seed=1", "gcvideo train -m lr=1,2,3", True),
        ("gcvideo train lr=1", "gcvideo train lr=2", False),
        ("gcvideo train model=c2d", "python scripts/train.py model=c2d", True),
        ("gcvideo train trainer=ddp", "torchrun scripts/train.py trainer=ddp", False),
        ("gcvideo compare block=gc,se", "gcvideo compare block=se,nl", True),
        ("gcvideo compare preset=quick", "gcvideo compare preset=quick lr=1e-3", False),
        ("gcvideo cost", "gcvideo cost output=costs", False),
    ],
)
def test_of_commands_that_say_the_same_one_is_run(text, other, is_same):
    commands = [DocumentedCommand("README.md", t) for t in (text, other)]
    one, two = (outcome(command, small_words(command)) for command in commands)
    assert (one == two) == is_same


def test_published_weights_that_files_of_ours_stand_for_exist():
    chosen = [word.partition("=")[2] for word in STARTS if word.startswith("weights=")]
    assert len(chosen) >= 3
    assert set(chosen) <= set(ZOO)
    documented = [word for command in COMMANDS for word in command.words]
    assert set(STARTS) <= set(documented)


def test_choices_that_are_replaced_exist():
    groups = {path.name for path in (PROJECT / "conf").iterdir() if path.is_dir()}
    checked = set()
    for command in COMMANDS:
        # The words of comparisons have a test in tests/command/compare/test_comparison_request.py.
        if command.name in (None, "compare") or not_run(command):
            continue
        # What stays is read when the command is run.
        for word in set(command.words) - set(small_words(command)):
            group, _, choice = word.partition("=")
            if command.name == "compare" and group == "block":
                continue  # tests/command/compare/test_comparison_request.py reads these
            if group in groups and choice not in ZOO:
                assert (PROJECT / "conf" / group / f"{choice}.yaml").is_file(), command
                checked.add(word)
    assert "trainer=gpu" in checked


def test_commands_of_ours_that_are_not_run_compose():
    left_out = [c for c in COMMANDS if c.name is not None and not_run(c)]
    assert len(left_out) >= 3
    for command in left_out:
        name = command.name
        known = cli.COMMANDS.get(name)  # not scripts/benchmark.py
        read = read_words(
            name,
            with_launcher(command.words),
            config_name=name,
            plain=known.plain if known else (),
            is_swept=known is not None and known.is_swept,
        )
        check_overrides(name, read.overrides)


class _Parsed(Exception):
    """The options of a program are understood."""


@pytest.mark.parametrize(
    "command", [c for c in COMMANDS if "benchmarks/" in c.text], ids=lambda c: c.text
)
def test_a_benchmark_has_the_documented_options_and_a_test(command, benchmark, monkeypatch):
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(parser, arguments=None):
        parse(parser, arguments)
        raise _Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
    name, *options = command.words
    stem = name.removeprefix("benchmarks/").removesuffix(".py")
    with pytest.raises(_Parsed):
        benchmark(stem).main(options)
    tests = "".join(path.read_text() for path in (PROJECT / "tests").rglob("test_*.py"))
    assert f'("{stem}")' in tests or f'"{stem}.py"' in tests


def _places(document):
    """The anchors that a page of Markdown gives its headings."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "document", [*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md")], ids=lambda path: path.name
)
def test_links_of_a_document_lead_somewhere(document):
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if "://" not in link:
            address, _, place = link.partition("#")
            target = document.parent / address if address else document
            assert target.exists(), link
            assert not place or place in _places(target), link


@pytest.mark.slow
def test_the_pages_of_the_api_have_no_broken_link(tmp_path):
    pytest.importorskip("pdoc")
    script = [sys.executable, str(PROJECT / ".ci" / "api_docs.py"), str(tmp_path)]
    done = subprocess.run(script, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    for page in ("gcvideo.html", "gcvideo/inference.html"):
        assert 'id="TrainedClassifier.classify"' in (tmp_path / page).read_text()


def test_the_size_of_the_package_is_counted():
    script = [sys.executable, str(PROJECT / ".ci" / "size.py"), str(PROJECT)]
    lines = subprocess.run(script, capture_output=True, text=True, check=True).stdout.splitlines()
    (whole,) = (line.split() for line in lines if line.startswith("all "))
    paths = list((PROJECT / "gcvideo").rglob("*.py"))
    num_lines = sum(len(path.read_text().splitlines()) for path in paths)
    assert [int(word) for word in whole[1:3]] == [len(paths), num_lines]
    assert int(whole[2]) == sum(map(int, whole[3:]))


def test_what_ci_installs_and_runs_is_there():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    packages = {requirement for names in extras.values() for requirement in names}
    options = project["tool"]["pytest"]["ini_options"]
    targets = re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    for command in COMMANDS:
        program, *words = command.argv
        if program == "pip":
            named = re.fullmatch(r"(?:gcvideo|\.)(?:\[(\w+)\])?", words[-1])
            assert words[-1] in packages if named is None else named[1] in {None, *extras}
        elif program == "pytest":
            markers = {text.partition(":")[0] for text in options["markers"]}
            paths = [word for word in words if "/" in word]
            assert all((PROJECT / path).is_file() for path in paths)
            assert words in ([], paths) or words[1].removeprefix("not ") in markers
        elif program == "make":
            assert set(words) <= set(targets)
    assert 'pip install -e ".[dev]" && pytest\n' in (PROJECT / ".ci" / "run").read_text()
