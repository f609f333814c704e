import contextlib
import gc
import importlib
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import hypothesis
import jaxtyping
import numpy as np
import pytest
import torch
from headless_browser import CHROMIUM, Browser
from new_tensor import LargestNewTensor
from torch import nn

from gcvideo.data import write_video

PROJECT = Path(__file__).resolve().parent.parent

# Nets of tests are tiny: on a busy machine the threads of an operator only wait for each other,
# which makes a forward pass a hundred times slower.
torch.set_num_threads(int(os.environ.get("GCVIDEO_TEST_THREADS", "1")))

# The handler of absl, which TensorBoard and nncf import, closes its stream when Hydra configures logging,
# unless it is one that it knows; pytest's, which stood for stderr when absl was imported, is none.
with contextlib.suppress(ModuleNotFoundError):
    absl_handler = importlib.import_module("absl.logging").get_absl_handler()
    absl_handler.python_handler.stream = sys.__stderr__

# A busy machine takes longer for some example than for the others.
hypothesis.settings.register_profile("gcvideo", deadline=None)
hypothesis.settings.load_profile("gcvideo")

# Tests that run within a job of SLURM are no tasks of it.
for name in [name for name in os.environ if name.startswith("SLURM_")]:
    del os.environ[name]


@pytest.fixture
def browser(tmp_path):
    if CHROMIUM is None:
        pytest.skip("there is no chromium, chromium-browser or google-chrome")
    browser = Browser(tmp_path / "profile")
    yield browser
    browser.close()


@pytest.fixture(autouse=True)
def _restored_random_state():
    """Each test starts from the same random numbers and leaves none behind."""
    torch_state, numpy_state = torch.random.get_rng_state(), np.random.get_state()  # noqa: NPY002
    torch.manual_seed(0)
    yield
    torch.random.set_rng_state(torch_state)
    np.random.set_state(numpy_state)  # noqa: NPY002


@pytest.fixture
def unchecked():
    """What users without the test-time type checker see: our own messages."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def largest_new_tensor():
    return LargestNewTensor()


# What begins first: one worker runs the documented commands, whose nets take half a minute, and another takes
# tests off its end, where otherwise one of a minute would be left alone.
FIRST = (
    *("test_documentation.py", "test_ranks.py", "test_compiled_training.py", "test_installed.py"),
    "test_sweep.py",
)


def pytest_collection_modifyitems(items):
    """Long tests begin first; GPU tests skip without a GPU, or fail where one is required (REQUIRE_GPU=1)."""
    order = {name: number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: order.get(item.path.name, len(FIRST)))
    if torch.cuda.is_available() or os.environ.get("REQUIRE_GPU") == "1":
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


def pytest_configure():
    """Tests that started in the background of a script would inherit that SIGINT is ignored."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish():
    """Modules and tests stay to the end: no full collection of garbage need look through them again."""
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory):
    """What tests keep does not mix with what their user keeps."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GCVIDEO_CACHE", str(folder))
        yield


@pytest.fixture(scope="session")
def project():
    return PROJECT


@pytest.fixture(scope="session")
def shared_data():
    """Folder of real videos and parity vectors; the tests that need it skip where it is absent."""
    folder = Path(os.environ.get("GCVIDEO_DATA", PROJECT / ".." / "shared" / "data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no data at {folder}; set GCVIDEO_DATA")
    return folder


@pytest.fixture
def benchmark():
    """Loads a module of the benchmarks; the threads that a script chooses are its own."""
    num_threads = torch.get_num_threads()
    yield importlib.import_module
    torch.set_num_threads(num_threads)


@pytest.fixture
def randomised():
    """Give a net random parameters and statistics, so that no zero start hides a mistake."""

    def randomise(net):
        for name, tensor in net.state_dict().items():
            if not tensor.is_floating_point():
                continue
            if name.endswith("running_var") or (name.endswith("weight") and tensor.ndim == 1):
                tensor.uniform_(0.5, 1)
            elif tensor.ndim == 1:
                tensor.uniform_(-0.3, 0.3)
            else:
                nn.init.kaiming_normal_(tensor)
        return net.eval()

    return randomise


@pytest.fixture(scope="session")
def on_meta():
    """Build a net of full size without its memory."""

    def build(make, **arguments):
        with torch.device("meta"):
            return make(**arguments)

    return build


def numbered_frames(num_frames, height=48, width=64):
    """Grey frames whose level tells their number: frame i has the level 8 + 6 i."""
    levels = 8 + 6 * np.arange(num_frames)
    return np.broadcast_to(levels[:, None, None, None], (num_frames, height, width, 3)).astype(
        np.uint8
    )


@pytest.fixture(scope="session")
def video_folder(tmp_path_factory):
    """Two classes of six short videos each: class folders "dark" and "light"."""
    root = tmp_path_factory.mktemp("videos")
    for label, name in enumerate(("dark", "light")):
        (root / name).mkdir()
        for number in range(6):
            frames = numbered_frames(20) // 2 + 120 * label
            write_video(root / name / f"{name}_{number}.mp4", frames.astype(np.uint8))
    return root


@pytest.fixture(scope="session")
def wheel(project, tmp_path_factory):
    """The package as it is published."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder]
    subprocess.run([*command, project], check=True, capture_output=True, text=True)
    (path,) = folder.glob("gcvideo-*.whl")
    return path


@pytest.fixture(scope="session")
def site(wheel, tmp_path_factory):
    """A folder with the package as pip installs it, for PYTHONPATH."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder
