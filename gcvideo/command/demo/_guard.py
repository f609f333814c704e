"""What visitors may ask of the server: the page, its parts, one upload, and the answer to it.

Gradio has many more routes: for files on the disk, files of other servers, streams, editing. None is needed
here, and one of another version may be new, so what is not listed does not exist.
"""

import json
import re
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ROUTES = re.compile(
    r"/|/(?:config|theme\.css|favicon\.ico|manifest\.json|robots\.txt)"
    r"|/(?:assets|static)(?:/[\w@+-][\w.@+-]*)+"
    r"|/gradio_api/(?:info|app_id|startup-events|heartbeat/\w+|upload|upload_progress|reset|cancel|theme\.css)"
    r"|/gradio_api/queue/(?:join|data)",
    re.ASCII,
)
_MAX_REQUEST_BYTES = 2**16  # of a request that is no upload
_MAX_FORM_BYTES = 2**14  # around an uploaded file
# Gradio's page builds its parts from templates, which takes eval.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; object-src 'none'; "
    "base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
)


class Guard:
    """Lets through what the page needs, and tells browsers to ask no other server for anything.

    A request to work on a file must name one that was uploaded: Gradio would fetch a URL.

    Args:
        app: the server behind it.
        folder: where uploads lie, each as FOLDER/HASH/NAME.
        max_upload_bytes: size of the largest upload.
    """

    def __init__(self, app: ASGIApp, *, folder: Path, max_upload_bytes: int) -> None:
        self.app = app
        self.folder = folder.resolve()
        self.max_upload_bytes = max_upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request of the ASGI protocol."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        if scope["type"] != "http" or ".." in path or not _ROUTES.fullmatch(path):
            await PlainTextResponse("there is no such page", 404)(scope, receive, send)
            return
        refusal = self._refused_size(scope)
        if refusal is None and path == "/gradio_api/queue/join":
            receive, refusal = await self._read_job(scope, receive)
        if refusal is not None:
            await refusal(scope, receive, send)
            return

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = _POLICY
                headers["Referrer-Policy"] = "no-referrer"
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        await self.app(scope, receive, send_with_policy)

    def _refused_size(self, scope: Scope) -> PlainTextResponse | None:
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return None
        length = Headers(scope=scope).get("content-length", "")
        if not length.isdigit():
            return PlainTextResponse("the request does not say how long it is", 411)
        is_upload = scope["path"] == "/gradio_api/upload"
        most = self.max_upload_bytes + _MAX_FORM_BYTES if is_upload else _MAX_REQUEST_BYTES
        if int(length) > most:
            megabytes = self.max_upload_bytes / 2**20
            return PlainTextResponse(f"the file is too large; the limit is {megabytes:g} MB", 413)
        return None

    async def _read_job(
        self, scope: Scope, receive: Receive
    ) -> tuple[Receive, PlainTextResponse | None]:
        """The request to work on a file, to be received again, or why it is refused."""
        body = await Request(scope, receive).body()
        try:
            job = json.loads(body)
        except (ValueError, RecursionError):
            return receive, PlainTextResponse("the request is not JSON", 400)
        if not all(map(self._is_upload, _named_paths(job))):
            return receive, PlainTextResponse("the file is no upload, or is gone; upload it", 403)
        # Written anew, so that no other reading of the same bytes names another file.
        checked: Message = {"type": "http.request", "body": json.dumps(job).encode()}
        given = [checked]

        async def receive_again() -> Message:
            return given.pop() if given else await receive()

        return receive_again, None

    def _is_upload(self, path: Any) -> bool:
        """Whether this is a file two levels below the folder of uploads."""
        if not isinstance(path, str) or "\0" in path:
            return False
        file = Path(path)
        return (
            file.is_absolute()
            and file.resolve().parent.parent == self.folder
            and not file.is_symlink()
            and file.is_file()
        )


def _named_paths(job: Any) -> list[Any]:
    """All values of keys "path", at any depth."""
    found, rest = [], [job]
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            found += [value["path"]] if "path" in value else []
            rest += value.values()
        elif isinstance(value, list):
            rest += value
    return found
