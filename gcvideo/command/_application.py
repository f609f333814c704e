"""From a command line to a job under Hydra, and from what the job raises to one message."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from gcvideo._console import Console
from gcvideo._hint import override
from gcvideo.command._command import Command
from gcvideo.command._interruption import Interrupted
from gcvideo.command._rank_config import (
    global_rank,
    joined_watch,
    publish_config,
    received_config,
    refuse_config,
)
from gcvideo.command._rank_failure import FirstRankWatch, RankWatch
from gcvideo.command._submission import submitted_sweep
from gcvideo.command._user_error import user_error
from gcvideo.command.configuration._command_words import CommandWords, read_words
from gcvideo.command.configuration._composition import check_overrides, config_folder, initialized


def run_command(name: str, words: Sequence[str], command: Command) -> None:
    """Run a command under Hydra; mistakes of the user end in one message, not in a traceback."""
    guarded = _guarded(command)
    received = received_config()
    if received is not None:
        guarded(received)
        return
    try:
        try:
            read = read_words(
                name,
                words,
                config_name=str(command.config),
                plain=command.plain,
                is_swept=command.is_swept,
            )
            if read.wants_help:
                from gcvideo.command.configuration._help_text import print_help  # noqa: PLC0415 (seldom)

                print_help(name, read.config_name, command.plain, is_swept=command.is_swept)
                return
            resumed, more, made = _prepared(read, str(command.config))
        except (ValueError, HydraException) as error:
            Console(stderr=True).print(f"error: {error}", soft_wrap=True)
            raise SystemExit(2) from error
        if resumed is not None:
            guarded(resumed)
            return
        typed, sys.argv = sys.argv, [sys.argv[0], *read.flags, *read.overrides, *more]
        try:
            with submitted_sweep(read.overrides, is_sweep=read.is_sweep):
                hydra.main(
                    version_base="1.3",
                    config_path=str(config_folder()),
                    config_name=read.config_name,
                )(guarded)()
        except BaseException:
            if made is not None:
                from gcvideo.command.train._run_folder import discard_unbegun  # noqa: PLC0415 (torch)

                discard_unbegun(made)
            raise
        finally:
            sys.argv = typed
    except SystemExit:
        refuse_config()
        raise


def _prepared(
    read: CommandWords, config_name: str
) -> tuple[DictConfig | None, list[str], Path | None]:
    """The configuration of a run to resume; otherwise more words for Hydra, and the folder if it is new."""
    if read.resume is not None:
        from gcvideo.command.train._resuming import resumed_config  # noqa: PLC0415 (torch)

        with initialized():
            return resumed_config(read.overrides), [], None
    if read.is_shown:
        return None, [], None
    check_overrides(read.config_name, read.overrides)
    return None, *_folder_words(read, config_name)


def _folder_words(read: CommandWords, config_name: str) -> tuple[list[str], Path | None]:
    """Words for Hydra, and the folder of a run if it is new; an estimate needs none.

    It is made here, before Hydra writes into it.
    """
    words, more = read.overrides, list[str]()
    if any(word.startswith("estimate=") and word != "estimate=false" for word in words):
        return ["hydra.run.dir=.", "hydra.output_subdir=null", "hydra/job_logging=stdout"], None
    content: Any = OmegaConf.load(config_folder() / f"{config_name}.yaml")
    if OmegaConf.to_container(content.hydra.run, resolve=False) == {"dir": "."}:
        if not read.is_sweep:
            return [], None  # of a command that makes only what its keys name
        more = ["hydra.output_subdir=.hydra"]  # in the folders of the jobs
    from gcvideo.command._preflight import check_output_folder  # noqa: PLC0415 (torch)
    from gcvideo.command.train import _run_folder as run_folder  # noqa: PLC0415 (torch)

    key = "hydra.sweep.dir" if read.is_sweep else "hydra.run.dir"
    given = [word for word in words if word.startswith(f"{key}=")]
    if not given:
        made = run_folder.new_folder(_default_folder(read, key))
        return [*more, override(key, made)], made
    folder = str(OverridesParser.create().parse_overrides(given)[-1].value())
    if "$" in folder:
        return more, None
    if key == "hydra.run.dir" and read.config_name == "train":
        with run_folder.held(Path(folder)):
            run_folder.check_unused(Path(folder))
    else:
        check_output_folder(Path(folder), num_bytes=0)
    return more, None


def _default_folder(read: CommandWords, key: str) -> Path:
    """The folder in the configuration, with the present time."""
    # That of a sweep cannot depend on what is swept.
    words = (
        [w for w in read.overrides if w.startswith("hydra")] if read.is_sweep else read.overrides
    )
    with initialized():
        cfg = hydra.compose(read.config_name, list(words), return_hydra_config=True)
    state = HydraConfig.instance()
    before = state.cfg
    state.set_config(cfg)
    try:
        return Path(str(OmegaConf.select(cfg, key)))
    finally:
        state.cfg = before


def _guarded(command: Command) -> Callable[[DictConfig], Any]:
    """The job of a command, whose value is the objective of a sweep."""
    typed = list(sys.argv)

    def guarded(cfg: DictConfig) -> Any:
        from gcvideo.command._sweep_summary import begin_outcome  # noqa: PLC0415 (numpy)

        # Here, not outside: launchers of sweeps pickle this function.
        console = Console(stderr=True)
        # Lightning starts further ranks with these words; they must name the command again.
        sys.argv = typed
        if cfg.get("output_dir") is not None:
            cfg.output_dir = str(cfg.output_dir)  # no longer a question to Hydra
        watch = publish_config(cfg) if global_rank() == 0 else joined_watch()
        begin_outcome()
        try:
            return _value_of(command.find_job()(cfg), command)
        except KeyboardInterrupt as stop:
            if watch is not None:
                watch.fail("interrupted")
            console.print(str(stop) or "interrupted", soft_wrap=True)
            _noted(stop)
            raise SystemExit(stop.exit_status if isinstance(stop, Interrupted) else 130) from None
        except Exception as error:
            is_sweep = _noted(error)
            _end_if_stopped(error, console)
            if not _is_explained(error, watch, console):
                raise
            if not is_sweep:
                raise SystemExit(1) from error
            if isinstance(watch, FirstRankWatch):
                watch.go_on()
            return None  # the other jobs go on, and the summary names this one
        finally:
            if watch is not None:
                watch.close()

    guarded.__module__ = "__main__"  # or Hydra would look for the configuration in this package
    return guarded


def _value_of(result: Any, command: Command) -> float | None:
    """The objective of a result; SystemExit if something could not be done, unless this is a sweep."""
    from gcvideo.command._sweep_summary import leave_outcome  # noqa: PLC0415 (numpy)

    if not command.has_failed(result):
        value = command.objective(result)
        leave_outcome(value)
        return value
    if not leave_outcome(error="not everything could be done, which its messages explain"):
        raise SystemExit(1)
    return None


def _noted(error: BaseException) -> bool:
    """Keep an error for the summary of a sweep; False if this is none."""
    from gcvideo.command._sweep_summary import leave_outcome  # noqa: PLC0415 (numpy)

    return leave_outcome(error=user_error(error) or str(error) or type(error).__name__)


def _end_if_stopped(error: Exception, console: Console) -> None:
    """End a training that a signal has stopped on all ranks, with its status."""
    status = getattr(error, "exit_status", None)
    if status is None:
        return
    # The other ranks end quietly, or Lightning would kill the first for their status.
    if global_rank() > 0:
        raise SystemExit(0) from None
    console.print(str(error), soft_wrap=True)
    raise SystemExit(status) from None


def _is_explained(
    error: Exception, watch: FirstRankWatch | RankWatch | None, console: Console
) -> bool:
    """Whether the user has been told what the error means, so that a traceback would add nothing."""
    cause, is_first = user_error(error), True
    if watch is not None:
        failure = watch.fail(cause or f"{type(error).__name__}: {error}")
        is_first = (
            failure.rank == global_rank()
        )  # otherwise an error of another rank led to this one
        if is_first and "TORCHELASTIC_ERROR_FILE" in os.environ:
            from torch.distributed.elastic.multiprocessing import errors  # noqa: PLC0415 (torch)

            errors.get_error_handler().record_exception(error)  # for the summary of torchrun
    if os.environ.get("HYDRA_FULL_ERROR") == "1":
        return False
    if cause is not None and is_first and global_rank() == 0:
        console.print(f"error: {cause}", soft_wrap=True)
        console.print("(HYDRA_FULL_ERROR=1 shows where it happened)")
    # Of an error on another rank, the first has printed the message.
    return cause is not None or not is_first
