"""The command that joins the parts that several processes have written."""

from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from gcvideo._console import Console
from gcvideo._draft import draft_of
from gcvideo.command._output_check import telling
from gcvideo.command._shard import Shard, find_parts
from gcvideo.command.predict._features import FEATURE_FORM
from gcvideo.command.predict._outcome import form_of
from gcvideo.command.results._output import OutputForm
from gcvideo.command.results._row_file import RowFile, write_blocks
from gcvideo.command.results._run_record import RECORD_ENDING, RunRecord, record_path

_CONSOLE = Console()


class MergeError(ValueError):
    """Parts that are not there, not finished, or not of one run."""


def merge(cfg: DictConfig) -> RunRecord:
    """Join the finished parts of ``output`` into the file that one process would have written.

    The parts must be of one run, and hold every input exactly once. They stay where they are.

    Raises:
        FileNotFoundError: if there are no parts.
        MergeError: if a part is not finished, of another run, or does not hold its own inputs alone.
        ValueError: if a part is missing, or the output exists.
    """
    output = Path(cfg.output)
    parts = find_parts(output, RECORD_ENDING)
    if not parts:
        raise FileNotFoundError(
            f"there are no parts of '{output}'; `gcvideo predict ... output={output} shard=0/4` writes the "
            "first of four. Parts of check, index and reencode are joined by the same command without shard"
        )
    records = {shard: _finished_record(path) for shard, path in parts.items()}
    first = next(iter(records.values()))
    for shard, record in records.items():
        replace(first, shard=str(shard)).require_same(record, parts[shard])
    form = _form_of(first)
    form.check(str(output))
    if not cfg.overwrite and (output.exists() or record_path(output).exists()):
        raise ValueError(f"'{output}' exists; give overwrite=true to replace it")
    _join(output, form, parts, first.made_by["videos"])
    merged = replace(
        first,
        shard=None,
        path=record_path(output),
        num_done=sum(record.num_done for record in records.values()),
        num_errors=sum(record.num_errors for record in records.values()),
        seconds=round(sum(record.seconds for record in records.values()), 3),
    )
    merged.write()
    failed = f", {merged.num_errors} of which could not be read" if merged.num_errors else ""
    _CONSOLE.print(
        f"{len(parts)} parts with {merged.num_done} videos{failed}, each exactly once, are in '{output}'",
        soft_wrap=True,
    )
    return merged


def _form_of(record: RunRecord) -> OutputForm:
    if record.made_by["command"] == "features":
        return FEATURE_FORM
    return form_of(in_windows="stride_seconds" in record.made_by)


def _finished_record(part: Path) -> RunRecord:
    record = RunRecord.beside(part)
    assert record is not None
    if not record.is_finished:
        raise MergeError(
            f"the part '{part}' is not finished; run its command again, which goes on where it was"
        )
    return record


def _join(output: Path, form: OutputForm, parts: dict[Shard, Path], num_inputs: int) -> None:
    target, layout = form.growing(output)
    with ExitStack() as stack, telling(target, "output"), draft_of(target) as draft:
        files: list[RowFile] = []
        places = np.full(num_inputs, -1)
        spans = np.zeros((num_inputs, 2), np.int64)
        for number, (shard, part) in enumerate(parts.items()):
            file = RowFile(form.growing(part)[0], layout, is_whole=True)
            files.append(stack.enter_context(closing(file)))
            indices = np.sort(file.indices)
            if not np.array_equal(indices, shard.of(num_inputs)):
                raise MergeError(
                    f"the part '{part}' does not hold each of its {len(shard.of(num_inputs))} videos exactly "
                    "once, although it is finished; something else has changed it: run its command again with "
                    "overwrite=true"
                )
            places[file.indices], spans[file.indices] = number, file.spans
        blocks = zip(places.tolist(), spans.tolist(), strict=True)
        with draft.open("wb", buffering=0) as joined:
            write_blocks(joined, layout, ((files[place], span) for place, span in blocks))
    form.convert(output)
