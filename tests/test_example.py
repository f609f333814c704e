"""The programs of examples run in an empty folder, with the package as pip installs it."""

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.dataset
import pytest
import yaml
from gcvideo_runs import TINY
from shared_net import make_shared

import gcvideo
from gcvideo.data import VideoReadError

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
PROGRAMS = sorted(path.name for path in EXAMPLES.glob("*.py"))
_MAX_LINES = {"service.py": 300, "ray_data.py": 80}  # of the others 60


def test_examples_are_short_and_each_is_run_and_listed(project):
    runs, table = Path(__file__).read_text(), (project / "docs" / "examples.md").read_text()
    # Of two programs, modules of their own are the tests.
    others = "".join(
        (project / "tests" / name).read_text()
        for name in ("inference/test_export_example.py", "running_service.py")
    )
    for name in PROGRAMS:
        text = (EXAMPLES / name).read_text()
        assert len(text.splitlines()) < _MAX_LINES.get(name, 60)
        assert ast.get_docstring(ast.parse(text))
        assert (
            f'"{name}"' in runs + others
        )  # onnx_program.py and service.py have modules of their own
    listed = re.findall(r"^\| \[(\S+)\]\(\.\./examples/(\S+)\)", table, re.MULTILINE)
    assert sorted(listed) == sorted((p.name, p.name) for p in EXAMPLES.glob("*.*"))


@pytest.fixture(scope="module")
def run(site, tmp_path_factory):
    """Runs a program in a folder that holds nothing of the clone; gives what it prints."""
    folder = tmp_path_factory.mktemp("empty")

    def run(*words, more=()):
        done = subprocess.run(
            [sys.executable, *map(str, words)],
            cwd=folder,
            env=os.environ
            | {"PYTHONPATH": os.pathsep.join(map(str, [site, *more])), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run.folder = folder
    return run


@pytest.fixture(scope="module")
def net(run, video_folder):
    """A net that the first example has fine-tuned on two classes, from random weights of three."""
    start = make_shared().save_pretrained(run.folder / "start")
    words = ["--width", 4, "--num-frames", 4, "--crop-size", 32, "--epochs", 1, "--weights", start]
    out = run(EXAMPLES / "finetune.py", "--videos", video_folder, *words)
    assert re.search(r"^validation top-1 [01]\.\d+\nsaved in finetuned$", out, re.MULTILINE)
    return run.folder / "finetuned"


def scores_in(text):
    """Class and score of the lines "0.1234 name"."""
    return {name: float(score) for score, name in re.findall(r"([01]\.\d{4}) (\w+)$", text, re.M)}


@pytest.mark.slow
def test_a_net_is_fine_tuned_from_the_weights_of_another(net):
    tuned, start = (gcvideo.load(folder, device="cpu") for folder in (net, net.with_name("start")))
    assert tuned.classes == ("dark", "light")
    pairs = zip(tuned.model.net.parameters(), start.model.net.parameters(), strict=True)
    moved = [(a - b).abs().max() for a, b in pairs if a.shape == b.shape]
    assert 0 < max(moved) < 0.2  # of weights that were drawn anew it would be more


@pytest.mark.slow
def test_a_linear_layer_on_features_tells_dark_from_light(run, net, video_folder):
    out = run(EXAMPLES / "linear_probe.py", net, "--videos", video_folder)
    assert re.search(r"^train top-1 1\.000 on 10 videos$", out, re.MULTILINE)
    assert re.search(r"^val   top-1 1\.000 on 2 videos\nchance top-1 0\.500$", out, re.MULTILINE)


@pytest.mark.slow
def test_openvino_gives_the_scores_of_torch(run, net, video_folder):
    pytest.importorskip("openvino", reason="needs the extra openvino")
    video = video_folder / "dark" / "dark_0.mp4"
    out = run(EXAMPLES / "openvino_program.py", net, video)
    assert float(re.search(r"at most (\S+) from torch", out)[1]) < 1e-3
    assert sum(scores_in(out).values()) == pytest.approx(1, abs=2e-4)


@pytest.mark.slow
def test_a_worker_answers_for_each_path_and_survives_a_bad_file(run, net, video_folder, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    videos = [video_folder / "dark" / "dark_0.mp4", bad, video_folder / "light" / "light_0.mp4"]
    lines = run(EXAMPLES / "queue_worker.py", net, *videos).splitlines()
    assert [line.split(" ")[0] for line in lines] == [str(video) for video in videos]
    assert "cannot read video" in lines[1]
    for line in (lines[0], lines[2]):
        assert set(re.findall(r"(dark|light) [01]\.\d{3}", line)) == {"dark", "light"}


@pytest.mark.slow
def test_ray_data_has_the_best_class_of_each_video_and_reports_to_nobody(
    run, net, video_folder, tmp_path, monkeypatch
):
    found = importlib.util.find_spec("ray")
    if found is None:
        pytest.skip("needs ray[data]")
    monkeypatch.setenv("RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES", "200000000")
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    videos = [*sorted(video_folder.glob("*/*.mp4")), tmp_path / "bad.mp4", tmp_path / "none.mp4"]
    (tmp_path / "list.txt").write_text("".join(f"{video}\n" for video in videos))
    start = "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], None, '__main__'); "
    start += "import os; print(os.environ['RAY_USAGE_STATS_ENABLED'])"
    words = [EXAMPLES / "ray_data.py", net, tmp_path / "list.txt", tmp_path / "scores"]
    location = Path(found.origin).parents[1]
    assert run("-c", start, *words, "--actors", 1, more=[location]).splitlines()[-1] == "0"

    rows = pyarrow.dataset.dataset(tmp_path / "scores").to_table().to_pylist()
    assert len(rows) == len(videos)
    of_path = {row.pop("path"): row for row in rows}
    classifier = gcvideo.load(net, device="cpu").for_inference()
    for index, result in gcvideo.classify_videos(classifier, videos, num_workers=0, progress=False):
        expected = dict.fromkeys(("label", "name", "score", "error"))
        if isinstance(result, VideoReadError):
            expected["error"] = str(result)
        else:
            (best,) = classifier.rank(result, 1)
            expected |= {"label": best.label, "name": best.name, "score": best.score}
        assert of_path[str(videos[index])] == expected


def cells_of(notebook):
    content = json.loads(notebook.read_text())
    return [cell for cell in content["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_is_kept_without_outputs():
    for cell in cells_of(EXAMPLES / "own_clips.ipynb"):
        assert not cell["outputs"]
        assert cell["execution_count"] is None


@pytest.mark.slow
def test_the_notebook_leads_from_clips_to_predictions(run):
    text = "\n\n".join("".join(cell["source"]) for cell in cells_of(EXAMPLES / "own_clips.ipynb"))
    small = [word for word in TINY if not word.startswith("batch_size")]
    for large, tiny in (
        ('["model=i3d_gc"]', repr(["model=i3d_gc", *small, "batch_size=4"])),
        ("demo_videos()", "demo_videos(train_per_class=1, val_per_class=1)"),
    ):
        assert large in text
        text = text.replace(large, tiny)
    (run.folder / "cells.py").write_text(f"if __name__ == '__main__':\n{_indented(text)}")
    out = run("cells.py")
    assert "8 clips to learn from, 8 held out" in out
    assert re.search(r"\d mistakes in 8 clips", out)
    assert out.count("Prediction(") == 3
    assert (run.folder / "shared" / "model.safetensors").is_file()


def _indented(text):
    return "".join(f"    {line}\n" for line in text.splitlines())


def test_the_citation_names_this_version(project):
    citation = yaml.safe_load((project / "CITATION.cff").read_text())
    assert citation["version"] == gcvideo.__version__
    papers = {reference["title"] for reference in citation["references"]}
    assert "Non-local Neural Networks" in papers
    assert any(title.startswith("GCNet") for title in papers)
    assert citation["license"] == "Apache-2.0"
