"""Downloads, kept in PyTorch's cache."""

import glob
import hashlib
import http.client
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path, PurePosixPath

import torch
from filelock import FileLock
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from gcvideo._console import Console
from gcvideo._duration import duration
from gcvideo.weights._state_file import WeightsError, is_web_page

_CHUNK_BYTES = 2**20
_TIMEOUT_SECONDS = 30.0  # without a single byte


def cached_file(url: str, *, sha256: str | None = None) -> Path:
    """The file at an address, from PyTorch's cache (``torch.hub.get_dir()``) or downloaded into it.

    A cached file, whether from an earlier call, from torch.hub or put there by hand, is checked on every
    call, which takes 0.3 s for 400 MB. Addresses that end in the same name are only told apart by
    ``sha256``, the first 8 or more digits of the hash. An interrupted download continues where it
    stopped. Of several processes one downloads while the others wait. A ``file:`` address is used in
    place.
    """
    if sha256 is not None and not re.fullmatch("[0-9a-f]{8,64}", sha256):
        raise WeightsError(f"sha256 is '{sha256}'; give its first 8 to 64 digits, 0-9 and a-f")
    path = _path(url)
    if not path.is_file() and urllib.parse.urlsplit(url).scheme != "file":
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_name(f".{path.name}.lock")):
                if not path.is_file():
                    _download(url, path, sha256)
                    return path
        except OSError as error:
            raise WeightsError(
                f"'{path}' cannot be written ({error}); make room, or set TORCH_HOME to another folder"
            ) from error
    if not path.is_file():
        raise WeightsError(f"no file at {url}; check the address")
    if difference := _difference(path, sha256):
        raise WeightsError(
            f"'{path}' is not the file of {url}: it has {difference}; delete or move it, and it will be "
            "downloaded again"
        )
    return path


def _path(url: str) -> Path:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "file":
        return Path(urllib.request.url2pathname(parts.path))
    name = PurePosixPath(urllib.parse.unquote(parts.path)).name
    if parts.scheme not in ("http", "https") or name in ("", "..") or "\\" in name:
        raise WeightsError(
            f"'{url}' is not the address of a file; it must look like https://host/folder/name.pth"
        )
    folder = Path(torch.hub.get_dir())
    if folder.parts[0] == "~":
        raise WeightsError(
            f"there is no '{folder}' to download '{url}' to, because this user has no home folder; keep "
            "weights elsewhere with TORCH_HOME=/a/folder in front of the command"
        )
    return folder / "checkpoints" / name


def _download(url: str, path: Path, sha256: str | None) -> None:
    web_page = WeightsError(
        f"{url} gives a web page instead of a file, such as a login page; download the file with a "
        f"browser and put it at '{path}'"
    )
    part = None
    try:
        with _request(url) as response:
            if response.headers.get_content_type() == "text/html":
                raise web_page
            part = _part(url, path, response, is_checked=sha256 is not None)
            _receive(url, response, part)
    except (urllib.error.URLError, http.client.HTTPException, UnicodeError) as error:
        num_kept = part.stat().st_size if part is not None and part.exists() else 0
        kept = (
            f"; {num_kept} bytes are kept, and the next call continues from there"
            if num_kept
            else ""
        )
        raise WeightsError(
            f"{url} cannot be downloaded ({error}){kept}; check the address and the connection, or put the "
            f"file at '{path}'"
        ) from error
    with part.open("rb") as file:
        is_page = is_web_page(file.read(1024))
    difference = _difference(part, sha256)
    if is_page or difference:
        part.unlink()
    if is_page:
        raise web_page
    if difference:
        raise WeightsError(
            f"what came from {url} has {difference}, and was removed; try again, and if that does not "
            f"help put the right file at '{path}'"
        )
    part.replace(path)
    for other in path.parent.glob(f"{glob.escape(path.name)}.*.part"):
        other.unlink()


def _request(url: str, start: int = 0) -> http.client.HTTPResponse:
    request = urllib.request.Request(url, headers={"User-Agent": "gcvideo"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        return urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.URLError:
        raise
    except OSError as error:  # while the answer was read
        raise urllib.error.URLError(error) from error


def _part(url: str, path: Path, response: http.client.HTTPResponse, *, is_checked: bool) -> Path:
    """The partial download of this very version of the file, so that parts of two never mix."""
    version = [response.headers.get(name) for name in ("ETag", "Last-Modified", "Content-Length")]
    digest = hashlib.sha256(repr([url, *version]).encode()).hexdigest()[:8]
    part = path.with_name(f"{path.name}.{digest}.part")
    if not any(version[:2]) and not is_checked:
        part.unlink(missing_ok=True)
    return part


def _receive(url: str, response: http.client.HTTPResponse, part: Path) -> None:
    length = response.headers.get("Content-Length", "")
    total = int(length) if length.isdecimal() else None
    num_kept = part.stat().st_size if part.exists() else 0
    if num_kept and num_kept == total:
        return
    rest = _rest(url, num_kept) if num_kept else None
    name, start = url.rpartition("/")[2], time.monotonic()
    # Not on standard output, which may be the result of a command.
    console = Console(stderr=True)
    columns = (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with (
        rest or response as source,
        part.open("ab" if rest else "wb") as file,
        Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            *columns,
            console=console,
            disable=not console.is_terminal,
        ) as progress,
    ):
        task = progress.add_task(name, total=total, completed=file.tell())
        while chunk := _read(source):
            file.write(chunk)
            progress.update(task, advance=len(chunk))
        if not console.is_terminal:
            seconds = time.monotonic() - start
            console.print(f"{name}: {decimal(file.tell())} in {duration(seconds)}")
    if total is not None and part.stat().st_size != total:
        raise http.client.HTTPException(
            f"the connection ended before all {total} bytes had arrived"
        )


def _rest(url: str, start: int) -> http.client.HTTPResponse | None:
    """The file from byte ``start``; None if the server can only send all of it."""
    try:
        response = _request(url, start)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return None
        raise
    if response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        return response
    response.close()
    return None


def _read(source: http.client.HTTPResponse) -> bytes:
    try:
        return source.read(_CHUNK_BYTES)
    except OSError as error:
        raise urllib.error.URLError(error) from error


def _difference(path: Path, sha256: str | None) -> str | None:
    if sha256 is None:
        return None
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found.startswith(sha256):
        return None
    return f"the sha256 {found} instead of {sha256}{'...' if len(sha256) < len(found) else ''}"
