"""One configuration for all processes of a job: the first composes it, the others are given it.

If each process composed its own, the times in the names of their run folders would differ.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from gcvideo.command._rank_failure import FirstRankWatch, RankWatch

_FILE_VARIABLE = "GCVIDEO_RUN_CONFIG"
_WATCH_VARIABLE = "GCVIDEO_RANK_WATCH"
_CONFIG, _WATCH, _NUM_RECEIVED = "config", "watch", "received"
# What a job leaves in the environment: Lightning's launcher the last five.
_LEFT = (_FILE_VARIABLE, "MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE")
# The first process may still be on its way, through the queue of a cluster or a slow file system.
_PATIENCE = timedelta(minutes=10)
_REFUSAL_SECONDS = 60.0
# Lives as long as the others may ask.
_stores: list[Any] = []


@contextmanager
def own_ranks() -> Iterator[None]:
    """Within, a job may start further ranks; the next one in this process then starts its own.

    Lightning leaves the rank of this process in the environment. A second trainer would take it for that
    of a launcher, start no other ranks, and wait for them.
    """
    before = {name: os.environ.get(name) for name in _LEFT}
    had_group = _has_group()
    try:
        yield
        if not had_group and _has_group():
            sys.modules["torch.distributed"].destroy_process_group()
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _has_group() -> bool:
    distributed = sys.modules.get("torch.distributed")  # commands without ranks do not import it
    return distributed is not None and distributed.is_available() and distributed.is_initialized()


def announce_to_children(path: Path) -> None:
    """Tell processes that Lightning will start from this one where the configuration is."""
    os.environ[_FILE_VARIABLE] = str(path)


def received_config() -> DictConfig | None:
    """The configuration of the job, in all processes but its first; None there and in single ones."""
    if global_rank() == 0:
        return None
    if started_elsewhere() is None:
        # A test of Lightning's launcher may start before there is a file; it composes for itself.
        path = os.environ.get(_FILE_VARIABLE)
        return None if path is None else cast(DictConfig, OmegaConf.load(path))
    store = _store(first=False)
    text = store.get(_CONFIG).decode()
    if text:
        os.environ[_WATCH_VARIABLE] = store.get(_WATCH).decode()
    store.add(_NUM_RECEIVED, 1)
    if not text:
        raise SystemExit(2)
    return cast(DictConfig, OmegaConf.create(text))


def publish_config(cfg: DictConfig) -> FirstRankWatch | None:
    """Give the configuration to the other processes of the job, if there are any, and watch them."""
    started = started_elsewhere()
    if started is None:
        if "trainer" not in cfg or cfg.trainer.devices in (1, "1"):
            return None
        watch = FirstRankWatch("127.0.0.1")
        os.environ[_WATCH_VARIABLE] = watch.address("127.0.0.1")
        return watch
    store = _store(first=True)
    _stores.append(store)
    watch = FirstRankWatch("", started[1])
    store.set(_WATCH, watch.address(os.environ["MASTER_ADDR"]))
    store.set(_CONFIG, OmegaConf.to_yaml(cfg))
    return watch


def refuse_config() -> None:
    """Tell the other processes not to wait for a configuration, if none was published."""
    started = started_elsewhere()
    if started is None or _stores:
        return
    store = _store(first=True)
    store.set(_CONFIG, "")
    deadline = time.monotonic() + _REFUSAL_SECONDS
    while store.add(_NUM_RECEIVED, 0) < started[1] - 1 and time.monotonic() < deadline:
        time.sleep(0.1)


def joined_watch() -> RankWatch | None:
    """The connection to the first process, in all others."""
    address = os.environ.get(_WATCH_VARIABLE)
    return RankWatch(address, global_rank()) if address is not None else None


def global_rank() -> int:
    """Of this process in its job; 0 outside of one."""
    started = started_elsewhere()
    return int(os.environ.get("LOCAL_RANK", 0)) if started is None else started[0]


def started_elsewhere() -> tuple[int, int] | None:
    """Rank and number of the processes that torchrun or SLURM has started; None outside of such a job."""
    if _is_torchrun():
        return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if _is_slurm():
        return int(os.environ["SLURM_PROCID"]), int(os.environ["SLURM_NTASKS"])
    return None


def local_rank() -> int | None:
    """Number of this process among those of its machine, if torchrun or SLURM has started several."""
    if started_elsewhere() is None:
        return None
    return int(os.environ["LOCAL_RANK" if _is_torchrun() else "SLURM_LOCALID"])


def _is_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", 1)) > 1


def _is_slurm() -> bool:
    if int(os.environ.get("SLURM_NTASKS", 1)) < 2:
        return False
    # Lightning takes seconds to import, which commands of one process need not have.
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment  # noqa: PLC0415

    return SLURMEnvironment.detect()


def _store(*, first: bool) -> Any:
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment  # noqa: PLC0415
    from torch.distributed import (  # noqa: PLC0415
        PrefixStore,  # pyright: ignore[reportPrivateImportUsage]
        TCPStore,  # pyright: ignore[reportPrivateImportUsage]
    )

    if _is_torchrun():
        # The agent of torchrun keeps a store for its workers.
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        port, is_server = (port, False) if agent else (_other_port(port), first)
    else:
        environment = SLURMEnvironment(auto_requeue=False)
        address, port = environment.main_address, _other_port(environment.main_port)
        is_server = first
        attempt = os.environ.get("SLURM_STEP_ID", "0")
    store = TCPStore(address, port, is_master=is_server, timeout=_PATIENCE, wait_for_workers=False)
    return PrefixStore(f"gcvideo/{attempt}", store)


def _other_port(port: int) -> int:
    # The next one is that of the next job of SLURM, which may run on the same machine.
    return port - 10_000 if port >= 15_000 else port + 10_000
