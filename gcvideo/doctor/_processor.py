import os
from pathlib import Path

from gcvideo.command._record import processor_name
from gcvideo.data._parallel import default_num_workers
from gcvideo.doctor._finding import Finding

_CGROUP = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


def check_processor() -> Finding:
    """The processor, and whether a quota of the container allows fewer cores than the process sees."""
    seen = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota()
    text = f"{processor_name()}, {seen} of {os.cpu_count()} cores"
    if quota is not None and quota < seen:
        return Finding(
            "warn",
            f"{text}, but the container's quota allows the time of {quota:g}",
            f"set num_workers={int(quota) if quota >= 2 else 0} (otherwise {default_num_workers()} are "
            f"started) and OMP_NUM_THREADS={max(int(quota), 1)}, or raise the quota",
        )
    return Finding("ok", text)


def _quota() -> float | None:
    """Cores' worth of time that the control group allows; None without a limit."""
    limits = []
    for folder in _cgroup_folders():
        if (folder / "cpu.max").is_file():
            limit, period = (folder / "cpu.max").read_text().split()
            limits += [] if limit == "max" else [int(limit) / int(period)]
    quota, period = (_CGROUP / "cpu" / f"cpu.cfs_{name}_us" for name in ("quota", "period"))
    if quota.is_file() and (limit := int(quota.read_text())) > 0:
        limits.append(limit / int(period.read_text()))
    return min(limits, default=None)


def _cgroup_folders() -> list[Path]:
    """The unified group of this process and those it is in, each of which may set a limit."""
    lines = _OWN_CGROUP.read_text().splitlines() if _OWN_CGROUP.is_file() else []
    own = next((line[3:].strip("/") for line in lines if line.startswith("0::")), "")
    return [_CGROUP / part for part in (own, *map(str, Path(own).parents))]
