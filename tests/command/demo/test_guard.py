import asyncio
import json

import pytest

from gcvideo.command.demo._guard import Guard


async def _inner(scope, receive, send):
    """Answers with what it has received."""
    body = (await receive()).get("body", b"") if scope["method"] == "POST" else b"inner"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def uploads(tmp_path):
    folder = tmp_path / "uploads"
    (folder / "hash").mkdir(parents=True)
    (folder / "hash" / "a b.mp4").write_bytes(b"uploaded")
    (folder / "loose.mp4").write_bytes(b"loose")
    (folder / "hash" / "link.mp4").symlink_to(tmp_path / "secret.txt")
    (tmp_path / "secret.txt").write_text("secret")
    return folder


@pytest.fixture
def ask(uploads):
    """Status, headers and body of a request through the guard."""
    guard = Guard(_inner, folder=uploads, max_upload_bytes=1000)

    def request(path, method="GET", body=b"", length=None):
        length = len(body) if length is None else length
        headers = [] if length is False else [(b"content-length", str(length).encode())]
        scope = {"type": "http", "method": method, "path": path, "headers": headers}
        sent = []

        async def receive():
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message):
            sent.append(message)

        asyncio.run(guard(scope, receive, send))
        return sent[0]["status"], dict(sent[0]["headers"]), b"".join(m["body"] for m in sent[1:])

    return request


def test_the_page_and_its_parts_pass_and_browsers_are_told_to_ask_nobody_else(ask):
    for path in ("/", "/config", "/assets/Index-a_b.js", "/static/img/logo.svg", "/theme.css"):
        status, headers, body = ask(path)
        assert (status, body) == (200, b"inner"), path
        policy = headers[b"content-security-policy"].decode()
        assert "default-src 'self'" in policy
        assert "http" not in policy
        assert "*" not in policy


FILES = """
/file=/etc/hostname /gradio_api/file=/etc/hostname /gradio_api/file/etc/hostname /assets/../../secret.txt
/static/../secret /assets/ /assets//etc/hostname /assets/.hidden //etc/hostname /svelte/x
"""
OTHERS = """
/gradio_api/proxy=http://127.0.0.1/ /gradio_api/call/classify /gradio_api/run/predict /gradio_api/api/predict
/gradio_api/stream/a/1/2/playlist-file /gradio_api/custom_component/a/b/c/d /gradio_api/deep_link /monitoring
/gradio_api/vibe-code /gradio_api/process_recording /gradio_api/dev/reload /docs /openapi.json /login
"""


@pytest.mark.parametrize("path", [*FILES.split(), *OTHERS.split()])
def test_all_other_routes_do_not_exist(ask, path):
    for method in ("GET", "HEAD", "POST"):
        assert ask(path, method)[0] == 404


def test_only_what_was_uploaded_can_be_worked_on(ask, uploads, tmp_path):
    def join(path):
        body = json.dumps({"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}]}).encode()
        return ask("/gradio_api/queue/join", "POST", body)

    good = str(uploads / "hash" / "a b.mp4")
    status, _, passed = join(good)
    assert status == 200
    assert json.loads(passed)["data"][0]["path"] == good
    others = [
        *(tmp_path / "secret.txt", uploads, uploads / "hash", uploads / "loose.mp4"),
        *(uploads / "hash" / "gone.mp4", uploads / "hash" / "link.mp4"),
        *(uploads / "hash" / ".." / ".." / "secret.txt", "uploads/hash/a b.mp4", ""),
        *("http://127.0.0.1:9/a.mp4", "https://example.com/a.mp4", f"file://{good}", f"{good}\0"),
    ]
    for path in others:
        assert join(str(path))[0] == 403, path
    for path in (None, 7, [good], {"path": good}):
        assert join(path)[0] == 403, path


def test_a_path_that_is_named_twice_or_deep_is_seen(ask, uploads, tmp_path):
    good, secret = uploads / "hash" / "a b.mp4", tmp_path / "secret.txt"
    body = f'{{"data": [{{"path": "{secret}", "path": "{good}"}}]}}'.encode()
    status, _, passed = ask("/gradio_api/queue/join", "POST", body)
    assert status == 200
    assert b"secret" not in passed  # whichever of the two another parser would take
    deep = json.dumps({"data": [[{"x": [{"path": str(secret)}]}]]}).encode()
    assert ask("/gradio_api/queue/join", "POST", deep)[0] == 403
    assert ask("/gradio_api/queue/join", "POST", b"[" * 60000)[0] == 400
    assert ask("/gradio_api/queue/join", "POST", b"no json")[0] == 400


def test_requests_that_are_too_large_or_do_not_say_how_large_they_are_end_at_once(ask):
    status, _, body = ask("/gradio_api/upload", "POST", length=10**6)
    assert (status, body) == (413, b"the file is too large; the limit is 0.000953674 MB")
    assert ask("/gradio_api/upload", "POST", length=1000)[0] == 200
    assert ask("/gradio_api/queue/join", "POST", length=10**6)[0] == 413
    assert ask("/gradio_api/upload", "POST", length=False)[0] == 411
