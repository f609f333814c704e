"""The page: a place to drop a video, and what is seen in it."""

import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from html import escape
from importlib import import_module
from pathlib import Path
from typing import Any

from gcvideo._console import Console
from gcvideo.command.demo._answer import Answer
from gcvideo.command.demo._markup import answer_html, message_html
from gcvideo.command.demo._process import AnswerError
from gcvideo.data import VideoReadError

# Uploads that nobody has asked to classify, such as those of a page that was closed at once.
_CLEAN_EVERY_SECONDS, _KEEP_SECONDS = 60, 600
_MAX_WAITING = 16


def reply(ask: Callable[[str], Answer], path: str | None) -> str:
    """The HTML for an upload, which is then deleted; "" if there is none."""
    if path is None:
        return ""
    try:
        return answer_html(ask(path))
    except VideoReadError as error:
        # The default remedy is about lists of videos, and the path is ours.
        remedy = error.remedy if "max_video_seconds" in error.remedy else "try another file"
        return message_html(f"This video cannot be classified: {error.reason}; {remedy}.")
    except AnswerError as error:
        return message_html(f"This video cannot be classified: {error}.")
    except Exception:
        Console(stderr=True).print(traceback.format_exc(), soft_wrap=True)
        return message_html(
            "This video cannot be classified: the program has failed, and its terminal says where. Other "
            "videos can still be tried."
        )
    finally:
        delete_upload(Path(path))


def delete_upload(file: Path) -> None:
    """Delete an upload, and its folder unless that holds another one."""
    file.unlink(missing_ok=True)
    with suppress(OSError):
        file.parent.rmdir()


def build_page(ask: Callable[[str], Answer], *, title: str, facts: Iterable[str]) -> Any:
    """The page as ``gradio.Blocks``.

    Args:
        ask: gives the answer to a file.
        title: of the page, as plain text.
        facts: lines below the title, as plain text.
    """
    gr: Any = import_module("gradio")  # an extra, which has no types where it is absent

    def on_upload(file: str | None) -> str:
        return reply(ask, file)

    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    lines = "".join(f"<p>{escape(fact)}</p>" for fact in facts)
    with gr.Blocks(
        title=title,
        analytics_enabled=False,
        delete_cache=(_CLEAN_EVERY_SECONDS, _KEEP_SECONDS),
    ) as page:
        gr.HTML(f"<style>{style}</style><h1>{escape(title)}</h1>{lines}", elem_id="head")
        with gr.Row():
            with gr.Column(scale=2, min_width=280):
                file = gr.File(label="Video", elem_id="upload")
            with gr.Column(scale=5, min_width=280):
                result = gr.HTML(elem_id="result")
        file.upload(on_upload, file, result, api_name="classify")
        file.clear(lambda: "", None, result, api_name=False)
    page.queue(max_size=_MAX_WAITING, default_concurrency_limit=1)
    return page
