"""Trained nets as the files of a repository, in a folder or on the Hugging Face hub."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import gcvideo
from gcvideo._construction import TARGET, construct
from gcvideo._draft import draft_of
from gcvideo.inference._checkpoint import (
    Checkpoint,
    clip_classifier,
    net_config,
    write_checkpoint,
)
from gcvideo.inference._classifier import TrainedClassifier
from gcvideo.inference._model_card import ModelCard, packages_in
from gcvideo.weights._hub import CONFIG_FILE, KEY, WEIGHTS_FILE, hub_package
from gcvideo.weights._state_file import CheckpointError, WeightsError

_CARD_FILE = "README.md"


def save_pretrained(
    classifier: TrainedClassifier, folder: str | Path, card: ModelCard, name: str | None = None
) -> Path:
    """As :meth:`TrainedClassifier.save_pretrained`; ``name`` is what the card loads it by."""
    folder = Path(folder)
    shared = _shared(classifier)
    packages = packages_in(shared.config)
    trained = Checkpoint(
        classifier.source or "", classifier.config, shared.classes, shared.protocol, {}
    )
    num_parameters = sum(p.numel() for p in classifier.model.parameters())
    # It may refuse, which must not leave a part of the files.
    text = card.text(trained, name or str(folder), num_parameters=num_parameters, packages=packages)
    product = write_checkpoint(folder / WEIGHTS_FILE, shared)
    _write(folder / CONFIG_FILE, json.dumps({KEY: product}, indent=2, ensure_ascii=False) + "\n")
    _write(folder / _CARD_FILE, text)
    return folder


@dataclass(frozen=True)
class Upload:
    """Where a net goes on the hub; the arguments of :meth:`TrainedClassifier.push_to_hub`."""

    repo: str
    private: bool | None
    token: str | None
    revision: str | None
    commit_message: str | None

    def push(self, classifier: TrainedClassifier, card: ModelCard) -> str:
        """As :meth:`TrainedClassifier.push_to_hub`."""
        hub = hub_package()
        with tempfile.TemporaryDirectory(prefix="gcvideo-hub-") as name:
            folder = save_pretrained(classifier, name, card, f"hf://{self.repo}")
            files = sorted(folder.iterdir())
            # Their errors have other bases, and other clients below, from version to version.
            try:
                return f"hf://{self.repo}@{self._commit(hub, files)}"
            except WeightsError:
                raise
            except Exception as error:
                told = " ".join(str(error).split())
                raise WeightsError(
                    f"'{self.repo}' was not written to {hub.constants.ENDPOINT} ({type(error).__name__}: "
                    f"{told}); it must be NAMESPACE/NAME, with a connection and a token that may write there: "
                    "log in with `hf auth login`, or set HF_TOKEN"
                ) from error

    def _commit(self, hub: Any, files: Sequence[Path]) -> str:
        version = gcvideo.__version__
        api = hub.HfApi(token=self.token, library_name=KEY, library_version=version)
        api.create_repo(self.repo, private=self.private, exist_ok=True)
        is_private = None if self.private is None else api.model_info(self.repo).private
        if is_private != self.private:
            raise WeightsError(
                f"private is {self.private}, but the repository '{self.repo}' is there already and is "
                f"{'private' if is_private else 'public'}; nothing was written: change that in its settings on "
                "the hub, leave private out, or take another name"
            )
        if self.revision is not None and not self.revision.startswith("refs/"):
            api.create_branch(self.repo, branch=self.revision, exist_ok=True)
        # Not upload_folder, which may make several commits.
        additions = [
            hub.CommitOperationAdd(path_in_repo=file.name, path_or_fileobj=str(file))
            for file in files
        ]
        message = self.commit_message or f"Upload of gcvideo {version}"
        commit = api.create_commit(
            self.repo, additions, commit_message=message, revision=self.revision
        )
        return commit.oid


def _shared(classifier: TrainedClassifier) -> Checkpoint:
    """The net without the configuration of its training; CheckpointError if it cannot be rebuilt."""
    if classifier.is_prepared or classifier.engine != "torch":
        raise CheckpointError(
            f"the net has been made for {classifier.engine} in {classifier.precision} already, and what is "
            "shared are the weights of training; take the checkpoint that it was made of"
        )
    model, protocol = classifier.config.get("model", {}), classifier.config.get("protocol", {})
    if TARGET not in model.get("net", {}) or TARGET not in protocol:
        raise CheckpointError(
            "the classifier has no configuration from which its net can be rebuilt; take one that "
            "`gcvideo.load` has read, or give TrainedClassifier config={'model': {'name': ..., 'net': ...}, "
            "'protocol': ...} with descriptions of both"
        )
    config = net_config(model.get("name", "net"), model["net"], protocol, classifier.protocol)
    state = {key: tensor.cpu() for key, tensor in classifier.model.state_dict().items()}
    shared = Checkpoint(classifier.source or "", config, classifier.classes, protocol, state)
    _check(shared, classifier)
    return shared


def _check(shared: Checkpoint, classifier: TrainedClassifier) -> None:
    """Refuse a configuration that rebuilds something else than the classifier."""
    packages = packages_in(shared.config)
    protocol = shared.build_protocol(packages)
    if protocol != classifier.protocol:
        raise CheckpointError(
            f"the classifier's protocol is '{classifier.protocol}', but its configuration describes "
            f"'{protocol}'; change both"
        )
    with torch.device("meta"):
        net = construct(shared.config["model"]["net"], packages=packages)
        rebuilt: dict[str, Any] = clip_classifier(net, protocol).state_dict()
    own = shared.state_dict
    differing = sorted(
        key
        for key in rebuilt.keys() | own.keys()
        if key not in rebuilt or key not in own or rebuilt[key].shape != own[key].shape
    )
    if differing:
        raise CheckpointError(
            f"the net is not the one that its configuration describes: {len(differing)} tensors differ, such "
            f"as '{differing[0]}'; describe the net as it is in config['model']['net']"
        )
    num_rows = shared.config["model"]["net"].get("num_classes", len(shared.classes))
    if num_rows != len(shared.classes):
        raise CheckpointError(
            f"the net has {num_rows} classes, but {len(shared.classes)} names; give one name for each"
        )


def _write(path: Path, text: str) -> None:
    with draft_of(path) as draft:
        draft.write_text(text, encoding="utf-8")
