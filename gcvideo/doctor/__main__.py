import argparse
import importlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.text import Text

from gcvideo._console import Console
from gcvideo._invocation import command_line
from gcvideo.doctor._finding import Finding

# Modules by name, for a package that cannot be loaded must fail its own checks alone.
_CHECKS = (
    ("gcvideo", "version", "check_gcvideo"),
    ("python", "version", "check_python"),
    ("packages", "version", "check_packages"),
    ("torch and torchvision", "torch_build", "check_torch_build"),
    ("import", "version", "check_import"),
    ("decoder h264", "decoder", "check_decoder", "h264"),
    ("decoder mpeg4", "decoder", "check_decoder", "mpeg4"),
    ("decoder vp8", "decoder", "check_decoder", "vp8"),
    ("decoder vp9", "decoder", "check_decoder", "vp9"),
    ("decoder hevc", "decoder", "check_decoder", "hevc"),
    ("decoder av1", "decoder", "check_decoder", "av1"),
    ("processor", "processor", "check_processor"),
    ("GPU", "gpu", "check_gpu"),
    ("bf16", "precision", "check_bf16"),
    ("NCCL", "distributed", "check_nccl"),
    ("gloo", "distributed", "check_gloo"),
    ("shared memory", "shared_memory", "check_shared_memory"),
    ("open files", "limit", "check_open_files"),
    ("temporary folder", "limit", "check_temporary_folder"),
    ("cache folder", "limit", "check_cache_folder"),
)
_COLORS = {"ok": "green", "warn": "yellow", "fail": "red"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each check; 0 if none failed, else 1.

    Args:
        arguments: of the command line; None: those of this process.
    """
    parser = argparse.ArgumentParser(
        prog=command_line("doctor"), description="Check whether this machine can train."
    )
    parser.add_argument("--quick", action="store_true", help="start no processes to try gloo")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the findings here")
    options = parser.parse_args(arguments)
    console = Console()
    rows = []
    for name, finding in _findings(quick=options.quick):
        rows.append({"check": name, **asdict(finding)})
        console.print(_line(name, finding), soft_wrap=True)
    num_failed = sum(row["status"] == "fail" for row in rows)
    if options.json:
        try:
            _write(options.json, rows)
        except OSError as error:
            console.print(
                f"error: '{options.json}' cannot be written ({error.strerror}); give --json another file",
                soft_wrap=True,
            )
            return 1
    return 1 if num_failed else 0


def _findings(*, quick: bool) -> Iterator[tuple[str, Finding]]:
    for name, module, function, *arguments in _CHECKS:
        yield name, run_check(module, function, *([not quick] if name == "gloo" else arguments))


def run_check(module: str, function: str, *arguments: object) -> Finding:
    """The finding of a check; one that crashes or cannot be loaded has failed.

    Args:
        module: below ``gcvideo.doctor``.
        function: in the module.
        arguments: of the function.
    """
    try:
        check = getattr(importlib.import_module(f"gcvideo.doctor._{module}"), function)
        return check(*arguments)
    except Exception as error:
        text = " ".join(str(error).split())
        return Finding(
            "fail",
            f"{type(error).__name__}: {text}",
            "repair what the message names, as by `pip install --force-reinstall` of the package",
        )


def _line(name: str, finding: Finding) -> Text:
    line = Text.assemble((f"{finding.status:4}", _COLORS[finding.status]), f"  {name}: ")
    return line.append(finding.finding + (f"; {finding.remedy}" if finding.remedy else ""))


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    draft = path.with_name(path.name + ".draft")
    draft.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    draft.replace(path)


if __name__ == "__main__":
    raise SystemExit(main())
