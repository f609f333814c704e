"""The command that writes weights as a checkpoint of this package."""

from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from gcvideo._console import Console
from gcvideo.command._output_check import check_file
from gcvideo.inference import Checkpoint, CheckpointError, read_checkpoint, write_checkpoint
from gcvideo.inference._checkpoint import write_tensors
from gcvideo.weights import ZOO, Conversion, LoadReport
from gcvideo.weights import convert as convert_weights
from gcvideo.weights._download import cached_file
from gcvideo.weights._naming import IMAGE_NAMINGS
from gcvideo.weights._weight_source import checkpoint_file
from gcvideo.weights._zoo import class_names

_CONSOLE = Console()
_PROTOCOLS = {
    "pytorchvideo": "pytorchvideo",
    "pyslowfast": "slowfast",
    "caffe2": "nonlocal",
    "mmaction2": "mmaction",
}


def convert(cfg: DictConfig) -> LoadReport | None:
    """Write weights as a checkpoint of this package, as configured by ``conf/convert.yaml``.

    Weights of image nets become a state dict without classes, from which a training can start.

    Returns:
        A report on every tensor; None if the source is already a checkpoint.

    Raises:
        ValueError: if ``output`` is not a .safetensors file, or classes or protocol are missing.
    """
    output = Path(cfg.output)
    if output.suffix != ".safetensors":
        raise ValueError(f"output is '{output}'; give a file ending in .safetensors")
    check_file(output, "output")
    source = str(cfg.source)
    record = ZOO.get(source)
    if record is not None and record.classes is None:
        source = str(cached_file(record.url, sha256=record.sha256))
    with suppress(CheckpointError):
        checkpoint = read_checkpoint(source)
        write_checkpoint(output, checkpoint)
        told = checkpoint.report or f"{checkpoint.path} is a gcvideo checkpoint"
        _CONSOLE.print(f"{told}\nwritten to {output}", soft_wrap=True)
        return checkpoint.report
    source = checkpoint_file(source)
    conversion = convert_weights(source, instantiate(cfg.choice), inflation=cfg.inflation)
    if conversion.layout in IMAGE_NAMINGS:
        net, report = conversion.build()
        write_tensors(output, {key: net.state_dict()[key] for key in report.loaded})
    else:
        protocol, classes = _protocol(cfg, conversion), _classes(cfg, conversion)
        net, report = conversion.build()
        checkpoint = Checkpoint.of_net(
            net,
            name=source.stem,
            description=conversion.net,
            classes=classes,
            protocol=protocol,
        )
        write_checkpoint(output, checkpoint)
    lines = [*_report(conversion, report), f"written to {output}"]
    _CONSOLE.print("\n".join(lines), soft_wrap=True)
    return report


def _protocol(cfg: DictConfig, conversion: Conversion) -> dict[str, Any]:
    if cfg.protocol is None:
        raise ValueError(
            "the weights do not say how their clips were sampled and normalised; give protocol=..., which for "
            f"{conversion.layout} is protocol={_PROTOCOLS[conversion.layout]}, and num_frames and "
            "sampling_rate if they are not 8 and 8"
        )
    return cast(dict[str, Any], OmegaConf.to_container(cfg.protocol, resolve=True))


def _classes(cfg: DictConfig, conversion: Conversion) -> tuple[str, ...]:
    if cfg.classes is None:
        raise ValueError(
            f"the weights have {conversion.architecture.num_classes} classes but not their names; give "
            "classes=kinetics400, or a file with one name per line, in label order"
        )
    path = Path(cfg.classes)
    if path.is_file():
        return tuple(path.read_text(encoding="utf-8").splitlines())
    return class_names(str(cfg.classes))


def _report(conversion: Conversion, report: LoadReport) -> list[str]:
    lines = [f"{conversion.layout}: {conversion.architecture}", *conversion.notes, str(report)]
    known = conversion.choice.known()
    # The head follows from the protocol.
    habits = [f"choice.{name}={known[name]}" for name in conversion.assumed if name != "head"]
    if habits:
        lines.append(f"not in the file, so taken from {conversion.layout}: {', '.join(habits)}")
    lines += [
        f"a published file has this name: source={record.name} knows its classes and protocol"
        for record in ZOO.values()
        if record.file == conversion.name
    ]
    fresh = (key for key in report.fresh if not key.endswith("num_batches_tracked"))
    lines += [f"  fresh: {key}" for key in fresh]
    return [*lines, *(f"  ignored: {key}" for key in report.ignored)]
