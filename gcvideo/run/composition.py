"""From a command line to a job under Hydra.

A mistake shall be told at once: what takes seconds to import, torch and Lightning, comes with the job.
"""

import difflib
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import hydra
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from rich.console import Console

from gcvideo.data.container import VideoReadError
from gcvideo.run.rank_config import (
    global_rank,
    joined_watch,
    publish_config,
    received_config,
    refuse_config,
)
from gcvideo.run.rank_failure import FirstRankWatch, RankWatch

_USER_ERRORS = (
    VideoReadError,
    FileNotFoundError,
    FloatingPointError,
    MissingMandatoryValue,
    ValueError,  # which those of descriptions, checkpoints and weights are
)
_Watch = FirstRankWatch | RankWatch | None


class OverrideError(ValueError):
    """An override on the command line that fits no key and no group."""


def run_script(config_folder: Path, config_name: str, job: Callable[[DictConfig], Any]) -> None:
    """Run a job under Hydra; mistakes of the user end in one message, not in a traceback.

    Args:
        config_folder: absolute path of ``conf``.
        config_name: of a file in ``conf``: "train", "test", ...
        job: gets the composed configuration; its value is the objective of a sweep.
    """
    console = Console(stderr=True, highlight=False)
    quiet_libraries()
    received = received_config()
    if received is not None:
        _guarded(job)(received)
        return
    _register_groups(config_name)
    try:
        _compose_and_run(config_folder, config_name, job, console)
    except SystemExit:
        refuse_config()
        raise


def quiet_libraries() -> None:
    """Silence hints of Lightning: on its other products, its own deprecations, and SLURM outside a job."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # the run reports its device
    warnings.filterwarnings("ignore", message=".isinstance.treespec, LeafSpec.. is deprecated")
    # Its successor does not exist in older torch.
    warnings.filterwarnings("ignore", message=".broadcast_buffers. is deprecated")
    if "SLURM_JOB_ID" not in os.environ:  # on a login node, or one machine with SLURM's commands
        warnings.filterwarnings("ignore", message="The .srun. command is available")


def _compose_and_run(
    config_folder: Path, config_name: str, job: Callable[[DictConfig], Any], console: Console
) -> None:
    if any(word.startswith("resume=") and word != "resume=null" for word in sys.argv[1:]):
        _resume(config_folder, job, console)
        return
    if all(word in ("-m", "--multirun") or not word.startswith("-") for word in sys.argv[1:]):
        # Other flags change what is composed, or show help; Lightning's further ranks use them too.
        try:
            check_overrides(
                config_folder, config_name, [w for w in sys.argv[1:] if not w.startswith("-")]
            )
            _prepare_folder(config_name, sys.argv[1:])
        except ValueError as error:
            console.print(f"error: {error}", markup=False, soft_wrap=True)
            raise SystemExit(2) from error

    run = _guarded(job)
    run.__module__ = "__main__"
    hydra.main(version_base="1.3", config_path=str(config_folder), config_name=config_name)(run)()


def _prepare_folder(config_name: str, words: list[str]) -> None:
    """Hydra makes the folder of a run, and would fail with a traceback; an estimate needs none."""
    if any(word.startswith("estimate=") and word != "estimate=false" for word in words):
        sys.argv += ["hydra.run.dir=.", "hydra.output_subdir=null", "hydra/job_logging=stdout"]
    elif config_name in ("train", "test", "attention_stats", "attention_show", "probe"):
        given = [word.partition("=")[2] for word in words if word.startswith("hydra.run.dir=")]
        folder = given[-1] if given else "runs"
        if "$" not in folder:
            from gcvideo.run.preflight import check_output_folder  # noqa: PLC0415 (torch)

            check_output_folder(Path(folder), num_bytes=0)


def _resume(config_folder: Path, job: Callable[[DictConfig], Any], console: Console) -> None:
    """Without Hydra, which would make a run folder of its own."""
    from gcvideo.run.resuming import resumed_config  # noqa: PLC0415 (torch)

    with initialize_config_dir(str(config_folder), version_base="1.3"):
        try:
            cfg = resumed_config([w for w in sys.argv[1:] if not w.startswith("-")])
        except (ValueError, HydraException) as error:
            console.print(f"error: {error}", markup=False, soft_wrap=True)
            raise SystemExit(2) from error
    _guarded(job)(cfg)


def _guarded(job: Callable[[DictConfig], Any]) -> Callable[[DictConfig], Any]:
    def guarded(cfg: DictConfig) -> Any:
        console = Console(
            stderr=True, highlight=False
        )  # here: launchers of sweeps pickle this function
        if cfg.get("output_dir") is not None:
            cfg.output_dir = str(cfg.output_dir)  # no longer a question to Hydra
        watch = publish_config(cfg) if global_rank() == 0 else joined_watch()
        try:
            return job(cfg)
        except KeyboardInterrupt:
            if watch is not None:
                watch.fail("interrupted")
            console.print("interrupted")
            raise SystemExit(130) from None
        except Exception as error:
            if not _is_explained(error, watch, console):
                raise
            raise SystemExit(1) from error
        finally:
            if watch is not None:
                watch.close()

    return guarded


def _is_explained(error: Exception, watch: _Watch, console: Console) -> bool:
    """Whether the user has been told what the error means, so that a traceback would add nothing."""
    cause = user_error(error)
    is_first = watch is None or _fails_first(watch, cause, error)
    if os.environ.get("HYDRA_FULL_ERROR") == "1":
        return False
    if cause is not None and is_first and global_rank() == 0:
        console.print(f"error: {cause}", markup=False, soft_wrap=True)
        console.print("(HYDRA_FULL_ERROR=1 shows where it happened)")
    # Of an error on another rank, the first has printed the message.
    return cause is not None or not is_first


def _fails_first(watch: FirstRankWatch | RankWatch, cause: str | None, error: Exception) -> bool:
    """Whether the job ends for this error, not for one of another rank that led to it."""
    failure = watch.fail(cause or f"{type(error).__name__}: {error}")
    is_first = failure.rank == global_rank()
    if is_first and "TORCHELASTIC_ERROR_FILE" in os.environ:
        from torch.distributed.elastic.multiprocessing import errors  # noqa: PLC0415 (torch)

        errors.get_error_handler().record_exception(error)  # for the summary of torchrun
    return is_first


def user_error(error: BaseException) -> str | None:
    """The mistake of the user at the root of an exception; None if it is a fault of the program.

    Hydra wraps what a constructor raises. A DataLoader worker's exception arrives as a RuntimeError
    that quotes the original.
    """
    cause: BaseException | None = error
    found = None
    while cause is not None:
        quoted = re.search(r"VideoReadError: (cannot read video .*)", str(cause))
        if quoted:
            return quoted[1]
        if isinstance(cause, MissingMandatoryValue):
            return (
                f"{cause.full_key} has no value; give it on the command line: {cause.full_key}=..."
            )
        if isinstance(cause, _USER_ERRORS):
            found = str(cause)
        cause = cause.__cause__
    return found


def check_overrides(config_folder: Path, config_name: str, overrides: Sequence[str]) -> None:
    """Compose once to find misspelled overrides.

    Raises:
        OverrideError: with Hydra's reason and the nearest keys and choices.
    """
    _register_groups(config_name)
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    single = [_first_choice(override) for override in parsed]
    with initialize_config_dir(str(config_folder), version_base="1.3"):
        try:
            compose(config_name, single)
        except (HydraException, OmegaConfBaseException) as error:
            known = sorted({*_groups(config_folder), *_keys(_composable(config_name, parsed))})
            raise OverrideError(_explain(error, parsed, known)) from error


def _register_groups(config_name: str) -> None:
    """Complete the configuration groups: only a training starts from weights."""
    if config_name == "train":
        from gcvideo.run.weight_group import register_published_weights  # noqa: PLC0415 (torch)

        register_published_weights()


def _first_choice(override: Override) -> str:
    if not override.is_sweep_override():
        return override.input_line or ""
    first = next(iter(override.sweep_string_iterator()))
    return f"{override.get_key_element()}={first}"


def _composable(config_name: str, parsed: Sequence[Override]) -> DictConfig:
    """The configuration with as many of the overrides as compose together."""
    accepted: list[str] = []
    config = OmegaConf.create()
    for words in ([], *([_first_choice(override)] for override in parsed)):
        try:
            config = compose(config_name, [*accepted, *words])
        except (HydraException, OmegaConfBaseException):
            continue
        accepted.extend(words)
    return config


def _groups(config_folder: Path) -> Iterator[str]:
    return (path.name for path in config_folder.iterdir() if path.is_dir())


def _keys(config: DictConfig) -> Iterator[str]:
    content = cast(dict[str, Any], OmegaConf.to_container(config, resolve=False))
    for key, value in content.items():
        yield from _nested_keys(key, value)


def _nested_keys(name: str, value: Any) -> Iterator[str]:
    yield name
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _nested_keys(f"{name}.{key}", child)


def _explain(error: Exception, parsed: Sequence[Override], known: Sequence[str]) -> str:
    reason = str(error).strip()
    hints = []
    for override in parsed:
        key = override.key_or_group
        if key in known or override.is_add() or key.startswith("hydra"):
            continue
        near = difflib.get_close_matches(key, known, n=3, cutoff=0.6) or _same_leaf(key, known)
        hint = f"did you mean {' or '.join(near)}?" if near else "no key comes near"
        hints.append(f"'{key}' is no key of this configuration: {hint}")
    return "\n".join(hints) if hints else reason


def _same_leaf(key: str, known: Sequence[str]) -> list[str]:
    leaf = key.rpartition(".")[2]
    return [name for name in known if name.rpartition(".")[2] == leaf][:3]
