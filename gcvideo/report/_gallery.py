"""The videos of a run that are worth a look: where the net failed most, and where it was surest and wrong."""

import base64
import io
from collections.abc import Sequence
from dataclasses import replace
from html import escape

import torch
from jaxtyping import UInt8
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


def gallery(result: RunResult, places: Sequence[int]) -> str:
    """The videos as figures with their frames, label, answer and scores; decodes these alone."""
    return f'<div class="plots">{"".join(_figure(result, place) for place in places)}</div>'


def _figure(result: RunResult, place: int) -> str:
    scores, label = result.scores[place], int(result.labels[place])
    answer = int(scores.argmax())
    caption = (
        f"<b>{escape(result.classes[label])}</b> ({float(scores[label]):.3f}), answered "
        f"<b>{escape(result.classes[answer])}</b> ({float(scores[answer]):.3f})"
    )
    return f"<figure>{_picture(result, place)}<p>{caption}<br>{escape(result.path(place))}</p></figure>"


def _picture(result: RunResult, place: int) -> str:
    file, budget = result.file(place), result.splits.time_budget_seconds
    view = result.protocol.single_view()
    if result.splits.square_pixels:
        view = replace(view, square_pixels=True)
    try:
        views = run_within(budget, file, lambda: read_views(file, view))
    except (VideoReadError, OSError) as error:
        return f"<p>No picture: {escape(str(error))}</p>"
    sheet = contact_sheet(_in_rows(views[0]), max_frame_size=_FRAME_SIZE)
    data = io.BytesIO()
    sheet.save(data, "JPEG", quality=80)
    text = base64.b64encode(data.getvalue()).decode()
    width, height = sheet.size
    return (
        f'<img alt="frames of {escape(result.path(place))}" width="{width}" height="{height}" '
        f'src="data:image/jpeg;base64,{text}">'
    )


def _in_rows(view: UInt8[Tensor, "3 t s s"]) -> UInt8[Tensor, "r 3 c s s"]:
    """At most eight frames, evenly spaced, in rows of four."""
    num_frames = view.shape[1]
    num_shown = min(num_frames, _COLUMNS) if num_frames < _COLUMNS * _ROWS else _COLUMNS * _ROWS
    shown = view[:, torch.linspace(0, num_frames - 1, num_shown).round().long()]
    return shown.unflatten(1, (-1, min(num_shown, _COLUMNS))).transpose(0, 1)
