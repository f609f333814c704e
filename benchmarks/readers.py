"""What readers make of files that are not plain: one table, each cell from a run.

python benchmarks/readers.py --output docs/readers.md --decord2 FOLDER
python benchmarks/readers.py --reader gcvideo PyAV --case "open GOP"

decord2 has a module of decord's name; pip's "--no-deps --target FOLDER" keeps it apart. A reader
that cannot be had is left out by name. With --json the answers are kept as they were.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distributions
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from frame_case import frame_cases
from picture_case import picture_cases
from reader import READERS
from reader_answer import ANSWER
from reader_case import Case
from reader_table import cell, page
from time_case import time_cases

from gcvideo import __version__

SCRIPT = Path(__file__).with_name("reader_answer.py")


def environment(name: str, folder: Path, decord2: Path | None) -> dict[str, str]:
    """Of the process of a reader: what it needs beside its own wheel.

    Args:
        name: key of ``READERS``.
        folder: to make links in.
        decord2: where this package was put.
    """
    libraries: list[Path] = []
    packages = [Path(__file__).resolve().parent, Path(__file__).resolve().parent.parent]
    if name == "decord2" and decord2:
        packages.insert(0, decord2.resolve())
    if name.startswith("torchcodec"):
        libraries = link_ffmpeg(folder)
    if name == "video-reader-rs":
        # Its libraries look for each other where they were built.
        libraries = [path / "video_reader_rs.libs" for path in map(Path, sys.path)]
    added = {"PYTHONPATH": packages, "LD_LIBRARY_PATH": [p for p in libraries if p.is_dir()]}
    joined = {
        key: os.pathsep.join([*map(str, paths), *filter(None, [os.environ.get(key)])])
        for key, paths in added.items()
    }
    return {**os.environ, **joined}


def link_ffmpeg(folder: Path) -> list[Path]:
    """Link the FFmpeg in PyAV's wheel by the names that torchcodec looks for; folders to search."""
    links = folder / "ffmpeg"
    links.mkdir(exist_ok=True)
    wheel = [path / "av.libs" for path in map(Path, sys.path)]
    for path in wheel:
        for library in path.glob("lib*-*.so.*"):
            # libavcodec-HASH.so.62.28.102 is known as libavcodec.so.62.
            name, _, version = library.name.partition(".so.")
            link = links / f"{name.rpartition('-')[0]}.so.{version.partition('.')[0]}"
            link.unlink(missing_ok=True)
            link.symlink_to(library)
    return [links, *wheel]


def ask(
    name: str, files: Sequence[tuple[str, int]], environment: dict[str, str]
) -> list[dict[str, Any]]:
    """What a reader answers about each file; a process that ends early is started anew behind it.

    Args:
        name: key of ``READERS``.
        files: paths, and how many frames a player shows.
        environment: of the process.
    """
    answers: list[dict[str, Any]] = []
    while len(answers) < len(files):
        paths, counts = zip(*files[len(answers) :], strict=True)
        done = subprocess.run(
            [sys.executable, str(SCRIPT), name, ",".join(map(str, counts)), *paths],
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        lines = [line for line in done.stdout.splitlines() if line.startswith(ANSWER)]
        answers += [json.loads(line.removeprefix(ANSWER)) for line in lines]
        if len(lines) < len(paths):
            is_late = "Timeout (" in done.stderr
            answers.append({"ended": "hangs" if is_late else f"ends with status {done.returncode}"})
    return answers


def version_of(package: str, paths: Sequence[str]) -> str:
    """Version of a package in folders; raises PackageNotFoundError if it is not there."""
    if package == "gcvideo":  # which need not be installed
        return __version__
    for found in distributions(name=package, path=list(paths)):
        return found.version
    raise PackageNotFoundError(package)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the files, ask the readers, write the page; 1 if gcvideo is wrong where no reason is known."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--reader", nargs="+", choices=READERS, default=list(READERS))
    parser.add_argument("--case", default="", help="only situations with this in their name")
    parser.add_argument("--decord2", type=Path, help="folder that decord2 was installed to")
    parser.add_argument("--json", type=Path, help="file for the answers")
    parser.add_argument("--output", type=Path, help="file for the page; else it is printed")
    chosen = parser.parse_args(arguments)
    cases = [case for case in all_cases() if chosen.case in case.name]
    versions: dict[str, str] = {}
    answers: dict[str, list[dict[str, Any]]] = {}
    with TemporaryDirectory() as temporary:
        files = make_files(cases, Path(temporary))
        for name in chosen.reader:
            package = READERS[name][1]
            search = [str(chosen.decord2), *sys.path] if package == "decord2" else sys.path
            try:
                versions[name] = version_of(package, search)
            except PackageNotFoundError:
                print(f"{name}: left out, the package {package} is not installed", file=sys.stderr)
                continue
            print(f"{name} {versions[name]} ...", file=sys.stderr)
            answers[name] = ask(name, files, environment(name, Path(temporary), chosen.decord2))
    if chosen.json:
        chosen.json.write_text(json.dumps({"versions": versions, "answers": answers}, indent=1))
    text = page(cases, answers, versions)
    if chosen.output:
        chosen.output.write_text(text)
    else:
        print(text)
    ours = zip(cases, answers.get("gcvideo", []), strict=False)
    return int(any(cell(case, answer) != "ok" and not case.ours for case, answer in ours))


def all_cases() -> list[Case]:
    """The rows of the table."""
    return [*frame_cases(), *time_cases(), *picture_cases()]


def make_files(cases: Sequence[Case], folder: Path) -> list[tuple[str, int]]:
    """The files of cases, and how many frames a player shows."""
    files = []
    for number, case in enumerate(cases):
        place = folder / str(number)
        place.mkdir()
        files.append((str(case.make(place)), len(case.numbers)))
    return files


if __name__ == "__main__":
    sys.exit(main())
