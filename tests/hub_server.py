"""The part of the Hugging Face hub's protocol that uploads and downloads of models use, on loopback."""

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

TOKEN = "hf_ofatest"
_LICENSES = ("apache-2.0", "mit", "cc-by-4.0")


class Repository:
    """Commits of one repository: files by commit, commits by branch."""

    def __init__(self, is_private=False):
        self.is_private = is_private
        self.commits = {"0" * 40: {}}
        self.messages = {}
        self.branches = {"main": "0" * 40}

    def commit(self, branch, files, message=""):
        content = {**self.commits[self.branches[branch]], **files}
        told = [branch, message, len(self.commits), sorted((k, len(v)) for k, v in content.items())]
        oid = hashlib.sha1(json.dumps(told).encode()).hexdigest()
        self.commits[oid], self.messages[oid] = content, message
        self.branches[branch] = oid
        return oid

    def files(self, revision="main"):
        return self.commits[self.branches.get(revision, revision)]


class Hub:
    """Repositories by name, and the requests that were made."""

    def __init__(self, url):
        self.url = url
        self.repositories = {}
        self.large = {}
        self.requests = []


class _Refusal(Exception):
    def __init__(self, status, code="", message=""):
        super().__init__(status, code, message)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_):
        pass

    def _answer(self):
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            for pattern, method in _ROUTES:
                if found := re.fullmatch(pattern, f"{self.command} {path}"):
                    return getattr(self, method)(body, **found.groupdict())
            raise _Refusal(404, "", "no such address")
        except _Refusal as refusal:
            status, code, message = refusal.args
            headers = {"X-Error-Code": code, "X-Error-Message": message}
            return self._send(json.dumps({"error": message or code}).encode(), headers, status)

    do_GET = do_HEAD = do_POST = do_PUT = _answer

    def _send(self, content, headers=None, status=200):
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _json(self, content, status=200):
        self._send(json.dumps(content).encode(), {"Content-Type": "application/json"}, status)

    def _is_member(self):
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _require_member(self):
        if not self._is_member():
            raise _Refusal(401, "", "Invalid username or password.")

    def _repository(self, repo):
        found = self.hub.repositories.get(repo)
        if found is None or (found.is_private and not self._is_member()):
            raise _Refusal(
                404 if self._is_member() else 401, "RepoNotFound", "Repository not found"
            )
        return found

    def create(self, body):
        self._require_member()
        asked = json.loads(body)
        repo = f"{asked['organization'] or 'me'}/{asked['name']}"
        is_private = asked.get("private") or asked.get("visibility") == "private"
        is_new = repo not in self.hub.repositories
        if is_new:
            self.hub.repositories[repo] = Repository(bool(is_private))
        content = {"url": f"{self.hub.url}/{repo}", "id": repo, "name": repo}
        self._json(content, 200 if is_new else 409)

    def info(self, body, repo):
        found = self._repository(repo)
        self._json({"id": repo, "sha": found.branches["main"], "private": found.is_private})

    def branch(self, body, repo, revision):
        self._require_member()
        found = self._repository(repo)
        if revision in found.branches:
            raise _Refusal(409, "", "Reference already exists")
        found.branches[revision] = found.branches["main"]
        self._json({})

    def validate(self, body):
        head = json.loads(body)["content"].split("---\n")[1]
        found = re.search(r"^license: (.*)$", head, re.MULTILINE)
        if found and found[1] not in _LICENSES:
            message = f'"license" must be one of {", ".join(_LICENSES)}'
            return self._json({"errors": [{"message": message}], "warnings": []}, 400)
        return self._json({"errors": [], "warnings": []})

    def preupload(self, body, repo, revision):
        self._require_member()
        files = json.loads(body)["files"]
        modes = {True: "lfs", False: "regular"}
        self._json(
            {
                "files": [
                    {
                        "path": file["path"],
                        "uploadMode": modes[file["path"].endswith(".safetensors")],
                        "shouldIgnore": False,
                    }
                    for file in files
                ]
            }
        )

    def batch(self, body, repo):
        self._require_member()
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.hub.url}/large/{one['oid']}"}}}
            for one in json.loads(body)["objects"]
        ]
        self._json({"transfer": "basic", "objects": objects})

    def store(self, body, oid):
        if hashlib.sha256(body).hexdigest() != oid:
            raise _Refusal(400, "", "another hash")
        self.hub.large[oid] = body
        self._send(b"")

    def commit(self, body, repo, revision):
        self._require_member()
        found = self._repository(repo)
        header, *rest = [json.loads(line) for line in body.decode().splitlines()]
        files = {}
        for line in rest:
            value = line["value"]
            is_large = line["key"] == "lfsFile"
            files[value["path"]] = (
                self.hub.large[value["oid"]] if is_large else base64.b64decode(value["content"])
            )
        oid = found.commit(revision, files, header["value"]["summary"])
        self._json({"commitUrl": f"{self.hub.url}/{repo}/commit/{oid}", "commitOid": oid})

    def resolve(self, body, repo, revision, file):
        found = self._repository(repo)
        commit = found.branches.get(revision, revision)
        if commit not in found.commits:
            raise _Refusal(404, "RevisionNotFound", "Invalid rev id")
        if file not in found.commits[commit]:
            raise _Refusal(404, "EntryNotFound", "Entry not found")
        content = found.commits[commit][file]
        etag = hashlib.sha256(content).hexdigest()
        self._send(content, {"X-Repo-Commit": commit, "ETag": f'"{etag}"'})


_REPO = r"(?P<repo>[^/]+/[^/]+)"
_ROUTES = [
    (r"POST /api/repos/create", "create"),
    (r"POST /api/validate-yaml", "validate"),
    (rf"GET /api/models/{_REPO}", "info"),
    (rf"POST /api/models/{_REPO}/branch/(?P<revision>.+)", "branch"),
    (rf"POST /api/models/{_REPO}/preupload/(?P<revision>.+)", "preupload"),
    (rf"POST /api/models/{_REPO}/commit/(?P<revision>.+)", "commit"),
    (rf"POST /{_REPO}\.git/info/lfs/objects/batch", "batch"),
    (r"PUT /large/(?P<oid>\w+)", "store"),
    (rf"(?:GET|HEAD) /{_REPO}/resolve/(?P<revision>.+?)/(?P<file>[^/]+)", "resolve"),
]


@contextmanager
def hub_server():
    """A hub without repositories, while the context lasts."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    handler.hub = Hub(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield handler.hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
