import ast
import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import gcvideo

PROJECT = Path(__file__).resolve().parent.parent


def run(*command, cwd=PROJECT, **environment):
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=900,
    )


def test_the_example_in_the_readme_runs_and_prints_the_cost_of_five_blocks(capsys):
    text = (PROJECT / "README.md").read_text()
    example = next(
        b for b in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "count_cost" in b
    )
    exec(compile(example, "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("34.30 M parameters, 41.77 GMACs per view of 8 x 224")


def test_the_two_commands_of_the_readme_are_those_that_ci_runs():
    readme, ci = (PROJECT / "README.md").read_text(), (PROJECT / ".ci" / "run").read_text()
    tests = 'pip install -e ".[dev]" && pytest'
    assert f"\n    {tests}\n" in readme
    assert f"\n{tests}\n" in ci
    assert '\npytest -m "slow and not gpu" || ' in ci
    job = "python scripts/train.py model=i3d_gc"
    assert f"\n    pip install -e . && {job}\n" in readme
    assert f"\n{job} " in ci


def test_a_misspelled_override_ends_the_script_with_a_hint():
    done = run("scripts/index.py", "dtaa=folder")
    assert done.returncode == 2
    assert "did you mean data" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_mistake_in_the_data_ends_the_script_without_a_traceback(tmp_path):
    (tmp_path / "videos").mkdir()
    done = run(
        "scripts/train.py",
        "data=folder",
        f"data.root={tmp_path / 'videos'}",
        f"hydra.run.dir={tmp_path / 'run'}",
    )
    assert done.returncode == 1
    assert "there are no videos in" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_prediction_without_a_checkpoint_says_so_and_leaves_no_file_behind(tmp_path):
    script = PROJECT / "scripts" / "predict.py"
    done = run(script, "checkpoint=none.ckpt", f"video={script}", cwd=tmp_path)
    assert done.returncode == 1
    assert "no checkpoint at 'none.ckpt'" in done.stderr
    assert not list(tmp_path.iterdir())


def test_commands_on_files_alone_import_no_torch():
    modules = (
        "from gcvideo.command.configuration import _composition;"
        "from gcvideo.command.dataset import _indexing, _reencoding, _kinetics"
    )
    names = "FrameIndex, check_video, parallel_map, write_list"
    done = run(
        "-c",
        f"import sys, gcvideo; {modules}; from gcvideo.data import {names};"
        "print('torch' in sys.modules)",
    )
    assert done.stdout.strip() == "False", done.stderr


@pytest.mark.parametrize("room", ["data", "command"])
def test_lazy_names_are_those_that_type_checkers_see(room):
    module = importlib.import_module(f"gcvideo.{room}")
    tree = ast.parse(Path(str(module.__file__)).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    lines = [line for line in block.body if isinstance(line, ast.ImportFrom)]
    seen = {(line.module, alias.name) for line in lines for alias in line.names}
    (call,) = (node.value for node in tree.body if isinstance(node, ast.Assign))
    homes = ast.literal_eval(call.args[1])
    assert seen == {
        (f"gcvideo.{room}.{home}", name) for home, names in homes.items() for name in names
    }
    for home, name in seen:
        assert getattr(module, name) is getattr(importlib.import_module(str(home)), name)
    with pytest.raises(AttributeError, match=f"module 'gcvideo.{room}' has no attribute 'nothing'"):
        module.nothing  # noqa: B018


def test_the_package_offers_its_names_without_importing_what_they_need():
    code = "import sys, gcvideo; print(*dir(gcvideo)); print(*sys.modules)"
    names, modules = run("-c", code).stdout.splitlines()
    assert {"__version__", *gcvideo.__all__} <= set(names.split())
    assert not {"torch", "numpy", "av", "lightning", "hydra"} & set(modules.split())
    for name in gcvideo.__all__:
        assert callable(getattr(gcvideo, name))
    with pytest.raises(AttributeError, match="module 'gcvideo' has no attribute 'laod'"):
        _ = gcvideo.laod


def test_import_contracts_catch_a_planted_violation(tmp_path):
    for name in ("gcvideo", "pyproject.toml"):
        source = PROJECT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    lint = Path(sys.executable).with_name("lint-imports")
    clean = subprocess.run([lint], cwd=tmp_path, capture_output=True, text=True)
    assert clean.returncode == 0, clean.stdout
    for module, line in (
        ("nn/_context.py", "import torchvision"),
        ("weights/_naming.py", "import gcvideo.models"),
        ("data/loading/_protocol.py", "import hydra"),
        ("inference/_classifier.py", "import av"),
        ("training/_optim.py", "import pytorchvideo.models"),
    ):
        planted = tmp_path / "gcvideo" / module
        text = planted.read_text()
        planted.write_text(f"{line}\n{text}")
        broken = subprocess.run([lint], cwd=tmp_path, capture_output=True, text=True)
        planted.write_text(text)
        assert broken.returncode != 0, f"{module}: {line}"


def test_no_file_is_longer_than_300_lines():
    for folder in ("gcvideo", "tests", "scripts", "conf", "benchmarks"):
        for path in (PROJECT / folder).rglob("*.py"):
            assert len(path.read_text().splitlines()) <= 300, path


def test_contributing_names_modules_that_exist():
    text = (PROJECT / "CONTRIBUTING.md").read_text()
    modules = {path.stem for path in (PROJECT / "gcvideo").rglob("*.py")}
    named = set(re.findall(r"`(?:\w+/)*(_[a-z]\w*)(?:\.py)?`", text)) - {"_target_"}
    assert len(named) > 20
    assert named <= modules
    paths = re.findall(r"`((?:gcvideo|conf|docs|tests)/[\w/.]+)`", text)
    assert len(paths) > 8
    for path in paths:
        assert (PROJECT / path).exists() or "NAME" in path or "COMMAND" in path, path
