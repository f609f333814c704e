"""Answers and messages as HTML; names of classes come from files and may contain anything."""

import base64
from collections.abc import Sequence
from html import escape

from gcvideo.command.demo._answer import Answer, Drawing
from gcvideo.inference import Prediction
from gcvideo.inference._seconds_bar import format_seconds

# Hues that stay apart, for the classes in the order in which they are seen; then they repeat.
_NUM_HUES = 8


def answer_html(answer: Answer) -> str:
    """The result below the place for the video, whose time the timeline sets."""
    parts = [
        # page.js plays the visitor's own file in it, which the server need not give back.
        '<video class="preview" controls muted playsinline hidden></video>',
        _section("Best classes", _ranking(answer.ranking)),
    ]
    if answer.segments is not None:
        timeline = _timeline(answer.segments, answer.duration_seconds)
        parts.append(_section("Timeline", timeline))
    drawings = "".join(map(_drawing, answer.drawings))
    note = f"<p>{_text(answer.note)}</p>" if answer.note else ""
    parts.append(_section("Where the net looks", f'{note}<div class="drawings">{drawings}</div>'))
    return "".join(parts)


def message_html(message: str) -> str:
    """Why there is no result."""
    return f'<p class="message" role="alert">{_text(message)}</p>'


def _section(title: str, content: str) -> str:
    return f"<section><h2>{title}</h2>{content}</section>"


def _ranking(ranking: Sequence[Prediction]) -> str:
    rows = "".join(
        f'<li><span class="name">{_text(p.name)}</span><span class="score">{p.score:.3f}</span>'
        f'<span class="track"><span style="width:{100 * p.score:.1f}%"></span></span></li>'
        for p in ranking
    )
    return f'<ol class="ranking">{rows}</ol>'


def _timeline(segments: Sequence[Prediction], duration: float) -> str:
    if not segments:
        return "<p>In no window does a class reach the threshold.</p>"
    hues = {
        label: n % _NUM_HUES for n, label in enumerate(dict.fromkeys(s.label for s in segments))
    }
    bars, rows = [], []
    for s in segments:
        start, end = s.start_seconds or 0.0, s.end_seconds or 0.0
        name, hue = _text(s.name), hues[s.label]
        times = f"{format_seconds(start)} to {format_seconds(end)}"
        place = f"left:{100 * start / duration:.2f}%;width:{100 * (end - start) / duration:.2f}%"
        seek = f'data-seconds="{start:.3f}"'
        bars.append(
            f'<button class="hue{hue}" style="{place}" {seek} title="{times} {name} {s.score:.3f}" '
            f'aria-label="{times} {name}"></button>'
        )
        rows.append(
            f'<tr><td><button {seek}>{times}</button></td><td><i class="hue{hue}"></i>{name}</td>'
            f"<td>{s.score:.3f}</td></tr>"
        )
    ends = f"<span>{format_seconds(0)}</span><span>{format_seconds(duration)}</span>"
    return (
        f'<div class="timeline">{"".join(bars)}</div><div class="ends">{ends}</div>'
        f'<table class="segments"><tbody>{"".join(rows)}</tbody></table>'
    )


def _drawing(drawing: Drawing) -> str:
    # Within the page, so that the server has no file to serve.
    content = base64.b64encode(drawing.content).decode()
    return (
        f'<figure><video src="data:video/mp4;base64,{content}" autoplay loop muted playsinline></video>'
        f"<figcaption>{_text(drawing.caption)}</figcaption></figure>"
    )


def _text(text: str) -> str:
    # Names of classes are names of folders, which need not be UTF-8.
    return escape(text.encode("utf-8", "backslashreplace").decode())
