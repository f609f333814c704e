"""Nets shared on the Hugging Face hub: their addresses, and their files in its cache."""

import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from gcvideo.weights._state_file import CheckpointError, WeightsError

WEIGHTS_FILE, CONFIG_FILE = "model.safetensors", "config.json"
KEY = "gcvideo"
"""Of a checkpoint in a file: in the metadata of safetensors, and in ``config.json``."""
_SCHEME = "hf:/"  # a Path has one slash less
_ADDRESS = re.compile(r"hf:/{1,2}(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>.+))?")


def is_on_hub(source: str | Path) -> bool:
    """Whether this is an address of the hub, right or wrong, and not the path of a file."""
    return str(source).startswith(_SCHEME)


def hub_package() -> Any:
    """The package huggingface_hub; WeightsError with the remedy without it."""
    try:
        return import_module("huggingface_hub")
    except ModuleNotFoundError as error:
        raise WeightsError(
            f"the Hugging Face hub needs the package {error.name}, which is not installed; "
            "pip install gcvideo[hub]"
        ) from error


def hub_weights(source: str | Path) -> Path:
    """The weights of a repository of the hub, in its cache, or downloaded into it.

    The hub's own settings hold: ``HF_HOME`` (folder of the cache), ``HF_HUB_OFFLINE=1`` (the cache
    alone), ``HF_TOKEN`` and ``HF_ENDPOINT``. A branch is looked up at every call; without a connection
    it is what it was at the last.

    Args:
        source: address, ``hf://NAMESPACE/NAME`` or ``hf://NAMESPACE/NAME@REVISION``, where the revision is
            a branch, a tag or a commit.

    Raises:
        CheckpointError: for another address, or a repository that holds no net of gcvideo.
        WeightsError: if huggingface_hub is not installed, the repository does not exist or may not be
            read, or the hub cannot be reached and the cache lacks it.
    """
    found = _ADDRESS.fullmatch(str(source))
    if found is None:
        raise CheckpointError(
            f"'{source}' is not an address of the hub; it must look like hf://NAMESPACE/NAME or "
            "hf://NAMESPACE/NAME@REVISION"
        )
    config = _download(found["repo"], CONFIG_FILE, found["revision"])
    # Of the same commit, even if another one is pushed between the two.
    weights = _download(found["repo"], WEIGHTS_FILE, config.parent.name)
    check_repository(weights.parent, f"hf://{found['repo']}")
    return weights


def address_of(source: str | Path, file: Path) -> str:
    """What tells where weights came from: of the hub the address with the commit, else the file."""
    found = _ADDRESS.fullmatch(str(source))
    return str(file) if found is None else f"hf://{found['repo']}@{file.parent.name}"


def is_repository(folder: Path) -> bool:
    """Whether a folder has the files of a repository of the hub."""
    return all((folder / name).is_file() for name in (WEIGHTS_FILE, CONFIG_FILE))


def check_repository(folder: Path, name: str) -> None:
    """Raise CheckpointError unless the files are those of a net of gcvideo, and describe the same one."""
    try:
        content = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{CONFIG_FILE} of '{name}' is not JSON: {error}") from error
    product = content.get(KEY) if isinstance(content, dict) else None
    if not (isinstance(product, dict) and {"classes", "config"} <= product.keys()):
        raise _foreign(name, f"its {CONFIG_FILE} has no {KEY!r} with 'classes' and 'config'")
    try:
        with safe_open(folder / WEIGHTS_FILE, "pt") as file:
            stored = json.loads((file.metadata() or {}).get(KEY, "null"))
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(
            f"{WEIGHTS_FILE} of '{name}' cannot be read as safetensors ({error}), and nothing else is read "
            "from a repository, because it could run code; if it is a Git LFS pointer, run `git lfs pull`, "
            "else push or download the net again"
        ) from error
    if stored != product:
        raise CheckpointError(
            f"{CONFIG_FILE} and {WEIGHTS_FILE} of '{name}' describe two different nets: one was changed "
            "without the other; push the net again, or take a revision in which they agree"
        )


def _download(repo: str, name: str, revision: str | None) -> Path:
    hub = hub_package()
    try:
        return Path(
            hub.hf_hub_download(
                repo, name, revision=revision, library_name=KEY, library_version=None
            )
        )
    # Its classes of errors have other bases, and other clients below, from version to version.
    except Exception as error:
        raise _explained(hub, error, repo, name, revision) from error


def _explained(
    hub: Any, error: Exception, repo: str, name: str, revision: str | None
) -> CheckpointError | WeightsError:
    errors, address = hub.errors, f"hf://{repo}" + (f"@{revision}" if revision else "")
    if isinstance(error, errors.LocalEntryNotFoundError):
        cause = (
            "HF_HUB_OFFLINE is set" if hub.constants.HF_HUB_OFFLINE else error.__cause__ or error
        )
        return WeightsError(
            f"{name} of '{address}' is not in the cache '{hub.constants.HF_HUB_CACHE}', and cannot be "
            f"downloaded: {cause}; load it once with a connection, after which it loads without"
        )
    if isinstance(error, errors.EntryNotFoundError):
        return _foreign(address, f"it has no {name}")
    if isinstance(error, errors.RevisionNotFoundError):
        return WeightsError(
            f"the repository '{repo}' has no revision '{revision}'; give one of its branches, tags or "
            "commits, or leave the part behind @ out"
        )
    if isinstance(error, errors.GatedRepoError):
        page = f"{hub.constants.ENDPOINT}/{repo}"
        return WeightsError(f"'{repo}' asks its readers to accept terms; accept them at {page}")
    if isinstance(error, errors.RepositoryNotFoundError):
        return WeightsError(
            f"there is no repository '{repo}' at {hub.constants.ENDPOINT}, or it is private; check the name, "
            "or log in with `hf auth login` or HF_TOKEN"
        )
    return WeightsError(
        f"'{address}' cannot be downloaded ({type(error).__name__}: {error}); try again"
    )


def _foreign(name: str, reason: str) -> CheckpointError:
    return CheckpointError(
        f"'{name}' is not a net of gcvideo: {reason}; give a repository that `push_to_hub` of a "
        "TrainedClassifier has written"
    )
