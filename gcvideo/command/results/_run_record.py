"""What the results in a file are of, beside it as JSON: so that a command goes on with its own results only."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

import gcvideo
from gcvideo.command._output_check import telling
from gcvideo.command._record import write_json
from gcvideo.data.listing._path_list import PathList
from gcvideo.inference import TrainedClassifier

RECORD_ENDING = ".run.json"


class OtherRunError(ValueError):
    """A file holds results of another run."""


@dataclass
class RunRecord:
    """What results are of, and how far they are.

    Args:
        made_by: what two runs must share to have the same results: command, version, net, protocol,
            settings and inputs.
        checkpoint: file or name that the net was loaded from, which may have moved meanwhile.
        shard: part of the inputs, "0/4"; None: all.
        is_finished: whether all inputs of the part are in the file, in their order.
        num_done: inputs in a finished file.
        num_errors: how many of them could not be worked on.
        seconds: time that the work took, without what an unfinished run took before.
    """

    made_by: Mapping[str, Any]
    checkpoint: str | None = None
    shard: str | None = None
    is_finished: bool = False
    num_done: int = 0
    num_errors: int = 0
    seconds: float = 0.0
    path: Path = field(default=Path(), repr=False)

    @classmethod
    def beside(cls, output: Path) -> "RunRecord | None":
        """The record of a file of results; None if it has none."""
        path = record_path(output)
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return cls(**content, path=path)
        except (ValueError, TypeError) as error:
            raise OtherRunError(
                f"'{path}' is not the record of a run ({error}); delete it, or give another output"
            ) from error

    def write(self) -> None:
        """Write it beside its results, whole or not at all."""
        content = asdict(self)
        del content["path"]
        with telling(self.path, "output"):
            write_json(self.path, content)

    def require_same(self, other: "RunRecord", output: Path) -> None:
        """Raise OtherRunError, with what differs, unless results of the other may stand with these."""
        mine = {**self.made_by, "shard": self.shard}
        theirs = {**other.made_by, "shard": other.shard}
        different = [
            f"{key} is {theirs.get(key)}, was {mine.get(key)}"
            for key in {**mine, **theirs}
            if mine.get(key) != theirs.get(key)
        ]
        if different:
            raise OtherRunError(
                f"'{output}' holds results of another run ({'; '.join(different)}); give another output, or "
                "overwrite=true to lose them"
            )


def record_path(output: Path) -> Path:
    """The file beside results that says what they are of."""
    return output.with_name(f"{output.name}{RECORD_ENDING}")


def describe_run(
    command: str,
    net: str,
    classifier: TrainedClassifier,
    inputs: PathList,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """What two runs must share to have the same results.

    Args:
        command: name of the command.
        net: :func:`net_digest` of the classifier as it was loaded.
        classifier: as it computes.
        inputs: all of them, whatever part is worked on.
        settings: keys of the command that change its results.
    """
    return {
        "command": command,
        "gcvideo": gcvideo.__version__,
        "net": net,
        "engine": classifier.engine,
        "precision": classifier.precision,
        "protocol": str(classifier.protocol),
        **settings,
        "videos": len(inputs),
        "video_list": list_digest(inputs),
    }


def list_digest(inputs: PathList) -> str:
    """A short text that differs for other paths, or for the same ones in another order."""
    found = hashlib.blake2b(inputs.text.data, digest_size=8)
    found.update(inputs.offsets.astype("<u8").tobytes())
    return found.hexdigest()


def net_digest(classifier: TrainedClassifier) -> str:
    """A short text that differs for other weights, classes or protocols; of a net as it was loaded."""
    described = "\n".join([*classifier.classes, repr(classifier.protocol)])
    found = hashlib.blake2b(described.encode(), digest_size=8)
    if classifier.engine_model is None:
        for name, tensor in sorted(classifier.model.state_dict().items()):
            found.update(name.encode())
            values = tensor.detach().cpu().contiguous().reshape(-1)
            found.update(values.view(torch.uint8).numpy().data)  # numpy has no bfloat16
    else:
        source = Path(str(classifier.source))
        for file in (source, source.with_suffix(".bin")):
            if file.is_file():
                found.update(file.read_bytes())
    return found.hexdigest()
