from pathlib import Path

import pytest

from webhook_app.serving.capacity import memory_limit_bytes, worker_count

MB = 2**20


@pytest.mark.parametrize(
    ("memory_mb", "workers"),
    [(0, 2), (64, 2), (96, 2), (256, 20), (512, 52), (1024, 64), (65_536, 64)],
)
def test_workers_fill_the_memory_between_2_and_64(memory_mb: int, workers: int) -> None:
    assert worker_count(memory_mb * MB) == workers


def machine(root: Path, files: dict[str, str]) -> Path:
    for name, text in {"proc/meminfo": "MemTotal: 8388608 kB\n", **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "limit_mb"),
    [
        ({}, 8192),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "536870912\n"}, 512),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, 8192),
        (
            {
                "proc/self/cgroup": "0::/system.slice/webhook.service\n",
                "sys/fs/cgroup/memory.max": "max\n",
                "sys/fs/cgroup/system.slice/memory.max": str(256 * MB),
                "sys/fs/cgroup/system.slice/webhook.service/memory.max": str(512 * MB),
            },
            256,
        ),
        (
            {
                "proc/self/cgroup": "5:cpu:/x\n4:memory:/docker/abc\n1:name=systemd:/x\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": str(512 * MB),
            },
            512,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/\n0::/\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
            },
            8192,
        ),
    ],
    ids=["none", "v2", "v2 without limit", "v2 nested", "v1", "v1 without limit"],
)
def test_the_tightest_limit_counts(tmp_path: Path, files: dict[str, str], limit_mb: int) -> None:
    assert memory_limit_bytes(machine(tmp_path, files)) == limit_mb * MB


def test_a_machine_that_is_not_linux_gets_four_workers(tmp_path: Path) -> None:
    assert worker_count(memory_limit_bytes(tmp_path)) == 4


def test_this_machine_has_a_limit() -> None:
    assert memory_limit_bytes() > 100 * MB
