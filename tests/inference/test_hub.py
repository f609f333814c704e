import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from hub_server import TOKEN, Repository, hub_server
from shared_net import make_shared

import gcvideo
from gcvideo.inference import CheckpointError, ModelCard, read_checkpoint
from gcvideo.weights import WeightsError

FRAMES = np.random.default_rng(0).integers(0, 256, (20, 48, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def classifier():
    return make_shared()


@pytest.fixture
def constants():
    """The settings of huggingface_hub, which it takes from the environment when it is imported."""
    return pytest.importorskip("huggingface_hub.constants", reason="needs the extra hub")


def use_endpoint(url, constants, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture
def hub(constants, monkeypatch, tmp_path):
    """A hub of its own, and a user who may write there."""
    with hub_server() as server:
        use_endpoint(server.url, constants, monkeypatch)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server


def assert_same(loaded, classifier):
    assert torch.equal(loaded.scores(FRAMES), classifier.scores(FRAMES))
    assert (loaded.classes, loaded.protocol) == (classifier.classes, classifier.protocol)


def test_a_net_that_was_pushed_loads_with_its_scores(hub, classifier):
    card = ModelCard(license="mit")
    address = classifier.push_to_hub("me/net", card=card)
    (commit,) = hub.repositories["me/net"].messages
    assert address == f"hf://me/net@{commit}"
    files = hub.repositories["me/net"].files()
    assert files.keys() == {"model.safetensors", "config.json", "README.md"}
    assert list(hub.large.values()) == [files["model.safetensors"]]
    assert b'gcvideo.load("hf://me/net")' in files["README.md"]
    assert b"license: mit" in files["README.md"]
    for source in ("hf://me/net", "hf://me/net@main", address):
        loaded = gcvideo.load(source, device="cpu")
        assert_same(loaded, classifier)
        assert loaded.source == address
    assert hub.repositories["me/net"].messages[commit] == f"Upload of gcvideo {gcvideo.__version__}"
    assert not hub.repositories["me/net"].is_private


def test_revisions_are_branches_and_commits(hub, classifier):
    first = classifier.push_to_hub("me/net", private=True, commit_message="the first")
    other = make_shared(classes=["x", "y", "z"])
    second = other.push_to_hub("me/net", revision="other", commit_message="the second")
    pushed = hub.repositories["me/net"]
    assert pushed.is_private
    assert list(pushed.messages.values()) == ["the first", "the second"]
    for source, classes in (
        ("hf://me/net", classifier.classes),
        ("hf://me/net@other", other.classes),
        (first, classifier.classes),
        (second, other.classes),
    ):
        assert read_checkpoint(source).classes == classes


def test_both_files_are_of_one_commit_although_another_is_pushed_in_between(hub, classifier):
    first = classifier.push_to_hub("me/net")
    repository = hub.repositories["me/net"]

    class Moving(dict):
        def get(self, revision, default):
            """Another commit follows on each that a branch is asked for."""
            found = super().get(revision, default)
            if revision in self:
                repository.commit(revision, {"model.safetensors": b"another"}, str(len(self)))
            return found

    repository.branches = Moving(repository.branches)
    loaded = gcvideo.load("hf://me/net", device="cpu")
    assert loaded.source == first
    assert_same(loaded, classifier)
    assert repository.branches["main"] != first.partition("@")[2]


def test_what_was_loaded_once_loads_offline(hub, constants, monkeypatch, classifier):
    address = classifier.push_to_hub("me/net")
    gcvideo.load("hf://me/net")
    num_requests = len(hub.requests)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for source in ("hf://me/net", address):
        assert_same(gcvideo.load(source, device="cpu"), classifier)
    with pytest.raises(
        WeightsError,
        match=r"config.json of 'hf://me/other' is not in the cache .* HF_HUB_OFFLINE is set",
    ):
        gcvideo.load("hf://me/other")
    with pytest.raises(WeightsError, match=r"'me/net' was not written to .*OfflineMode"):
        classifier.push_to_hub("me/net")
    assert len(hub.requests) == num_requests


def test_without_a_connection_the_cache_serves_and_the_rest_is_an_error(
    hub, constants, monkeypatch, classifier
):
    classifier.push_to_hub("me/net")
    gcvideo.load("hf://me/net")
    use_endpoint("http://127.0.0.1:9", constants, monkeypatch)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between trials
    assert_same(gcvideo.load("hf://me/net", device="cpu"), classifier)
    with pytest.raises(
        WeightsError, match=r"'hf://me/other@v1' is not in the cache .* with a connection"
    ):
        gcvideo.load("hf://me/other@v1")
    with pytest.raises(WeightsError, match=r"'me/net' was not written to http://127.0.0.1:9"):
        classifier.push_to_hub("me/net")


def test_what_is_not_there_is_told_apart(hub, monkeypatch, classifier):
    classifier.push_to_hub("me/net", private=True)
    with pytest.raises(
        WeightsError, match=r"the repository 'me/net' has no revision 'v9'; give one"
    ):
        gcvideo.load("hf://me/net@v9")
    with pytest.raises(WeightsError, match=r"there is no repository 'me/other' at http"):
        gcvideo.load("hf://me/other")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(
        WeightsError, match=r"no repository 'me/net' .* or it is private; .* log in"
    ):
        gcvideo.load("hf://me/net")
    with pytest.raises(
        WeightsError, match=r"'me/net' was not written .* log in with `hf auth login`"
    ):
        classifier.push_to_hub("me/net")
    assert_same(_with_token(monkeypatch, "hf://me/net"), classifier)


def _with_token(monkeypatch, source):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return gcvideo.load(source, device="cpu")


@pytest.mark.parametrize("source", ["hf://net", "hf://a/b/c", "hf://me/net@", "hf:///me/net"])
def test_another_address_is_refused(source):
    with pytest.raises(
        CheckpointError, match=r"is not an address of the hub; it must look like hf://"
    ):
        gcvideo.load(source)


def test_a_repository_of_another_library_is_refused(hub):
    hub.repositories["they/bert"] = Repository()
    files = {"config.json": b'{"architectures": ["Bert"]}', "model.safetensors": b""}
    hub.repositories["they/empty"] = Repository()
    hub.repositories["they/bert"].commit("main", files)
    with pytest.raises(
        CheckpointError, match=r"'hf://they/empty' is not a net of gcvideo: it has no config"
    ):
        gcvideo.load("hf://they/empty")
    with pytest.raises(
        CheckpointError, match=r"'hf://they/bert' is not a net of gcvideo: its config.json"
    ):
        gcvideo.load("hf://they/bert")


class _Trap:
    def __reduce__(self):
        return print, ("unpickled",)


def test_pickles_of_the_hub_are_never_opened(hub, classifier, capsys):
    classifier.push_to_hub("me/net")
    repository = hub.repositories["me/net"]
    repository.commit("main", {"model.safetensors": pickle.dumps(_Trap())})
    with pytest.raises(
        CheckpointError, match=r"cannot be read as safetensors .* it could run code"
    ):
        gcvideo.load("hf://me/net")
    config = repository.files()["config.json"]
    repository.commits["1" * 40] = {"config.json": config, "best.ckpt": b"\x80"}
    repository.branches["main"] = "1" * 40
    with pytest.raises(CheckpointError, match=r"it has no model.safetensors"):
        gcvideo.load("hf://me/net")
    assert "unpickled" not in capsys.readouterr().out
    assert not [request for request in hub.requests if "best.ckpt" in request]


def test_a_net_is_not_published_where_private_was_asked_for(hub, classifier):
    classifier.push_to_hub("me/open", private=False)
    before = dict(hub.repositories["me/open"].files())
    with pytest.raises(
        WeightsError, match=r"private is True, but .* 'me/open' is there already and is public"
    ):
        make_shared(classes=["x", "y", "z"]).push_to_hub("me/open", private=True)
    assert hub.repositories["me/open"].files() == before


def test_what_the_hub_refuses_is_quoted(hub, classifier):
    with pytest.raises(WeightsError, match=r'"license" must be one of apache-2.0, mit'):
        classifier.push_to_hub("me/net", card=ModelCard(license="free"))
    with pytest.raises(WeightsError, match=r"'me/a/b' was not written .* must be NAMESPACE/NAME"):
        classifier.push_to_hub("me/a/b")
    assert not hub.large


def test_a_net_that_is_refused_makes_no_repository(hub, classifier):
    with pytest.raises(CheckpointError, match=r"made for torch in float32"):
        classifier.for_inference().push_to_hub("me/net")
    assert not hub.repositories


def test_without_the_library_the_error_names_the_extra(monkeypatch, classifier):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for call in (
        lambda: gcvideo.load("hf://me/net"),
        lambda: classifier.push_to_hub("me/net"),
    ):
        with pytest.raises(WeightsError, match=r"huggingface_hub, .* pip install gcvideo\[hub\]"):
            call()


@pytest.mark.slow
def test_a_command_takes_an_address_for_a_checkpoint(constants, classifier, video_folder, tmp_path):
    """In a process of its own, with the settings of the library in the environment."""
    video = video_folder / "dark" / "dark_0.mp4"
    words = ["predict", "hf://me/net@main", str(video), "device=cpu", "output=scores.jsonl"]
    with hub_server() as server:
        settings = {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": TOKEN}
        settings["OMP_NUM_THREADS"] = "1"
        repository = server.repositories["me/net"] = Repository(is_private=True)
        folder = classifier.save_pretrained(tmp_path / "net")
        commit = repository.commit("main", {f.name: f.read_bytes() for f in folder.iterdir()})
        done = subprocess.run(
            [sys.executable, "-m", "gcvideo.cli", *words],
            cwd=tmp_path,
            env=os.environ | settings,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        assert f"checkpoint hf://me/net@{commit}" in done.stdout
        ranking = json.loads((tmp_path / "scores.jsonl").read_text())["classes"]
        scores = dict(zip(classifier.classes, classifier.scores(str(video)).tolist(), strict=True))
        assert {e["name"]: e["score"] for e in ranking} == pytest.approx(scores, abs=1e-4)
        record = json.loads((tmp_path / "scores.jsonl.run.json").read_text())
        assert record["checkpoint"] == f"hf://me/net@{commit}"
