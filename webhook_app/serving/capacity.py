"""How many workers fit into this machine: from the memory limit of the container."""

from pathlib import Path

#: What the master and the first worker take, and each further one: 69 and 6.6 MB, measured (PSS,
#: preloaded, under load), and a fifth on top for what events take while they arrive. The first
#: includes the budget of large bodies (`body_budget`), which all workers share.
FIRST_WORKER_BYTES = 100 * 2**20
NEXT_WORKER_BYTES = 8 * 2**20

FEWEST, MOST = 2, 64


def worker_count(memory_bytes: int) -> int:
    """Return how many sync workers fit into that much memory, between 2 and 64."""
    further = (memory_bytes - FIRST_WORKER_BYTES) // NEXT_WORKER_BYTES
    return max(FEWEST, min(MOST, 1 + further))


def memory_limit_bytes(root: Path = Path("/")) -> int:
    """Return the memory this process may use: the tightest cgroup limit, or what the machine has.

    Both versions of cgroups are looked at, from the process's own group up to the top; inside a
    container the group's path may not be there, and the top holds the container's own limit.
    https://docs.kernel.org/admin-guide/cgroup-v2.html, .../cgroup-v1/memory.html
    """
    limits = [_machine_bytes(root)]
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mount, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            mount, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        group = mount / path.lstrip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(mount) and (text := _text(folder / name)).isdigit():
                limits.append(int(text))
    return min(limits)


def _machine_bytes(root: Path) -> int:
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    # not Linux: enough for a developer's four workers, and WEB_WORKERS says more
    return FIRST_WORKER_BYTES + 3 * NEXT_WORKER_BYTES


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
