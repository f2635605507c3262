"""The real service as a process of its own: the Procfile's line on a free port of this machine.

Knows nothing of the application but its Procfile, its variables and its HTTP: the system tests
start the service through it too.
"""

import contextlib
import os
import secrets
import shlex
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Service:
    """A running service."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path
    """What it printed, both streams."""

    @property
    def url(self) -> str:
        """Where deliveries go."""
        return f"http://127.0.0.1:{self.port}/webhook/stripe"


def procfile_command() -> list[str]:
    """Return the words of the Procfile's `web:` line."""
    lines = (PROJECT / "Procfile").read_text().splitlines()
    return shlex.split(next(line.removeprefix("web:") for line in lines if line.startswith("web:")))


def environment(port: int, variables: dict[str, str]) -> dict[str, str]:
    """Return an environment for the service that holds the given variables and nothing of ours."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "TZ") if name in os.environ}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHON_DOTENV_DISABLED": "1",
        "PORT": str(port),
        **variables,
        "GUNICORN_CMD_ARGS": f"--bind 127.0.0.1:{port} {variables.get('GUNICORN_CMD_ARGS', '')}",
    }


def free_port() -> int:
    """Return a port of the loopback interface that has no listener now.

    It is below those that Linux gives to connections and to servers that ask for any port: one of
    these could be taken by another process before the service listens, and be taken for it.
    """
    while True:
        port = 20_000 + secrets.randbelow(12_768)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@contextlib.contextmanager
def running(
    variables: dict[str, str], log: Path, *, wrapper: Sequence[str] = ()
) -> Iterator[Service]:
    """Run the service until the block ends, then stop it as a platform does, with SIGTERM.

    Args:
        variables: its environment variables.
        log: the file that gets what it prints.
        wrapper: words in front of its command, as of `setpriv` or `prlimit`.

    Raises:
        RuntimeError: it did not come up; its log is in the message.
    """
    port = free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*wrapper, *procfile_command()],
            cwd=PROJECT,
            env=environment(port, variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        try:
            wait_for_port(port, lambda: process.poll() is not None)
        except TimeoutError:
            told = log.read_text(errors="replace")
            raise RuntimeError(f"the service did not start:\n{told}") from None
        yield Service(port, process, log)
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for_port(port: int, given_up: Callable[[], bool] = lambda: False) -> None:
    """Return once something listens on a port of the loopback interface.

    Raises:
        TimeoutError: nothing does after 30 s, or `given_up` says that nothing will.
    """
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not given_up():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.01)
    raise TimeoutError(f"nothing listens on port {port}")


@contextlib.contextmanager
def listening(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Let a handler answer on a free port of the loopback interface; yield the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
