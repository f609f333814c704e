"""What the tests run on: the lowest versions, and other processors, threads and Pythons."""

import importlib.util
import platform
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

PROJECT = Path(__file__).resolve().parent.parent
MATRIX = PROJECT / ".ci" / "matrix.py"


@pytest.fixture
def matrix(monkeypatch):
    specification = importlib.util.spec_from_file_location("matrix", MATRIX)
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, "matrix", module)  # where dataclasses look for annotations
    specification.loader.exec_module(module)
    return module


def requirements(*extras):
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *(project["optional-dependencies"][name] for name in extras)]
    named = [Requirement(line) for lines in lists for line in lines]
    return [requirement for requirement in named if requirement.name != "gcvideo"]


def test_the_oldest_versions_are_the_lower_bounds_of_all_that_the_tests_use():
    bounds = {}
    for requirement in requirements(
        *("dev", "slurm", "export", "hub", "joblib", "parquet", "service", "tensorboard")
    ):
        (bound,) = requirement.specifier
        assert bound.operator == ">=", requirement
        assert bounds.setdefault(requirement.name, Version(bound.version)) == Version(bound.version)
    pins = {}
    for line in (PROJECT / "constraints" / "oldest.txt").read_text().splitlines():
        if not line.startswith("#"):
            name, _, version = line.partition("==")
            pins[name] = Version(version)
    assert pins == bounds


def test_a_misspelled_combination_ends_with_those_that_there_are(matrix):
    done = subprocess.run([sys.executable, MATRIX, "newset"], capture_output=True, text=True)
    assert done.returncode == 2
    names = ", ".join(matrix.COMBINATIONS)
    assert done.stdout == f"no combination is called 'newset'; there are: {names}\n"


@pytest.fixture
def stand_ins(matrix, monkeypatch, tmp_path):
    """An environment whose pip and pytest note what they are given; the second fails if asked to."""
    monkeypatch.setattr(matrix, "FOLDER", tmp_path)
    monkeypatch.setattr(matrix, "CLUSTER", tmp_path / "cluster")
    programs = tmp_path / "3.11" / "bin"
    programs.mkdir(parents=True)
    for name, text in (
        ("python", f'exec {sys.executable} "$@"'),
        ("pip", 'echo "$PIP_CONFIG_FILE $@" > {log}; exit $PIP_STATUS'),
        (
            "pytest",
            'echo "$ONEDNN_MAX_CPU_ISA $@" > {log}; echo "== 3 passed in 1.00s =="; exit $1',
        ),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{text.format(log=tmp_path / name)}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setattr(matrix, "find_python", lambda version: sys.executable)
    monkeypatch.setenv("PIP_STATUS", "0")
    return tmp_path


def test_a_combination_is_installed_without_caps_and_tested_with_its_variables(
    matrix, stand_ins, capsys
):
    assert matrix.main(["pyav18", "avx2"]) == 0
    assert (stand_ins / "pip").read_text().startswith("/dev/null install --upgrade")
    assert (stand_ins / "pytest").read_text() == "AVX2 \n"
    printed = capsys.readouterr().out
    assert "pyav18: 3 passed in 1.00s\navx2: 3 passed in 1.00s\n" in printed
    versions = f"{platform.python_version()} | {version('torch')} | {version('av')}"
    assert f"| `pyav18` | PyAV 18 | {versions} | 3 passed in 1.00s |" in printed


def test_what_fails_ends_the_matrix_with_its_reason(matrix, stand_ins, monkeypatch, capsys):
    monkeypatch.setitem(matrix.COMBINATIONS, "slow", matrix.Combination("slow", tests="slow"))
    assert matrix.main(["slow"]) != 0  # the words are no status of exit
    monkeypatch.setenv("PIP_STATUS", "1")
    assert matrix.main(["newest"]) == 1
    assert f"newest: cannot be installed, see {stand_ins / 'newest.log'}" in capsys.readouterr().out


def test_a_python_that_is_not_there_is_left_out_by_name(matrix, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(matrix, "CLUSTER", tmp_path)
    monkeypatch.setitem(matrix.COMBINATIONS, "newest", matrix.Combination("newest", python="3.99"))
    assert matrix.main(["newest"]) == 0
    assert "newest: left out, there is no Python 3.99 here" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("printed", "line"),
    [
        (
            "..\n=== 3 passed, 1 skipped in 300.12s (0:05:00) ===\n",
            "3 passed, 1 skipped in 300.12s (0:05:00)",
        ),
        (
            "FAILED a - in 3.2s\n1 failed, 2 passed, 1 error in 0.50s\n",
            "1 failed, 2 passed, 1 error in 0.50s",
        ),
        ("5 passed in 2.00s\nKilled\n6 passed in 3.00s\n", "6 passed in 3.00s"),
        ("INTERNALERROR> Traceback\n", None),
    ],
)
def test_the_closing_line_is_the_last_of_pytest(matrix, printed, line):
    assert matrix.closing_line(printed) == line


def test_the_documentation_names_combinations_that_there_are(matrix):
    text = (PROJECT / "CONTRIBUTING.md").read_text()
    table = text.partition("| `only=` |")[2].partition("\n\n")[0]
    (example,) = re.findall(r'only="([^"]+)"', text)
    for name in (*example.split(), *re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)):
        assert name in matrix.COMBINATIONS
