"""Checks of the installed packages: their versions, and whether they work together."""

import importlib
import platform
import shlex
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import gcvideo
from gcvideo.doctor import Finding, fail, ok, warn

_TORCH_REMEDY = (
    "reinstall both with one command from one index, as given by the selector on pytorch.org"
)


def check_python() -> Finding:
    """The interpreter against ``requires-python``."""
    found, needed = platform.python_version(), metadata("gcvideo")["Requires-Python"]
    if not SpecifierSet(needed).contains(found, prereleases=True):
        return fail(
            f"{found}, but gcvideo needs {needed}",
            f"make an environment with Python {needed}",
        )
    return ok(found)


def check_gcvideo() -> Finding:
    """The running code against the installed metadata, which the other checks use."""
    folder = Path(gcvideo.__file__).parent
    try:
        installed = version("gcvideo")
    except PackageNotFoundError:
        return fail(
            f"{gcvideo.__version__} in {folder} is not installed",
            "run `pip install -e .` in the checkout, which also installs what it needs",
        )
    if installed != gcvideo.__version__:
        return warn(
            f"{gcvideo.__version__} in {folder}, but version {installed} was installed",
            "run `pip install -e .` again: the packages it needs may have changed",
        )
    return ok(f"{installed} in {folder}")


def check_packages() -> Finding:
    """Every package that gcvideo needs against its lower bound."""
    seen, wrong, wanted = [], [], []
    for requirement in map(Requirement, requires("gcvideo") or ()):
        # Without extras: only what every installation needs.
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            found = None
        seen.append(f"{requirement.name} {found}")
        if found is None or not requirement.specifier.contains(found, prereleases=True):
            what = f"is {found}" if found else "is missing"
            wrong.append(f"{requirement.name} {what}, needed {requirement.specifier}")
            wanted.append(shlex.quote(f"{requirement.name}{requirement.specifier}"))
    if wrong:
        return fail("; ".join(wrong), f"run `pip install {' '.join(wanted)}`")
    return ok(", ".join(seen))


def check_import() -> Finding:
    """Whether training, testing and prediction load; otherwise the exception becomes the finding."""
    importlib.import_module("gcvideo.command")
    return ok("training, testing and prediction load")


def check_torch_build() -> Finding:
    """Whether torchvision was built for this torch and the same CUDA, tested with an operator."""
    import torch  # noqa: PLC0415 (the other checks must run even if it does not load)

    seen = f"torch {torch.__version__} (CUDA {torch.version.cuda or 'none'})"
    try:
        torchvision = importlib.import_module("torchvision")
    except (ImportError, OSError, RuntimeError) as error:
        return fail(f"{seen}, but torchvision does not load with it ({error})", _TORCH_REMEDY)
    number = torch.ops.torchvision._cuda_version()  # 13020 for 13.2; negative without CUDA
    cuda = None if number < 0 else f"{number // 1000}.{number % 1000 // 10}"
    seen += f", torchvision {torchvision.__version__} (CUDA {cuda or 'none'})"
    boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 2.1]])
    try:
        kept = torchvision.ops.nms(boxes, torch.tensor([1.0, 0.5]), 0.5)
    except RuntimeError as error:
        return fail(f"{seen}: torchvision's operators do not run ({error})", _TORCH_REMEDY)
    if kept.tolist() != [0]:
        return fail(f"{seen}: torchvision's operators compute wrongly", _TORCH_REMEDY)
    if cuda != torch.version.cuda:
        return fail(f"{seen} were built for different CUDA versions", _TORCH_REMEDY)
    return ok(seen)
