import hashlib
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from rich.filesize import decimal

from gcvideo.weights import _download as download
from gcvideo.weights._download import cached_file
from gcvideo.weights._state_file import WeightsError

CONTENT = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Keeps its faults; a client that has enough, or waits no longer, is none."""

    def handle_error(self, request, client_address):
        if not isinstance(sys.exception(), ConnectionError):
            self.site.faults.append(sys.exception())


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        site = self.server.site
        site.requests.append(self.headers.get("Range"))
        time.sleep(site.seconds)
        start = 0
        if site.status != 200:
            self.send_error(site.status)
            return
        if self.headers.get("Range") and site.ranges != "ignored":
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            if site.ranges == "refused":
                self.send_error(416)
                return
            self.send_response(206)
            last = len(site.content) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{last + 1}")
        else:
            self.send_response(200)
        self.send_header("Content-Type", site.content_type)
        if site.has_length:
            self.send_header("Content-Length", str(len(site.content) - start))
        if site.etag:
            self.send_header("ETag", site.etag)
        self.end_headers()
        self.wfile.write(site.content[start : site.cut_at])
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def site(tmp_path, monkeypatch):
    """What a server on this machine gives, and the cache it is downloaded to."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    site = SimpleNamespace(
        content=CONTENT,
        status=200,
        ranges="given",
        content_type="application/octet-stream",
        etag='"1"',
        has_length=True,
        cut_at=None,
        seconds=0,
        requests=[],
        faults=[],
        cache=tmp_path / "torch" / "hub" / "checkpoints",
    )
    with Server(("127.0.0.1", 0), Handler) as server:
        server.site = site
        site.url = f"http://127.0.0.1:{server.server_port}/models/net%20a.pth?download=1"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield site
        server.shutdown()
    assert not site.faults


def visible(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


@pytest.mark.parametrize("sha256", [None, SHA256, SHA256[:8]])
@pytest.mark.parametrize("has_length", [True, False])
def test_a_file_is_downloaded_once_into_the_cache_of_torch(site, sha256, has_length):
    site.has_length = has_length
    for _ in range(2):
        path = cached_file(site.url, sha256=sha256)
    assert path == site.cache / "net a.pth"
    assert path.read_bytes() == CONTENT
    assert site.requests == [None]
    assert visible(site.cache) == ["net a.pth"]


def test_a_file_put_there_by_hand_is_used_without_the_net(site):
    site.cache.mkdir(parents=True)
    (site.cache / "net a.pth").write_bytes(CONTENT)
    assert cached_file(site.url, sha256=SHA256).read_bytes() == CONTENT
    assert site.requests == []


def test_a_file_of_an_address_of_this_machine_is_used_where_it_lies(site, tmp_path):
    path = tmp_path / "my net.pth"
    path.write_bytes(CONTENT)
    assert cached_file(path.as_uri(), sha256=SHA256) == path
    assert not site.cache.exists()
    path.unlink()
    with pytest.raises(
        WeightsError, match=r"no file at file:///.*my%20net\.pth; check the address"
    ):
        cached_file(path.as_uri())


def interrupt(site, num_bytes=100_000):
    site.cut_at = num_bytes
    with pytest.raises(
        WeightsError,
        match=rf"cannot be downloaded \(.*{len(CONTENT)} bytes.*\); {num_bytes} bytes are kept, and the "
        rf"next call continues from there; .* or put the file at '{site.cache / 'net a.pth'}'",
    ):
        cached_file(site.url, sha256=SHA256)
    site.cut_at = None
    (part,) = site.cache.glob("net a.pth.*.part")
    assert part.read_bytes() == CONTENT[:num_bytes]
    return part


@pytest.mark.parametrize("ranges", ["given", "ignored", "refused"])
def test_an_interrupted_download_goes_on_or_starts_anew(site, ranges):
    interrupt(site)
    site.ranges = ranges
    assert cached_file(site.url, sha256=SHA256).read_bytes() == CONTENT
    assert site.requests == [None, None, "bytes=100000-"]
    assert visible(site.cache) == ["net a.pth"]


def test_a_second_interruption_is_gone_on_with_as_well(site):
    interrupt(site)
    interrupt(site, 300_000)
    assert cached_file(site.url, sha256=SHA256).read_bytes() == CONTENT
    assert site.requests[-1] == "bytes=300000-"


def test_a_part_that_is_all_there_is_not_asked_for_again(site):
    part = interrupt(site)
    part.write_bytes(CONTENT)
    assert cached_file(site.url, sha256=SHA256).read_bytes() == CONTENT
    assert site.requests == [None, None]


def test_a_part_of_another_version_is_not_gone_on_with(site):
    interrupt(site)
    site.etag, site.content = '"2"', CONTENT[::-1]
    assert cached_file(site.url).read_bytes() == CONTENT[::-1]
    assert visible(site.cache) == ["net a.pth"]


@pytest.mark.parametrize(("sha256", "last"), [(SHA256, "bytes=100000-"), (None, None)])
def test_a_part_of_no_known_version_is_gone_on_with_only_if_the_hash_decides(site, sha256, last):
    site.etag = None
    interrupt(site)
    assert cached_file(site.url, sha256=sha256).read_bytes() == CONTENT
    assert site.requests[-1] == last


def test_a_download_with_another_hash_is_removed(site):
    wrong = "0" * 64
    with pytest.raises(
        WeightsError,
        match=f"what came from {site.url[:20]}.* has the sha256 {SHA256} instead of {wrong}, and was rem.*; "
        rf"try again, .* put the right file at '{site.cache}",
    ):
        cached_file(site.url, sha256=wrong)
    assert visible(site.cache) == []


def test_a_file_in_the_cache_with_another_hash_is_named_and_stays(site):
    path = cached_file(site.url)
    path.write_bytes(b"another")
    with pytest.raises(
        WeightsError,
        match=rf"net a\.pth' is not the file .*: it has the sha256 \w+ instead of {SHA256[:8]}\.\.\.; del",
    ):
        cached_file(site.url, sha256=SHA256[:8])
    assert path.read_bytes() == b"another"


@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_web_page_is_refused(site, content_type):
    site.content, site.content_type = b"<!DOCTYPE html><html>Sign in</html>", content_type
    with pytest.raises(
        WeightsError, match=r"gives a web page instead .*; download the file with a browser"
    ):
        cached_file(site.url)
    assert visible(site.cache) == []


@pytest.mark.parametrize("status", [404, 403, 500])
def test_the_status_of_a_refusal_is_told(site, status):
    site.status = status
    with pytest.raises(
        WeightsError,
        match=rf"cannot be downloaded \(HTTP Error {status}: .*\); check the address .* at '/",
    ):
        cached_file(site.url)


def test_without_a_net_the_message_says_where_to_put_the_file(site):
    with pytest.raises(
        WeightsError,
        match=r"http://127\.0\.0\.1:9/a\.pth cannot be downloaded \(.*refused.*\); .*/a\.pth'",
    ):
        cached_file("http://127.0.0.1:9/a.pth")


def test_a_silent_server_is_given_up(site, monkeypatch):
    monkeypatch.setattr(download, "_TIMEOUT_SECONDS", 0.05)
    site.seconds = 0.5
    with pytest.raises(WeightsError, match=r"cannot be downloaded \(.*timed out.*\)"):
        cached_file(site.url)


def test_of_several_callers_at_once_one_downloads(site):
    site.seconds = 0.2
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: cached_file(site.url, sha256=SHA256), range(4)))
    assert {path.read_bytes() for path in paths} == {CONTENT}
    assert site.requests == [None]


def test_a_cache_that_cannot_be_written_is_named(site):
    site.cache.parent.mkdir(parents=True)
    site.cache.touch()
    with pytest.raises(
        WeightsError, match=r"net a\.pth' cannot be written \(.*\); make room, or set TORCH_HOME"
    ):
        cached_file(site.url)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/a.pth",
        "a.pth",
        "https://host",
        "https://host/",
        "https://host/a/..",
        "http://host/a%5Cb",
    ],
)
def test_an_address_that_names_no_file_is_refused(url):
    with pytest.raises(
        WeightsError, match="is not the address of a file; it must look like https://"
    ):
        cached_file(url)


@pytest.mark.parametrize("name", ["é.pth", "a b.pth"])
def test_an_address_with_bare_characters_is_refused(site, name):
    with pytest.raises(
        WeightsError, match=rf"{name}.* cannot be downloaded \(.*\); check the address"
    ):
        cached_file(site.url.replace("net%20a.pth", name))


def test_a_name_cannot_leave_the_cache(site):
    url = site.url.replace("net%20a.pth", "..%2F..%2Fnet.pth")
    assert cached_file(url) == site.cache / "net.pth"


@pytest.mark.parametrize("sha256", ["", "abc", "ABCDEF01", "g" * 8, "0" * 65])
def test_a_malformed_hash_is_refused(sha256):
    with pytest.raises(WeightsError, match=f"sha256 is '{sha256}'; give its first 8 to 64 digits"):
        cached_file("https://host/a.pth", sha256=sha256)


def test_one_line_on_the_error_stream_tells_what_was_downloaded(site, capsys):
    cached_file(site.url)
    out, err = capsys.readouterr()
    assert out == ""
    assert f"{decimal(len(CONTENT))} in 0 s" in err.replace("\n", " ")
