"""The videos of a run that are worth a look: where the net failed most, and where it was surest and wrong."""

import base64
import io
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from typing import NamedTuple

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from gcvideo.data import VideoReadError, read_views, run_within
from gcvideo.inference import contact_sheet
from gcvideo.report._run_result import RunResult

NUM_SHOWN = 6  # videos of each kind
_COLUMNS, _ROWS, _FRAME_SIZE = 4, 2, 128


def worst_videos(result: RunResult, num: int = NUM_SHOWN) -> list[int]:
    """Places of the wrongly answered videos whose true class is least probable."""
    chances = result.scores.gather(1, result.labels[:, None])[:, 0]
    return _first(result, chances, num)


def surest_mistakes(result: RunResult, without: Sequence[int], num: int = NUM_SHOWN) -> list[int]:
    """Places of the wrong answers with the highest scores, but for those of another list."""
    places = _first(result, -result.scores.amax(1), num + len(without))
    return [place for place in places if place not in without][:num]


def _first(result: RunResult, values: Tensor, num: int) -> list[int]:
    is_wrong = result.scores.argmax(1) != result.labels
    candidates = (is_wrong & result.is_finite).nonzero().flatten()
    order = values[candidates].argsort(stable=True)
    return candidates[order[:num]].tolist()


class ShownVideo(NamedTuple):
    """A video of the gallery: its place among the scored, and its frames or why there are none."""

    place: int
    view: UInt8[Tensor, "3 t s s"] | None
    reason: str = ""


def read_shown(result: RunResult, places: Sequence[int]) -> list[ShownVideo]:
    """At most eight frames, evenly spaced, of the centre view of each video; decodes these alone."""
    return [_read(result, place) for place in places]


def gallery(result: RunResult, videos: Sequence[ShownVideo]) -> str:
    """The videos as figures with their frames, label, answer and scores."""
    return f'<div class="plots">{"".join(_figure(result, video) for video in videos)}</div>'


def gallery_sheet(result: RunResult, videos: Sequence[ShownVideo]) -> Image.Image | None:
    """The videos as one picture, a row each below its label, answer and scores; None if none can be read."""
    found = [video for video in videos if video.view is not None]
    if not found:
        return None
    captions = [
        f"{' '.join(_words(result, video.place))}: {result.path(video.place)}" for video in found
    ]
    views = torch.stack([video.view for video in found if video.view is not None])
    plain = [text.encode("utf-8", "backslashreplace").decode() for text in captions]
    return contact_sheet(views, captions=plain, max_frame_size=_FRAME_SIZE)


def _read(result: RunResult, place: int) -> ShownVideo:
    file, budget = result.file(place), result.splits.time_budget_seconds
    view = result.protocol.single_view()
    if result.splits.square_pixels:
        view = replace(view, square_pixels=True)
    try:
        frames = run_within(budget, file, lambda: read_views(file, view))[0]
    except (VideoReadError, OSError) as error:
        return ShownVideo(place, None, str(error))
    num_frames, most = frames.shape[1], _COLUMNS * _ROWS
    num_shown = most if num_frames >= most else min(num_frames, _COLUMNS)
    return ShownVideo(place, frames[:, torch.linspace(0, num_frames - 1, num_shown).round().long()])


def _words(result: RunResult, place: int) -> tuple[str, str, str, str, str]:
    """Such as: wave (0.012), answered jump (0.943)."""
    scores, label = result.scores[place], int(result.labels[place])
    answer = int(scores.argmax())
    names = result.classes[label], result.classes[answer]
    return (
        names[0],
        f"({float(scores[label]):.3f}),",
        "answered",
        names[1],
        f"({float(scores[answer]):.3f})",
    )


def _figure(result: RunResult, video: ShownVideo) -> str:
    label, of_label, answered, answer, of_answer = map(escape, _words(result, video.place))
    path = escape(result.path(video.place))
    caption = f"<b>{label}</b> {of_label} {answered} <b>{answer}</b> {of_answer}"
    return f"<figure>{_picture(video, path)}<p>{caption}<br>{path}</p></figure>"


def _picture(video: ShownVideo, path: str) -> str:
    if video.view is None:
        return f"<p>No picture: {escape(video.reason)}</p>"
    rows = video.view.unflatten(1, (-1, min(video.view.shape[1], _COLUMNS))).transpose(0, 1)
    sheet = contact_sheet(rows, max_frame_size=_FRAME_SIZE)
    data = io.BytesIO()
    sheet.save(data, "JPEG", quality=80)
    text = base64.b64encode(data.getvalue()).decode()
    width, height = sheet.size
    return (
        f'<img alt="frames of {path}" width="{width}" height="{height}" '
        f'src="data:image/jpeg;base64,{text}">'
    )
