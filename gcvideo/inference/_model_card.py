"""Model cards: what a reader of a shared net must know, from what is known of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import gcvideo
from gcvideo._construction import TARGET
from gcvideo.inference._checkpoint import Checkpoint
from gcvideo.inference._result_row import (
    ResultRow,
    held_out_row,
    published_row,
    run_results,
    validation_row,
)

_UNKNOWN = "not known"
_MADE = {"gcvideo.data.demo_videos": "demo set", "gcvideo.data.cue_videos": "cue set"}


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """The part of a model card that only its author knows; the rest comes from the net and its run.

    Args:
        license: identifier of the hub, such as "apache-2.0"; None: the card says that none is stated.
        about: Markdown, such as what the net is for, and where its videos come from on which terms.
        test: folder that ``gcvideo test`` has written for this checkpoint, whose result is quoted.
    """

    license: str | None = None
    about: str | None = None
    test: str | Path | None = None

    def text(
        self,
        trained: Checkpoint,
        name: str,
        *,
        num_parameters: int,
        packages: Sequence[str] = ("gcvideo",),
    ) -> str:
        """The card as Markdown with its head in YAML.

        Args:
            trained: net with the configuration of its training, as far as it is known.
            name: address or folder from which the reader loads it.
            num_parameters: of the net.
            packages: top-level packages that its configuration names.

        Raises:
            CheckpointError: if ``test`` is not the folder of a test of this checkpoint.
        """
        results = run_results(trained.path)
        rows = self._rows(trained, results)
        return "\n".join(
            [
                self._head(),
                f"# {name.rpartition('/')[2]}\n",
                f"{self.about or 'What it is for has not been stated by its author.'}\n",
                *_use(name, packages),
                *self._facts(trained, results, num_parameters),
                *self._results(rows),
                *_limits(results, [row.calibration for row in rows]),
                f"## Classes\n\nIn label order:\n\n```text\n{chr(10).join(trained.classes)}\n```\n",
            ]
        )

    def _head(self) -> str:
        head = {
            "license": self.license,
            "library_name": "gcvideo",
            "pipeline_tag": "video-classification",
            "tags": ["action-recognition", "gcvideo", "video-classification"],
        }
        known = {key: value for key, value in head.items() if value is not None}
        return f"---\n{yaml.safe_dump(known, sort_keys=False)}---\n"

    def _facts(
        self, trained: Checkpoint, results: Mapping[str, Any] | None, num_parameters: int
    ) -> list[str]:
        config, protocol = trained.config, trained.build_protocol(packages_in(trained.protocol))
        lines = {
            "net": f"{config['model']['name']}, {num_parameters:,} parameters",
            "classes": f"{len(trained.classes)}, listed below",
            "protocol": str(protocol),
            "training data": _data(config, results),
            "training": _training(config, results),
            "start": _start(config),
            "license": self.license or "not stated by its author",
            "written by": f"gcvideo {gcvideo.__version__}",
        }
        return ["| | |\n|---|---|", *(f"| {key} | {value} |" for key, value in lines.items()), ""]

    def _rows(self, trained: Checkpoint, results: Mapping[str, Any] | None) -> list[ResultRow]:
        rows = [
            None if results is None else validation_row(trained.path, results),
            None if self.test is None else held_out_row(trained.path, self.test),
            published_row(trained.path),
        ]
        return [row for row in rows if row is not None]

    def _results(self, rows: Sequence[ResultRow]) -> list[str]:
        if not rows:
            return [f"## Results\n\nHow accurate it is, is {_UNKNOWN}.\n"]
        header = (
            "| measured on | top-1 | top-5 | calibration error | chance top-1 | majority top-1 |\n"
            "|---|---|---|---|---|---|"
        )
        about = "Accuracies are fractions of videos."
        return [f"## Results\n\n{about}\n", header, *(row.markdown() for row in rows), ""]


def _use(name: str, packages: Sequence[str]) -> list[str]:
    own = [package for package in packages if package != "gcvideo"]
    options = f", packages={['gcvideo', *own]!r}" if own else ""
    needed = (
        f" Its configuration names functions of {', '.join(own)}, which you need too."
        if own
        else ""
    )
    return [
        f'With `pip install "gcvideo[hub]"`.{needed}\n\n```python\nimport gcvideo\n',
        f'clf = gcvideo.load("{name}"{options})',
        'print(clf.classify("clip.mp4", top_k=5))\n```\n',
    ]


def _data(config: Mapping[str, Any], results: Mapping[str, Any] | None) -> str:
    target = config.get("data", {}).get(TARGET)
    if target is None:
        return _UNKNOWN
    whose = _MADE.get(target)
    text = f"the {whose} of gcvideo, made on first use" if whose else "videos of its author's"
    if results is None:
        return f"{text}; how many is {_UNKNOWN}"
    videos = results["videos"]
    return f"{text}; {videos['train']} for training, {videos['val']} for validation"


def _training(config: Mapping[str, Any], results: Mapping[str, Any] | None) -> str:
    if results is None:
        return f"{_UNKNOWN}, or not finished" if "epochs" in config else _UNKNOWN
    return (
        f"{results['epochs']} epochs, {results['steps']} steps, in {results['precision']['training']}, "
        f"seed {config['seed']}"
    )


def _start(config: Mapping[str, Any]) -> str:
    if "weights" not in config:
        return _UNKNOWN
    weights = config["weights"]
    if weights is None:
        return "random weights"
    # Of a file no more than its name: its folder is a matter of its author's machine.
    source = weights.get("name") or Path(str(weights.get("path", ""))).name
    return f"weights of `{source}`" if source else _UNKNOWN


def _limits(
    results: Mapping[str, Any] | None, calibrations: Sequence[Mapping[str, Any] | None]
) -> list[str]:
    measured = next((found for found in calibrations if found is not None), None)
    calibrated = "whether they are calibrated has not been measured."
    if measured is not None:
        calibrated = (
            "the calibration error above is how far the accuracy of answers is from their scores on average, "
            f"over {measured['bins']} bins of scores (expected calibration error, Guo et al., 2017), on "
            "videos like those measured."
        )
    lines = [
        "It knows the classes below alone: a video of anything else gets one of them too.",
        f"Its scores are outputs of a softmax; {calibrated}",
        "How its errors are spread over people, places and cameras has not been measured.",
    ]
    if results is not None:
        lines.append(
            "Its validation videos chose its epoch, and may have chosen its settings: neither their "
            "result, nor that of a test on the same videos, says how it does on others."
        )
    bad = (results or {}).get("bad_videos", {})
    if any(bad.values()):
        lines.append(
            f"Of its training videos, {bad['unreadable']} could not be read and were replaced, and "
            f"{bad['damaged']} were damaged."
        )
    return ["## Limits\n", *(f"- {line}" for line in lines), ""]


def packages_in(description: Any) -> list[str]:
    """Top-level packages that a description names, "gcvideo" first."""
    found = {"gcvideo"}
    if isinstance(description, Mapping):
        found |= {str(description[TARGET]).partition(".")[0]} if TARGET in description else set()
        description = list(description.values())
    if isinstance(description, Sequence) and not isinstance(description, str):
        found = found.union(*map(packages_in, description))
    return sorted(found, key=lambda package: (package != "gcvideo", package))
