"""The tests on each combination of processor, threads, Python and versions that the project claims.

    python .ci/matrix.py [NAME ...]

Takes all combinations or those named, prints pytest's closing line of each and last a table for
CONTRIBUTING.md. Virtual environments and pytest's outputs stay in ``.matrix/``; a Python is looked for
on the PATH and among those of pyenv.
"""

import datetime
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
FOLDER = PROJECT / ".matrix"
CLUSTER = FOLDER / "cluster"


@dataclass(frozen=True)
class Combination:
    """What a run of the tests is given.

    Args:
        about: what it stands for, as the table says it.
        python: version of Python.
        pip: words for pip besides the project; what they leave open is the newest release.
        variables: of the environment.
        tests: marker expression of pytest; None for the default suite.
    """

    about: str
    python: str = "3.11"
    pip: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    tests: str | None = None

    @property
    def environment(self) -> Path:
        """Folder of a virtual environment; those that differ in a package or two share one."""
        return FOLDER / (f"{self.python}-oldest" if "-c" in self.pip else self.python)


COMBINATIONS = {
    "newest": Combination("newest versions"),
    "oldest": Combination("lowest versions of all bounds", pip=("-c", "constraints/oldest.txt")),
    "python313": Combination("newest versions", python="3.13"),
    "pyav17": Combination("PyAV 17.1", pip=("av==17.1.*",)),
    "pyav18": Combination("PyAV 18", pip=("av==18.*",)),
    "pyav19": Combination("PyAV 19", pip=("av==19.*",)),
    "avx2": Combination("a processor without AVX-512", variables={"ONEDNN_MAX_CPU_ISA": "AVX2"}),
    "sse41": Combination(
        "a processor without AVX",
        variables={"ONEDNN_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default"},
    ),
    "threads1": Combination(
        "one thread", variables={"GCVIDEO_TEST_THREADS": "1", "OMP_NUM_THREADS": "1"}
    ),
    "threads2": Combination(
        "two threads", variables={"GCVIDEO_TEST_THREADS": "2", "OMP_NUM_THREADS": "2"}
    ),
    "slow": Combination("slow tests", tests="slow and not gpu"),
    "srun": Combination(
        "an `srun` on the PATH, slow tests too",
        variables={"PATH": f"{CLUSTER}{os.pathsep}{os.environ['PATH']}"},
        tests="not gpu",
    ),
}


def main(names: list[str]) -> int:
    """Run the named combinations, or all; 1 if one failed, 2 for a name that there is not."""
    for name in names:
        if name not in COMBINATIONS:
            print(f"no combination is called '{name}'; there are: {', '.join(COMBINATIONS)}")
            return 2
    make_cluster()
    rows, status = [], 0
    for name in names or COMBINATIONS:
        combination = COMBINATIONS[name]
        python = find_python(combination.python)
        if python is None:
            print(f"{name}: left out, there is no Python {combination.python} here", flush=True)
            continue
        has_passed, closing = run(name, combination, python)
        print(f"{name}: {closing}", flush=True)
        status |= not has_passed
        rows.append(row(name, combination, closing))
    print(f"\n{machine()}, {datetime.datetime.now(datetime.UTC):%Y-%m-%d}\n")
    print("| `only=` | what | Python | torch | PyAV | result |\n|---|---|---|---|---|---|")
    print("\n".join(rows))
    return status


def make_cluster() -> None:
    """What a login node of a cluster has: a command that no test shall need."""
    CLUSTER.mkdir(parents=True, exist_ok=True)
    srun = CLUSTER / "srun"
    srun.write_text("#!/bin/sh\necho 'srun: only a stand-in' >&2\nexit 1\n")
    srun.chmod(0o755)


def find_python(version: str) -> str | None:
    """A shim of pyenv is on the PATH, and fails, where its version is not chosen."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for candidate in (f"python{version}", *sorted(pyenv.glob(f"{version}.*/bin/python"))):
        try:
            subprocess.run([candidate, "-c", ""], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return str(candidate)
    return None


def run(name: str, combination: Combination, python: str) -> tuple[bool, str]:
    """Whether the tests have passed, and pytest's closing line."""
    log, venv = FOLDER / f"{name}.log", combination.environment
    if not venv.is_dir():
        subprocess.run([python, "-m", "venv", venv], check=True)
    install = [venv / "bin" / "pip", "install", "--upgrade", "--upgrade-strategy", "eager"]
    tests = [venv / "bin" / "pytest", *(["-m", combination.tests] if combination.tests else [])]
    path = combination.variables.get("PATH", os.environ["PATH"])
    variables = dict(combination.variables) | {"PATH": f"{venv / 'bin'}{os.pathsep}{path}"}
    with log.open("w") as stream:
        # A configuration file of the machine may cap what pip takes.
        is_installed = not subprocess.run(
            [*install, "-e", ".[dev,slurm]", *combination.pip],
            cwd=PROJECT,
            env=os.environ | {"PIP_CONFIG_FILE": os.devnull},
            stdout=stream,
            stderr=subprocess.STDOUT,
        ).returncode
        if not is_installed:
            return False, f"cannot be installed, see {log}"
        stream.flush()
        has_passed = not subprocess.run(
            tests, cwd=PROJECT, env=os.environ | variables, stdout=stream, stderr=subprocess.STDOUT
        ).returncode
    return has_passed, closing_line(log.read_text()) or f"no closing line, see {log}"


def closing_line(printed: str) -> str | None:
    """Pytest's last line, as "3200 passed, 80 skipped in 300.12s (0:05:00)"."""
    lines = re.findall(r"^=*\s*(\d+ \w+.* in [\d.]+s.*?)\s*=*$", printed, re.MULTILINE)
    return lines[-1] if lines else None


def row(name: str, combination: Combination, closing: str) -> str:
    """Of the table."""
    code = (
        "import platform; from importlib.metadata import version;"
        "print(platform.python_version(), version('torch'), version('av'), sep=' | ')"
    )
    python = combination.environment / "bin" / "python"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    versions = done.stdout.strip() or "? | ? | ?"
    return f"| `{name}` | {combination.about} | {versions} | {closing} |"


def machine() -> str:
    """Number of cores, processor, and its vector instructions."""
    described = Path("/proc/cpuinfo")
    text = described.read_text() if described.is_file() else ""
    (name,) = re.findall(r"^model name\s*: (.*)$", text, re.MULTILINE)[:1] or [platform.processor()]
    known = ("avx2", "avx512f", "avx512_bf16", "amx_tile")
    has = [flag for flag in known if re.search(rf"\b{flag}\b", text)]
    return f"{os.cpu_count()} cores, {name} ({', '.join(has)})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
