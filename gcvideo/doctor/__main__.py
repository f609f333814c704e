"""The command, which prints a line for each check."""

import argparse
import importlib
import json
from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from gcvideo._console import Console
from gcvideo._draft import draft_of
from gcvideo._invocation import command_line
from gcvideo.doctor import Finding, fail

# Modules by name, so that a package that cannot be loaded fails only its own checks.
_CHECKS = (
    ("gcvideo", "installation", "check_gcvideo"),
    ("python", "installation", "check_python"),
    ("packages", "installation", "check_packages"),
    ("torch and torchvision", "installation", "check_torch_build"),
    ("import", "installation", "check_import"),
    *(
        (f"decoder {codec}", "decoder", "check_decoder", codec)
        for codec in ("h264", "mpeg4", "vp8", "vp9", "hevc", "av1")
    ),
    ("processor", "limit", "check_processor"),
    ("GPU", "device", "check_gpu"),
    ("bf16", "device", "check_bf16"),
    ("NCCL", "device", "check_nccl"),
    ("gloo", "device", "check_gloo"),
    ("shared memory", "limit", "check_shared_memory"),
    ("open files", "limit", "check_open_files"),
    ("temporary folder", "limit", "check_folder", "TMPDIR"),
    ("cache folder", "limit", "check_folder", "GCVIDEO_CACHE"),
)
_COLORS = {"ok": "green", "warn": "yellow", "fail": "red"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each check; 0 if none failed, else 1."""
    parser = argparse.ArgumentParser(
        prog=command_line("doctor"), description="Check whether this machine can train."
    )
    parser.add_argument("--quick", action="store_true", help="do not start processes to test gloo")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write the findings to this file"
    )
    options = parser.parse_args(arguments)
    console = Console()
    rows = []
    for name, module, function, *words in _CHECKS:
        found = run_check(module, function, *([not options.quick] if name == "gloo" else words))
        rows.append({"check": name, **found._asdict()})
        line = Text.assemble((f"{found.status:4}", _COLORS[found.status]), f"  {name}: ")
        line.append(found.finding + (f"; {found.remedy}" if found.remedy else ""))
        console.print(line, soft_wrap=True)
    if options.json:
        try:
            with draft_of(options.json) as draft:
                text = json.dumps(rows, indent=2, ensure_ascii=False) + "\n"
                draft.write_text(text, encoding="utf-8")
        except OSError as error:
            console.print(
                f"error: '{options.json}' cannot be written ({error.strerror}); give --json another file",
                soft_wrap=True,
            )
            return 1
    return int(any(row["status"] == "fail" for row in rows))


def run_check(module: str, function: str, *arguments: object) -> Finding:
    """The finding of a check in ``gcvideo.doctor``; a check that crashes or cannot be loaded fails."""
    try:
        check = getattr(importlib.import_module(f"gcvideo.doctor._{module}"), function)
        return check(*arguments)
    except Exception as error:
        text = " ".join(str(error).split())
        return fail(
            f"{type(error).__name__}: {text}",
            "repair what the message names, for example by `pip install --force-reinstall` of the package",
        )


if __name__ == "__main__":
    raise SystemExit(main())
