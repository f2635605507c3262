"""What a process and all its descendants take of the machine, as Linux counts it.

https://www.kernel.org/doc/html/latest/filesystems/proc.html
"""

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Cpu(NamedTuple):
    """CPU seconds: in the programs themselves, and in the kernel on their behalf."""

    user_s: float
    system_s: float

    @property
    def s(self) -> float:
        """Return both."""
        return self.user_s + self.system_s


def cpu(pid: int) -> Cpu:
    """Return the CPU time of a process and its descendants.

    Those that have ended are counted once their parent has waited for them. Linux counts
    each in steps of 10 ms, so measure over seconds. It estimates how the sum is divided.
    """
    user = system = 0
    for process in family(pid):
        with contextlib.suppress(OSError):
            # behind the name, which may hold anything: utime, stime, cutime, cstime
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            own_user, own_system, childrens_user, childrens_system = map(int, fields[11:15])
            user += own_user + childrens_user
            system += own_system + childrens_system
    return Cpu(user / _TICKS_PER_S, system / _TICKS_PER_S)


def pss_mb(pid: int) -> float:
    """Return the memory of a process and its descendants in MiB.

    PSS: what several processes share is shared out among them, so it can be added up.
    """
    kilobytes = 0
    for process in family(pid):
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
            kilobytes += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kilobytes / 1024


def family(pid: int) -> list[int]:
    """Return the process and its descendants, as far as they live."""
    children: list[int] = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            children += map(int, (thread / "children").read_text().split())
    return [pid, *(member for child in children for member in family(child))]
