"""What visitors may ask of the server: the page, its parts, one upload, and the answer to it.

Gradio has many more routes: for files on the disk, files of other servers, streams, editing. None is needed
here, and one of another version may be new, so what is not listed does not exist.
"""

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

# Of the ASGI protocol.
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Refusal = tuple[int, str]

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
_HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
]


class Guard:
    """Lets through what the page needs, and tells browsers to ask no other server for anything.

    A request to work on a file must name one that was uploaded: Gradio would fetch a URL.

    Args:
        app: the server behind it.
        folder: where uploads lie, each as FOLDER/HASH/NAME.
        max_upload_bytes: size of the largest upload.
    """

    def __init__(self, app: Application, *, folder: Path, max_upload_bytes: int) -> None:
        self.app = app
        self.folder = folder.resolve()
        self.max_upload_bytes = max_upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request of the ASGI protocol."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        path = scope["path"]
        if ".." in path or not _ROUTES.fullmatch(path):
            await _refuse(send, (404, "there is no such page"))
            return
        refusal = self._refused_size(scope)
        if refusal is None and path == "/gradio_api/queue/join":
            receive, refusal = await self._read_job(receive)
        if refusal is not None:
            await _refuse(send, refusal)
            return

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_HEADERS]
            await send(message)

        await self.app(scope, receive, send_with_policy)

    def _refused_size(self, scope: Scope) -> Refusal | None:
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return None
        length = dict(scope["headers"]).get(b"content-length", b"").decode("latin-1")
        if not (length.isascii() and length.isdigit()):
            return 411, "the request does not say how long it is"
        is_upload = scope["path"] == "/gradio_api/upload"
        most = self.max_upload_bytes + _MAX_FORM_BYTES if is_upload else _MAX_REQUEST_BYTES
        if int(length) > most:
            megabytes = self.max_upload_bytes / 2**20
            return 413, f"the file is too large; the limit is {megabytes:g} MB"
        return None

    async def _read_job(self, receive: Receive) -> tuple[Receive, Refusal | None]:
        """The request to work on a file, to be received again, or why it is refused."""
        body, more = b"", True
        while more and len(body) <= _MAX_REQUEST_BYTES:
            part = await receive()
            body += part.get("body", b"")
            more = part.get("more_body", False)
        try:
            job = json.loads(body)
        except (ValueError, RecursionError):
            return receive, (400, "the request is not JSON")
        if not all(map(self._is_upload, _named_paths(job))):
            return receive, (403, "the file is no upload, or is gone; upload it")
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


async def _refuse(send: Send, refusal: Refusal) -> None:
    status, text = refusal
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


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
