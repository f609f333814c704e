"""CPU time of reading clips: ours against other readers, its own settings, and the possible.

python benchmarks/decode.py --json decode.json
python benchmarks/decode.py --case clip --rounds 31 --video kinetics/*.mp4

Every comparison runs in turns in one process, on one core, after the pixels were found equal. The
exit code is 1 if they are not.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

import numpy as np
import torch
from comparison import Comparison, measure, one_core, parse_size, report, require_equal
from footage import make_video
from references import Clip, Reference, all_references, read_as_slowfast
from subject import NUM_FRAMES, SAMPLING_RATE, Subject, made_subjects
from torchvision.transforms import v2

from gcvideo.data import EvaluationProtocol, SlowFastSampling, VideoReader, read_views
from gcvideo.data.video._container import open_video
from gcvideo.data.video._reencoding import reencode_video

NUM_CHECKED = 3  # clips a video that all readers are compared on


def compare_readers(
    table: Comparison, subject: Subject, rounds: int, references: Sequence[Reference]
) -> None:
    """One clip: open the file, read the frames."""
    case = f"8x8 clip, {subject.kind}"
    contenders: dict[str, Callable[[int], np.ndarray]] = {
        "index": lambda number: subject.read(subject.clips[number]),
        "scan": lambda number: subject.scan_and_read(subject.clips[number]),
    }
    notes: dict[str, str] = {}
    for reference in references:
        if reference.needs_audio and not subject.has_audio:
            continue
        reason = reference.reason
        if reference.read is not None:
            try:
                theirs = [reference.read(clip) for clip in subject.clips[:NUM_CHECKED]]
            # A file of one's own may be beyond a library, which says so with any error.
            except Exception as error:
                reason = str(error).strip() or type(error).__name__
            else:
                ours = [subject.read(clip) for clip in subject.clips[:NUM_CHECKED]]
                # Others may convert colours in another way; bit for bit is the rule, not a must.
                notes[reference.name] = require_equal(
                    f"{case}, {reference.name}", np.stack(ours), np.stack(theirs), tolerance=1.0
                )
                contenders[reference.name] = partial(_read_number, reference.read, subject.clips)
        if reason:
            table.leave_out(case, reference.name, reason)
    checked = subject.clips[:NUM_CHECKED]
    notes["scan"] = require_equal(
        f"{case}, without index",
        np.stack([subject.read(clip) for clip in checked]),
        np.stack([subject.scan_and_read(clip) for clip in checked]),
    )
    seconds = measure(contenders, rounds)
    table.add_times(case, "ours, no index", seconds["index"], seconds["scan"], note=notes["scan"])
    for way, suffix in (("index", ""), ("scan", ", no index")):
        for name in list(contenders)[2:]:
            table.add_times(case + suffix, name, seconds[way], seconds[name], note=notes[name])


def _read_number(
    read: Callable[[Clip], np.ndarray], clips: Sequence[Clip], number: int
) -> np.ndarray:
    return read(clips[number])


def compare_views(table: Comparison, subject: Subject, rounds: int) -> None:
    """All views of a test: the file is opened once, or once for each view."""
    info = subject.timeline.info
    size = min(info.width, info.height)
    rate = min(SAMPLING_RATE, info.num_frames // NUM_FRAMES)
    protocol = EvaluationProtocol(
        name="benchmark",
        sampling=SlowFastSampling(target_fps=info.fps),
        num_frames=NUM_FRAMES,
        sampling_rate=rate,
        short_side=size,
        crop_size=size,
        val_crop_size=size,
    )
    fps = subject.clips[0].fps
    clips = [
        Clip(subject.path, indices, fps)
        for indices in protocol.sampling.test(info.num_frames, info.fps, protocol.spec, 10)
    ]
    corners = protocol.crops.corners(info.height, info.width, size, 3)

    def views_one_by_one(read: Callable[[Clip], np.ndarray]) -> torch.Tensor:
        views = [
            torch.from_numpy(read(clip)[:, y : y + size, x : x + size])
            for clip in clips
            for y, x, _ in corners
        ]
        return torch.stack(views).permute(0, 4, 1, 2, 3).contiguous()

    ways: dict[str, Callable[[], torch.Tensor]] = {
        "ours": lambda: read_views(subject.path, protocol),
        "ours, 30 opens": lambda: views_one_by_one(subject.read),
        "PySlowFast's loop, 30 opens": lambda: views_one_by_one(read_as_slowfast),
    }
    case = f"10 clips x 3 crops, {subject.kind}"
    expected = ways["ours"]().numpy()
    for name in list(ways)[1:]:
        require_equal(f"{case}, {name}", expected, ways[name]().numpy())
    seconds = measure({name: lambda _, way=way: way() for name, way in ways.items()}, rounds)
    for name in list(ways)[1:]:
        table.add_times(case, name, seconds["ours"], seconds[name], note="equal")


def compare_reencoding(table: Comparison, subject: Subject, rounds: int, folder: Path) -> None:
    """The same clips from the file and from its re-encoding, if keyframes are rare in the file."""
    gop_size = 16
    if len(subject.timeline.keyframes) * gop_size >= subject.timeline.info.num_frames:
        return
    target = folder / f"dense-{Path(subject.path).stem}.mp4"
    done = reencode_video(subject.path, target, gop_size=gop_size)
    dense = Subject.of(subject.kind, str(target), rounds)
    ways = {
        "ours": lambda number: dense.read(dense.clips[number]),
        "theirs": lambda number: subject.read(subject.clips[number]),
    }
    note = "coded again"
    before, after = ways["theirs"](0), ways["ours"](0)
    if before.shape == after.shape:
        note = require_equal(f"re-encoding of {subject.kind}", after, before, tolerance=5.0)
    seconds = measure(ways, rounds)
    case = f"8x8 clip, re-encoded (GOP {gop_size})"
    table.add_times(case, subject.kind, seconds["ours"], seconds["theirs"], note=note)
    sizes = done.bytes_after / 1e6, done.bytes_before / 1e6
    table.add("size of file, re-encoded", subject.kind, *sizes, "MB")


def compare_with_limit(table: Comparison, subject: Subject, rounds: int) -> None:
    """The reader against a loop that only decodes what the wanted frames need."""
    if not subject.timeline.is_direct:
        table.leave_out(f"limit, {subject.kind}", "bare decoding", "frames must be counted")
        return
    seconds = measure(
        {
            "ours": lambda number: subject.read(subject.clips[number]),
            "limit": lambda number: decode_needed(subject, subject.clips[number]),
        },
        rounds,
    )
    case = f"8x8 clip, {subject.kind}"
    table.add_times(case, "bare decoding", seconds["ours"], seconds["limit"], note="1 is the limit")
    ours = fmean(_num_decoded(subject, clip) for clip in subject.clips)
    needed = fmean(decode_needed(subject, clip) for clip in subject.clips)
    table.add(f"frames decoded, {subject.kind}", "needed", ours, needed, "frames")


def decode_needed(subject: Subject, clip: Clip) -> int:
    """Open, decode from each wanted frame's keyframe on what it needs, count the frames."""
    timeline = subject.timeline
    assert timeline.is_direct
    wanted = timeline.stamps[clip.indices]
    keyframes = timeline.keyframes[np.searchsorted(timeline.keyframes, wanted, side="right") - 1]
    container, stream = open_video(subject.path, probe=False)
    context = stream.codec_context
    unwanted = "NONREF" if timeline.skips_unwanted else "DEFAULT"
    num_frames = 0
    with container:
        for keyframe in np.unique(keyframes):
            group = set(wanted[keyframes == keyframe].tolist())
            if keyframe != timeline.keyframes[0]:
                container.seek(int(keyframe), stream=stream)
            for packet in container.demux(stream):
                is_wanted = packet.pts in group
                context.skip_frame = "DEFAULT" if is_wanted else unwanted
                num_frames += len(context.decode(packet))
                group -= {packet.pts}
                if not group:
                    break
            num_frames += len(context.decode(None))
    return num_frames


class _CountingReader(VideoReader):
    num_decoded = 0

    def _decode_due(self, due, keyframe):  # noqa: ANN001, ANN202 - as in VideoReader
        for frame in super()._decode_due(due, keyframe):
            self.num_decoded += 1
            yield frame


def _num_decoded(subject: Subject, clip: Clip) -> int:
    reader = _CountingReader(subject.path, timeline=subject.timeline)
    with reader:
        reader.read(clip.indices)
    return reader.num_decoded


def compare_scaling(table: Comparison, subject: Subject, rounds: int) -> None:
    """Scaling a large video down while its colours are converted, or afterwards."""
    info = subject.timeline.info
    short_side = round(min(info.width, info.height) * 320 / 1080)

    def ours(number: int) -> np.ndarray:
        with VideoReader(subject.path, timeline=subject.timeline) as reader:
            return reader.read(subject.clips[number].indices, short_side=short_side)

    # torchvision cuts the longer side down to a whole number, we round it.
    size = list(ours(0).shape[1:3])

    def theirs(number: int) -> np.ndarray:
        full = torch.from_numpy(subject.read(subject.clips[number])).permute(0, 3, 1, 2)
        small = v2.functional.resize(full, size, antialias=True)
        return small.permute(0, 2, 3, 1).numpy()

    case, reference = f"8x8 clip, {subject.kind} to {short_side}", "full size, then torchvision"
    small = theirs(0)
    note = require_equal(case, ours(0), small, tolerance=5.0)
    seconds = measure({"ours": ours, "theirs": theirs}, rounds)
    table.add_times(case, reference, seconds["ours"], seconds["theirs"], note=note)
    full_bytes = subject.read(subject.clips[0]).nbytes
    table.add(
        f"pixels held, {subject.kind} to {short_side}",
        reference,
        ours(0).nbytes / 1e6,
        (full_bytes + small.nbytes) / 1e6,
        "MB",
    )


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of this script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    cases = ("clip", "views", "reencoding", "limit", "scaling")
    parser.add_argument("--case", nargs="+", choices=cases, default=cases)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--video", nargs="+", help="files of your own instead of made ones")
    parser.add_argument("--seconds", type=float, default=10, help="length of made videos")
    parser.add_argument("--size", type=parse_size, default=(340, 256), help="of made videos")
    parser.add_argument(
        "--large", type=parse_size, default=(1920, 1080), help="of the one to scale"
    )
    parser.add_argument(
        "--all-cores", action="store_true", help="let readers use the threads they want"
    )
    parser.add_argument("--json", help="file to write the figures to")
    return parser.parse_args(arguments)


def compare_cases(table: Comparison, options: argparse.Namespace, folder: Path) -> None:
    """Lines of the chosen cases; videos that are made lie in the folder."""
    if options.video:
        subjects = [Subject.of(Path(p).name, p, options.rounds) for p in options.video]
    else:
        subjects = made_subjects(folder, options.size, options.seconds, options.rounds)
    references = all_references()
    for subject in subjects:
        if "clip" in options.case:
            compare_readers(table, subject, options.rounds, references)
        if "views" in options.case:
            compare_views(table, subject, options.rounds)
        if "reencoding" in options.case:
            compare_reencoding(table, subject, options.rounds, folder)
        if "limit" in options.case:
            compare_with_limit(table, subject, options.rounds)
    if "scaling" in options.case:
        large = folder / "large.mp4"
        make_video(large, size=options.large, seconds=min(options.seconds, 3), gop_size=16)
        kind = f"{options.large[0]}x{options.large[1]}"
        compare_scaling(table, Subject.of(kind, str(large), options.rounds), options.rounds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare and print; 1 if pixels are unequal."""
    options = parse_arguments(arguments)
    torch.set_num_threads(1)
    table = Comparison(f"CPU time, medians of {options.rounds} rounds; ratio > 1: ours is faster")
    with TemporaryDirectory() as name, nullcontext() if options.all_cores else one_core():
        return report(table, lambda: compare_cases(table, options, Path(name)), options.json)


if __name__ == "__main__":
    sys.exit(main())
