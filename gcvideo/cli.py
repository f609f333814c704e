"""The table of commands, and the program ``gcvideo``, which finds one by its name."""

import difflib
import sys
from collections.abc import Sequence

import gcvideo
from gcvideo.command._command import Command

COMMANDS = {
    "train": Command(
        "train a classifier",
        "gcvideo.command.train._training:train",
        "train",
        is_swept=True,
        objective=lambda metrics: metrics.get("best_val_top1"),
    ),
    "test": Command(
        "score a checkpoint on a test set, with all views",
        "gcvideo.command._testing:test",
        "test",
        plain=("checkpoint",),
        is_swept=True,
        objective=lambda metrics: metrics.get("test/top1"),
    ),
    "predict": Command(
        "classify videos, folders, cameras and streams",
        "gcvideo.command.predict._start:predict",
        "predict",
        plain=("checkpoint", "video*"),
        is_swept=True,
        objective=lambda counted: counted.num_videos,
        has_failed=lambda counted: counted.has_failed,
    ),
    "features": Command(
        "write a feature vector for each video or window",
        "gcvideo.command.predict._start:features",
        "features",
        plain=("checkpoint", "video*"),
        is_swept=True,
        objective=lambda counted: counted.num_videos,
        has_failed=lambda counted: counted.has_failed,
    ),
    "merge": Command(
        "join the parts of predictions or features",
        "gcvideo.command._merging:merge",
        "merge",
        plain=("output",),
        has_failed=lambda record: bool(record.num_errors),
    ),
    "demo": Command(
        "serve a page that classifies videos dropped on it",
        "gcvideo.command.demo._serving:demo",
        "demo",
        plain=("checkpoint",),
    ),
    "compare": Command(
        "compare blocks in one net by one recipe",
        "gcvideo.command.compare._comparing:run_comparison",
    ),
    "attention stats": Command(
        "measure whether attention depends on the query position",
        "gcvideo.command.attention._stats:attention_stats",
        "attention_stats",
        plain=("checkpoint",),
        has_failed=lambda stats: bool(stats.failures),
    ),
    "attention show": Command(
        "draw attention maps and Grad-CAM on the frames of a video",
        "gcvideo.command.attention._show:attention_show",
        "attention_show",
        plain=("checkpoint", "video"),
    ),
    "probe": Command(
        "score clips that are shuffled, reversed or frozen",
        "gcvideo.command._probing:probe",
        "probe",
        plain=("checkpoint",),
        is_swept=True,
        objective=lambda overall: overall.needs_time,
    ),
    "cost": Command(
        "count parameters and multiply-accumulates of nets", "gcvideo.command._costing:cost", "cost"
    ),
    "convert": Command(
        "turn weights of another code base into a checkpoint",
        "gcvideo.command._converting:convert",
        "convert",
        plain=("source", "output"),
    ),
    "export": Command(
        "write a checkpoint as an ONNX or torch.export file",
        "gcvideo.command._exporting:export",
        "export",
        plain=("checkpoint", "output"),
    ),
    "check": Command(
        "decode every video of a data set, and list the sound ones",
        "gcvideo.command.dataset._checking:check",
        "check",
        has_failed=lambda report: bool(report.problems),
    ),
    "index": Command(
        "scan the videos of a data set once, so that they open fast",
        "gcvideo.command.dataset._indexing:index",
        "index",
    ),
    "reencode": Command(
        "copy videos to small files that seek fast",
        "gcvideo.command.dataset._reencoding:reencode",
        "reencode",
        has_failed=lambda report: report.has_failed,
    ),
    "kinetics": Command(
        "make lists from official Kinetics tables and a folder",
        "gcvideo.command.dataset._kinetics:kinetics",
        "kinetics",
    ),
    "doctor": Command("check whether this machine can train", "gcvideo.doctor.__main__:main"),
}


def main(name: str | None = None, words: Sequence[str] | None = None) -> None:
    """Run a command; SystemExit if it fails, with status 2 for a mistake in the words.

    Its name is the first word of the command line if there is none here, as in a script; ``words`` are
    those of the command line by default.
    """
    words = list(sys.argv[1:] if words is None else words)
    if name is None:
        if not words or words[0] in ("-h", "--help"):
            print(_overview())
            return
        if words[0] == "--version":
            print(f"gcvideo {gcvideo.__version__}")
            return
        name = words.pop(0)
    name, words = _named(name, words)
    command = COMMANDS[name]
    if command.config is None:
        sys.exit(command.find_job()(words))
    # Only now, so that the list of commands appears at once.
    from gcvideo.command._application import run_command  # noqa: PLC0415

    run_command(name, words, command)


def _named(name: str, words: list[str]) -> tuple[str, list[str]]:
    """The name of a command, which may have two words, and the remaining words."""
    if name in COMMANDS:
        return name, words
    seconds = [known.partition(" ")[2] for known in COMMANDS if known.startswith(f"{name} ")]
    if seconds and words and words[0] in seconds:
        return f"{name} {words[0]}", words[1:]
    if seconds:
        given = f"is '{words[0]}'" if words else "is missing"
        lines = [
            f"error: the word after '{name}' {given}; choose one of:",
            *(f"  {name} {second:8} {COMMANDS[f'{name} {second}'].summary}" for second in seconds),
        ]
        is_help = bool(words) and words[0] in ("-h", "--help")
        print("\n".join(lines[is_help:]), file=sys.stdout if is_help else sys.stderr)
        raise SystemExit(0 if is_help else 2)
    near = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    print(f"error: there is no command '{name}'; {hint}`gcvideo` lists them", file=sys.stderr)
    raise SystemExit(2)


def _overview() -> str:
    lines = [f"  {name:16} {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: gcvideo COMMAND [KEY=VALUE ...]",
            "",
            *lines,
            "",
            "gcvideo COMMAND --help lists the keys of a command, with examples.",
        ]
    )


if __name__ == "__main__":
    main()
