import importlib
import platform
import shlex
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import gcvideo
from gcvideo.doctor._finding import Finding


def check_python() -> Finding:
    """The interpreter against ``requires-python``."""
    found, needed = platform.python_version(), metadata("gcvideo")["Requires-Python"]
    if not SpecifierSet(needed).contains(found, prereleases=True):
        return Finding(
            "fail",
            f"{found}, but gcvideo needs {needed}",
            f"make an environment with Python {needed}",
        )
    return Finding("ok", found)


def check_gcvideo() -> Finding:
    """The running code against the installed metadata, which the other versions are compared with."""
    folder = Path(gcvideo.__file__).parent
    try:
        installed = version("gcvideo")
    except PackageNotFoundError:
        return Finding(
            "fail",
            f"{gcvideo.__version__} in {folder} is not installed",
            "run `pip install -e .` in the checkout, which also brings what it needs",
        )
    if installed != gcvideo.__version__:
        return Finding(
            "warn",
            f"{gcvideo.__version__} in {folder}, but version {installed} was installed",
            "run `pip install -e .` again, for the packages it needs may have changed",
        )
    return Finding("ok", f"{installed} in {folder}")


def check_packages() -> Finding:
    """Every package that gcvideo needs against its lower bound."""
    seen, wrong, wanted = [], [], []
    for requirement in map(Requirement, requires("gcvideo") or ()):
        # Without an extra, only what every installation needs.
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
        return Finding("fail", "; ".join(wrong), f"run `pip install {' '.join(wanted)}`")
    return Finding("ok", ", ".join(seen))


def check_import() -> Finding:
    """Everything that training, testing and prediction load; a failure shows as the exception."""
    importlib.import_module("gcvideo.command")
    return Finding("ok", "training, testing and prediction load")
