"""The package as pip installs it, in a folder that is not the clone."""

import json
import os
import subprocess
import sys
import zipfile

import pytest
from gcvideo_runs import TINY

_TWO_RANKS = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "batch_size=2"]
# Command lines one after the other, in a process that imports once what each would take seconds for.
_PROGRAMS = """
import json, sys
from gcvideo.cli import main
for words in json.loads(sys.argv[1]):
    print("$", *words)
    sys.argv[1:] = words
    main()
"""


def test_the_wheel_holds_the_configuration_the_marker_of_types_and_the_program(wheel, project):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = next(name for name in names if name.endswith("entry_points.txt"))
        assert "gcvideo = gcvideo.cli:main" in archive.read(metadata).decode()
    for path in (project / "conf").rglob("*.yaml"):
        assert f"gcvideo/conf/{path.relative_to(project / 'conf').as_posix()}" in names
    assert {"gcvideo/py.typed", "gcvideo/report/page.html"} <= names
    assert not [
        n for n in names if not n.startswith("gcvideo") or "/tests/" in n or "benchmarks/" in n
    ]


@pytest.fixture(scope="module")
def installed(site):
    """Runs the installed program in an empty folder; imports cannot come from the clone."""
    (site / "gcvideo_program").write_text("from gcvideo.cli import main\nmain()\n")
    (site / "gcvideo_programs").write_text(_PROGRAMS)

    def run(folder, *words, program="gcvideo_program"):
        environment = os.environ | {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, str(site / program), *map(str, words)],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert (
            str(site)
            in subprocess.run(
                [sys.executable, "-c", "import gcvideo; print(gcvideo.__file__)"],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
            ).stdout
        )
        return done

    return run


def results_of(run):
    return json.loads((run / "results.json").read_text())


@pytest.mark.slow
def test_the_installed_program_trains_tests_predicts_sweeps_resumes_and_compares(
    installed, tmp_path, video_folder
):
    data = [*TINY, "data=folder", f"data.root={video_folder}", "model=c2d_gc"]
    recipe = [word for word in data if not word.startswith("model=")]
    folder = tmp_path / "my runs" / "first (1)"
    checkpoint = str(folder / "checkpoints" / "best.ckpt")
    video = str(video_folder / "dark" / "dark_0.mp4")
    commands = [
        ["train", *data, "hydra.run.dir=my runs/first (1)"],
        ["test", checkpoint, "trainer=cpu", "num_workers=0", "hydra.run.dir=tested"],
        ["predict", checkpoint, video, "device=cpu", "output=scores.jsonl"],
        ["train", "-m", *data, "lr=0.01,0.02"],
        ["train", f"resume={folder}"],
        ["compare", "model=c2d", "block=none,gc", "folder=compared", *recipe],
    ]
    done = installed(tmp_path, json.dumps(commands), program="gcvideo_programs")
    assert done.returncode == 0, done.stderr
    printed = done.stdout.split("$ ")[1:]
    assert len(printed) == len(commands)
    assert results_of(tmp_path / "tested")["videos_failed"] == 0
    found = json.loads((tmp_path / "scores.jsonl").read_text())
    assert {entry["name"] for entry in found["classes"]} == {"dark", "light"}
    (sweep,) = (tmp_path / "runs" / "sweep").iterdir()
    assert (sweep / "sweep.csv").read_text().count("\n") == 3
    assert "step" in printed[4]
    assert (tmp_path / "compared" / "report.html").is_file()


@pytest.mark.slow
def test_the_other_ranks_of_the_installed_program_know_its_command(
    installed, tmp_path, video_folder
):
    """Lightning starts them with the command line of the first."""
    tiny = [word for word in TINY if not word.startswith(("trainer=", "batch_size="))]
    data = ["data=folder", f"data.root={video_folder}", "model=c2d_gc"]
    done = installed(tmp_path, "train", *tiny, *data, *_TWO_RANKS, "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    assert "4 views per step: 2 x 2 CPU" in done.stdout
    checkpoint = tmp_path / "run" / "checkpoints" / "best.ckpt"
    two = [word for word in _TWO_RANKS if not word.startswith("batch")]
    given = [*two, "num_workers=0", "hydra.run.dir=tested"]
    done = installed(tmp_path, "test", checkpoint, *given)
    assert done.returncode == 0, done.stderr
    assert results_of(tmp_path / "tested")["videos_scored"] == 2
    assert not list((tmp_path / "tested").glob("train*.log"))


@pytest.mark.slow
def test_loading_a_net_needs_neither_tensorboard_nor_launchers():
    code = (
        "import sys\n"
        "for name in ('tensorboard', 'joblib', 'hydra_plugins', 'submitit', 'onnx', 'onnxruntime'):\n"
        "    sys.modules[name] = None\n"
        "import gcvideo\n"
        "from gcvideo.command._testing import test\n"
        "from gcvideo.command.predict._prediction import predict\n"
        "from gcvideo.command.train._training import train\n"
        "print(gcvideo.load.__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "load", done.stderr
