"""A memory limit as a container has it: a cgroup of its own, where this user may make one."""

import contextlib
import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_NUMBERS = itertools.count()


class MemoryLimit:
    """The limit of a process and its descendants."""

    def __init__(self, group: Path) -> None:
        self._group = group

    @property
    def wrapper(self) -> list[str]:
        """Words in front of a command that is to have the limit."""
        return ["sh", "-c", f'echo $$ > {self._group}/cgroup.procs && exec "$@"', "sh"]

    @property
    def kills(self) -> int:
        """How many processes the kernel has killed for want of memory."""
        name = "memory.oom_control" if self._is_v1 else "memory.events"
        lines = (self._group / name).read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))

    @property
    def most_mb(self) -> float:
        """The most memory that was used, that of the kernel for sockets included, in MiB."""
        name = "memory.max_usage_in_bytes" if self._is_v1 else "memory.peak"
        return int((self._group / name).read_text()) / 2**20

    @property
    def _is_v1(self) -> bool:
        return (self._group / "memory.limit_in_bytes").exists()


@contextlib.contextmanager
def memory_limit(megabytes: int) -> Iterator[MemoryLimit | None]:
    """Make a limit until the block ends; None where no cgroup can be made."""
    group = _new_group(megabytes * 2**20)
    try:
        yield MemoryLimit(group) if group else None
    finally:
        if group:
            _remove(group)


def _remove(group: Path) -> None:
    """Remove a group once its last process has ended."""
    deadline = time.monotonic() + 20
    while True:
        try:
            group.rmdir()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def _new_group(limit_bytes: int) -> Path | None:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            mount, name = _ROOT / "memory", "memory.limit_in_bytes"
        elif controllers == "" and (_ROOT / "cgroup.controllers").exists():
            mount, name = _ROOT, "memory.max"
        else:
            continue
        group = mount / path.lstrip("/") / f"limit-{os.getpid()}-{next(_NUMBERS)}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / name).write_text(str(limit_bytes))
        except OSError:
            group.rmdir()
            continue
        return group
    return None
