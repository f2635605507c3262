"""What the service stands on breaks while it runs: log, signals, descriptors, shared memory."""

import contextlib
import os
import resource
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.needs import HANGS_S, needed
from tests.support.service import Service, running
from tests.support.stripe_client import SECRET, deliver, exchange, get, head
from tests.system.conftest import log_lines, payloads


def variables(folder: Path, **others: str) -> dict[str, str]:
    return {
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "ARCHIVE_DIR": str(folder / "archive"),
        "WEB_WORKERS": "2",
        **others,
    }


def children(service: Service) -> set[int]:
    master = service.process.pid
    return set(map(int, Path(f"/proc/{master}/task/{master}/children").read_text().split()))


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HANGS_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def assert_serving(service: Service, number: int = 0) -> None:
    for turn in range(4):
        assert deliver(service.port, b"[%d, %d]" % (number, turn)).status == 200
    assert exchange(service.port, b"not HTTP\r\n\r\n").status == 400
    assert service.process.poll() is None


@contextlib.contextmanager
def file_log(folder: Path, threads: str) -> Iterator[tuple[Service, Path]]:
    log = folder / "logs" / "app.log"
    with running(
        variables(folder, LOG_FILE=str(log), WEB_THREADS=threads), folder / "out"
    ) as service:
        assert_serving(service)
        yield service, log


@pytest.mark.parametrize("threads", ["1", "8"])
def test_a_log_file_whose_folder_is_gone_stops_nothing(tmp_path: Path, threads: str) -> None:
    with file_log(tmp_path, threads) as (service, log):
        log.parent.rename(tmp_path / "away")
        # the folder cannot be made again either
        log.parent.write_text("in the way")
        assert_serving(service, 1)
        os.kill(service.process.pid, signal.SIGUSR1)
        assert_serving(service, 2)
        workers = children(service)
        os.kill(service.process.pid, signal.SIGHUP)
        until(lambda: len(children(service)) == 2 and not children(service) & workers)
        assert_serving(service, 3)
        os.kill(service.process.pid, signal.SIGTTIN)
        until(lambda: len(children(service)) == 3)
        assert_serving(service, 4)
        # the way is free, and the log goes on
        log.parent.unlink()
        assert_serving(service, 99)
        assert "Webhook archived" in log.read_text()


def test_a_log_file_that_another_user_moved_away_stops_nothing(tmp_path: Path) -> None:
    """As logrotate does, in a folder that the service cannot write to."""
    wrapper = ["setpriv", "--bounding-set", "-dac_override"] if os.geteuid() == 0 else []
    needed("setpriv", not wrapper or shutil.which("setpriv"))
    log = tmp_path / "logs" / "app.log"
    with running(
        variables(tmp_path, LOG_FILE=str(log)), tmp_path / "out", wrapper=wrapper
    ) as service:
        assert_serving(service)
        log.rename(log.with_suffix(".1"))
        log.parent.chmod(0o500)
        assert_serving(service, 1)
        os.kill(service.process.pid, signal.SIGUSR1)
        time.sleep(0.3)
        assert_serving(service, 2)
        log.parent.chmod(0o700)
        assert_serving(service, 3)
        assert "Webhook archived" in log.read_text()


def test_a_reload_without_a_usable_archive_keeps_the_service(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    with running(variables(tmp_path), tmp_path / "out") as service:
        assert_serving(service)
        workers = children(service)
        folder.rename(tmp_path / "away")
        folder.write_text("no folder")
        os.kill(service.process.pid, signal.SIGHUP)
        until(lambda: not children(service) & workers and len(children(service)) == 2)
        assert deliver(service.port, b"{}").status == 500
        lines = [line for line in log_lines(service) if line["message"].startswith("Reload")]
        assert "ARCHIVE_DIR" in str(lines[0]["problems"])
        folder.unlink()
        (tmp_path / "away").rename(folder)
        assert_serving(service, 1)


def test_a_head_cut_short_leaves_no_signature_in_the_log(tmp_path: Path) -> None:
    with running(variables(tmp_path, LOG_LEVEL="DEBUG"), tmp_path / "out") as service:
        secret = "t=1,v1=0123456789abcdef"
        cut = head(f"Stripe-Signature: {secret}")[:-2]
        assert exchange(service.port, cut).status == 400
        assert exchange(service.port, cut + b"bad field\r\n\r\n").status == 400
        assert secret not in service.log.read_text()


def limit_descriptors(process: int, count: int) -> None:
    _, hard = resource.prlimit(process, resource.RLIMIT_NOFILE)
    resource.prlimit(process, resource.RLIMIT_NOFILE, (count, hard))


def opened(process: int) -> int:
    return len(list(Path(f"/proc/{process}/fd").iterdir()))


def test_a_master_without_free_descriptors_replaces_its_workers(tmp_path: Path) -> None:
    with running(variables(tmp_path), tmp_path / "out") as service:
        assert_serving(service)
        workers = children(service)
        limit_descriptors(service.process.pid, opened(service.process.pid))
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        # they have the master's limit, and wait for more
        until(lambda: bool(children(service) - workers))
        time.sleep(1.5)
        assert service.process.poll() is None
        limit_descriptors(service.process.pid, 256)
        until(lambda: len(children(service)) == 2 and not children(service) & workers)
        assert_serving(service, 1)


@pytest.mark.parametrize("threads", ["1", "8"])
def test_few_descriptors_bound_the_clients_and_nothing_spins(tmp_path: Path, threads: str) -> None:
    """600 half requests beside 64 descriptors: the kernel keeps what the workers cannot take."""
    needed("prlimit", shutil.which("prlimit"))
    with (
        running(
            variables(tmp_path, WEB_THREADS=threads),
            tmp_path / "out",
            wrapper=["prlimit", "--nofile=64:64"],
        ) as service,
        contextlib.ExitStack() as stack,
    ):
        for _ in range(600):
            client = socket.socket()
            stack.enter_context(client)
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", service.port))
            time.sleep(0.001)
            with contextlib.suppress(OSError):
                client.send(b"POST /webhook/stripe HTTP/1.1\r\n")
        started, before = time.monotonic(), cpu_s(service)
        for number in range(10):
            asked = time.monotonic()
            assert deliver(service.port, b"[%d]" % number).status == 200
            assert time.monotonic() - asked < 5
        time.sleep(max(0.0, 3 - (time.monotonic() - started)))
        assert (cpu_s(service) - before) / (time.monotonic() - started) < 0.7
        assert get(service.port, "/health").status == 200
    assert len(payloads(tmp_path / "archive")) == 10


def cpu_s(service: Service) -> float:
    ticks = 0
    for process in (service.process.pid, *children(service)):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def test_a_full_shared_memory_and_temporary_folder_stop_no_new_worker(tmp_path: Path) -> None:
    """In a mount namespace of its own, where neither takes another file."""
    needed("root", os.geteuid() == 0)
    needed("unshare", shutil.which("unshare"))
    full = "mount -t tmpfs -o nr_inodes=1 none /dev/shm"
    wrapper = ["unshare", "--mount", "sh", "-c", f'{full} && exec "$@"', "sh"]
    with running(
        variables(tmp_path, TMPDIR="/dev/shm"), tmp_path / "out", wrapper=wrapper
    ) as service:
        workers = children(service)
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        until(lambda: len(children(service)) == 2 and not children(service) & workers)
        assert_serving(service, 1)
