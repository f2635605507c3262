"""The gunicorn worker: it buffers requests, and hands each to the application once it is complete.

A stock sync worker reads from one client until its request is there, so as many slow clients as
there are workers stop the service. This one waits for any number of clients at a time. Complete
deliveries are answered one after the other, or by as many threads as gunicorn's `threads` says.
Other requests, `/health` before all, are answered at once: also while the archive hangs.
"""

import contextlib
import errno
import fcntl
import itertools
import os
import resource
import select
import socket
import struct
import sys
import termios
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gunicorn import SERVER_SOFTWARE
from gunicorn.workers import base

from ..web.webhook import DEADLINE, LEAST_WRITE_S, PATH
from .body_budget import BodyBudget, return_large_blocks
from .heartbeat import Heartbeat
from .http_response import render, render_error, send
from .lingering import LingeringClients
from .request_buffer import Limits, RequestBuffer, RequestError
from .signals import release_stop_signals
from .threads import ThreadPool

#: Seconds a request may take to arrive, from its connection on.
REQUEST_DEADLINE_S = 10.0
#: The same, once the service was told to stop: below gunicorn's graceful time-out.
STOP_DEADLINE_S = 5.0
#: Seconds from the last byte of a delivery within which it is answered, whatever the archive does.
ANSWER_WITHIN_S = 9.0
#: Clients of one worker; the longest-waiting one makes room for the next.
MAX_CLIENTS = 400
#: Seconds that the application may take before a second thread looks after the other clients.
STAND_IN_AFTER_S = 0.5

# how often the second thread looks, and a worker whose threads are all busy
_LOOK_EACH_S = 0.15
# behind a request that has waited this long there may be a /health that nobody has read yet
_LONG_WAIT_S = 0.3
# read from one client before the others have their turn: some 50 us of work
_READ_BYTES, _READS_A_TURN = 32_768, 8
# Linux hands over a connection once it has sent something, or after this many seconds.
_DEFER_ACCEPT_S = 5
# Connections of the accept queue that each worker takes with it when it is told to stop.
_ACCEPTED_AT_STOP = 16
# Descriptors that are left for connections to AWS, log files and the like.
_SPARE_DESCRIPTORS = 16
_OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

_DESCRIPTORS = Path("/proc/self/fd")
_TCP_CLOSE = 7
_NONE = bytes(4)

# in the master, for all workers
return_large_blocks()
# made by the __init__ of gunicorn's Worker
base.WorkerTmp = Heartbeat


@dataclass(slots=True, eq=False)
class Connection:
    """A client with its one request."""

    client: socket.socket
    request: RequestBuffer
    deadline: float
    """Of `time.monotonic`: when the request has to be complete; then when its answer is due."""
    sent_at: float
    """Of the same clock: when the client last sent something."""
    slots: list[int] = field(default_factory=list)
    """Its part of the budget of large bodies."""
    is_paused: bool = False
    """Not read from, until there is room in the budget."""


class BufferingWorker(base.Worker):
    """Any number of requests on their way in, `threads` at a time in the application.

    One thread at a time runs the loop, the one that holds `_loop_lock`. With one thread for the
    application that is the main thread, which calls the application itself; while that takes long,
    the second thread stands in for it in the loop.
    """

    alive: bool

    def init_process(self) -> None:
        """Start the worker; where the system has no room for it now, let gunicorn try again."""
        try:
            super().init_process()
        except OSError:
            if self.booted:
                raise
            # gunicorn ends the service if a worker raises while it starts
            self.log.exception("Worker could not start")
            time.sleep(1)
            sys.exit(1)

    def init_signals(self) -> None:
        """Install the worker's handlers, then let the signals in that came before them."""
        super().init_signals()
        release_stop_signals()

    def run(self) -> None:
        """Serve until gunicorn says stop, then finish what has begun to arrive."""
        self._prepare()
        with self._loop_lock:
            while self.alive or self._arriving or self._ready or self._is_busy:
                self._beat()
                self._turn(self._seconds_to_wait())
                if os.getppid() != self.ppid:
                    self.log.info("Parent changed, shutting down: %s", self)
                    return
                if not self.alive:
                    self._stop_listening()

    def _prepare(self) -> None:
        max_body_bytes = self.wsgi.extensions["settings"].max_body_bytes
        self._limits = Limits(
            line_bytes=self.cfg.limit_request_line or sys.maxsize,
            fields=self.cfg.limit_request_fields,
            field_bytes=self.cfg.limit_request_field_size or sys.maxsize,
            body_bytes=max_body_bytes,
        )
        self._budget = BodyBudget(max_body_bytes)
        self._logs_access = bool(self.cfg.accesslog or self.cfg.statsd_host)
        # in the order of their deadlines
        self._arriving: dict[int, Connection] = {}
        # those of them whose large bodies wait for a part of the budget
        self._paused: deque[Connection] = deque()
        # complete deliveries that wait for the application
        self._ready: deque[Connection] = deque()
        self._poller = select.epoll() if hasattr(select, "epoll") else _Poll()
        self._poller.register(self.PIPE[0], select.POLLIN)
        self._most_clients = _most_clients(self.cfg.threads)
        self._lingering = LingeringClients(self._poller, self._most_clients)
        self._listeners = {listener.fileno(): listener for listener in self.sockets}
        self._base_environs = {}
        for number, listener in self._listeners.items():
            listener.setblocking(False)
            self._base_environs[number] = self._base_environ(listener.getsockname())
            if hasattr(socket, "TCP_DEFER_ACCEPT"):
                with contextlib.suppress(OSError):  # not a TCP socket
                    listener.sock.setsockopt(
                        socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, _DEFER_ACCEPT_S
                    )
        self._loop_lock = threading.Lock()
        self._full_since: float | None = None
        self._pool: ThreadPool[Connection] | None = None
        if self.cfg.threads > 1:
            self._pool = ThreadPool(self.cfg.threads, self._respond_in_thread, self._wake)
        else:
            threading.Thread(target=self._stand_in, name="stand-in", daemon=True).start()
        self._last_beat = 0.0
        self._accepting = False
        self._accept_while_free()

    def _base_environ(self, server: Any) -> dict[str, Any]:
        """Return what the environs of a listener's requests have in common (PEP 3333)."""
        name, port = server[:2] if isinstance(server, tuple) else ("localhost", "")
        return {
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": self.cfg.workers > 1,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
            "SERVER_SOFTWARE": SERVER_SOFTWARE,
            "SERVER_NAME": name,
            "SERVER_PORT": str(port),
            "SCRIPT_NAME": "",
        }

    def _beat(self) -> None:
        """Tell gunicorn that the worker lives, once a second.

        Not while all threads are busy: a worker whose threads hang is ended by the time-out.
        """
        now = time.monotonic()
        if now - self._last_beat >= 1 and not self._is_full:
            self._last_beat = now
            self.notify()

    # one turn of the loop

    def _turn(self, seconds: float) -> None:
        """Wait that long for something to do, and do all there is."""
        for number, _ in self._poller.poll(seconds):
            self._on_readable(number)
        if self._paused:
            self._resume_paused()
        if self._arriving or self._lingering:
            self._close_late()
        if self._is_full:
            if self._is_stuck:
                # the poller does not report listeners while all threads are busy
                for number in self._listeners:
                    self._accept_waiting(number)
            self._refuse_overdue()
        elif self._ready:
            self._answer_ready()

    def _on_readable(self, number: int) -> None:
        if number in self._listeners:
            self._accept_waiting(number)
        elif connection := self._arriving.get(number):
            if not connection.is_paused:
                self._read(connection)
        elif number in self._lingering:
            self._lingering.read(number)
        elif number == self.PIPE[0]:
            with contextlib.suppress(BlockingIOError):
                os.read(number, 4096)
            self._finish_answered()

    def _seconds_to_wait(self) -> float:
        if self._is_full or self._paused:
            return _LOOK_EACH_S
        if self._ready:
            return 0.0
        if not self._arriving and not self._lingering:
            return 1.0
        deadlines = [each.deadline for each in itertools.islice(self._arriving.values(), 1)]
        deadlines += self._lingering.deadlines()
        return max(0.0, min([1.0, *(deadline - time.monotonic() for deadline in deadlines)]))

    def _stand_in(self) -> None:
        """Run the loop, in a thread of its own, while the main thread is in the application."""
        while True:
            time.sleep(_LOOK_EACH_S)
            if self._is_stuck:
                with self._loop_lock:
                    if self._is_stuck:
                        self._turn(0)

    # requests on their way in

    def _accept_waiting(self, number: int) -> None:
        """Accept one connection, because other workers may be idle.

        While the application takes nothing, nor does any other worker's: then accept all that have
        waited, because a /health may be behind them.
        """
        while (connection := self._accept(number)) and self._is_stuck and _has_waited(connection):
            pass

    def _accept(self, number: int) -> Connection | None:
        if len(self._ready) >= self._most_clients:
            return None
        try:
            client, address = self._listeners[number].accept()
        except OSError as error:
            # mostly another worker was first, or the client has left again
            if error.errno in _OUT_OF_DESCRIPTORS and not self._send_one_away():
                # the listener stays readable: without a pause this would be all that is done
                time.sleep(0.05)
            return None
        environ = self._base_environs[number].copy()
        if isinstance(address, tuple):
            environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = address[0], str(address[1])
        request = RequestBuffer(self._limits, environ)
        deadline = time.monotonic() + REQUEST_DEADLINE_S
        connection = Connection(client, request, deadline, _last_sent_at(client))
        # nearly every request is there as a whole, and needs no waiting for
        self._read(connection)
        if self._is_arriving(connection):
            self._make_room()
        return connection

    def _read(self, connection: Connection) -> None:
        """Read what has arrived; answer the request if it is complete, else wait for the rest."""
        request = connection.request
        try:
            for _ in range(_READS_A_TURN):
                data = connection.client.recv(_READ_BYTES, socket.MSG_DONTWAIT)
                if data:
                    request.feed(data)
                elif request.received_bytes:
                    request.end()
                else:
                    self._drop(connection)
                    return
                if request.complete:
                    self._dispatch(connection)
                    return
                if not self._has_budget(connection):
                    self._pause(connection)
                    return
        except BlockingIOError:
            self._wait_for_more(connection)
        except OSError:
            self._drop(connection)
        except RequestError as error:
            self._refuse(connection, error.status, str(error))
        else:
            self._wait_for_more(connection)

    def _wait_for_more(self, connection: Connection) -> None:
        request = connection.request
        if request.expects_continue:
            request.expects_continue = False
            with contextlib.suppress(OSError):
                connection.client.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not self._is_arriving(connection):
            self._arriving[connection.client.fileno()] = connection
            self._poller.register(connection.client, select.POLLIN)

    def _has_budget(self, connection: Connection) -> bool:
        """Take what the body needs of the budget, if need be from this worker's slowest client."""
        while not self._budget.take(connection.slots, connection.request.body_bytes):
            others = (each for each in self._arriving.values() if each.slots)
            slowest = next((each for each in others if each is not connection), None)
            if slowest is None:
                return False
            self._refuse_late(slowest)
        return True

    def _pause(self, connection: Connection) -> None:
        """Leave what the client sends in the kernel until other large bodies are done with."""
        self._wait_for_more(connection)
        self._poller.unregister(connection.client)
        connection.is_paused = True
        self._paused.append(connection)

    def _resume_paused(self) -> None:
        while self._paused and self._has_budget(self._paused[0]):
            connection = self._paused.popleft()
            connection.is_paused = False
            self._poller.register(connection.client, select.POLLIN)

    def _make_room(self) -> None:
        """Send clients away while there are too many."""
        while self._clients > self._most_clients and self._send_one_away():
            pass

    def _send_one_away(self) -> bool:
        """Give up on the longest-waiting client; first on one that has its answer already."""
        if self._lingering:
            self._lingering.close_oldest()
        elif self._arriving:
            self._refuse_late(next(iter(self._arriving.values())))
        else:
            return False
        return True

    @property
    def _clients(self) -> int:
        return len(self._arriving) + len(self._ready) + len(self._lingering)

    def _refuse_late(self, connection: Connection) -> None:
        if connection.request.received_bytes:
            self._refuse(connection, HTTPStatus.REQUEST_TIMEOUT, "not complete in time")
        else:
            self._drop(connection)

    def _refuse(self, connection: Connection, status: HTTPStatus, reason: str) -> None:
        fields = {"outcome": "refused", "reason": reason, "status": status.value}
        self.log.warning("Malformed request refused", extra={"fields": fields})
        self._forget(connection)
        connection.request.close()
        send(connection.client, render_error(status, status.phrase.capitalize()))
        self._close(connection)

    def _drop(self, connection: Connection) -> None:
        self._forget(connection)
        connection.request.close()
        self._budget.give_back(connection.slots)
        connection.client.close()

    def _is_arriving(self, connection: Connection) -> bool:
        return self._arriving.get(connection.client.fileno()) is connection

    def _forget(self, connection: Connection) -> None:
        if self._is_arriving(connection):
            if connection.is_paused:
                self._paused.remove(connection)
            else:
                self._poller.unregister(connection.client)
            del self._arriving[connection.client.fileno()]

    # complete requests

    def _dispatch(self, connection: Connection) -> None:
        """Queue a delivery for the application; answer any other request here and now."""
        if self._is_arriving(connection):
            self._forget(connection)
            connection.sent_at = _last_sent_at(connection.client)
        environ = connection.request.environ
        if environ["PATH_INFO"].rstrip("/") != PATH:
            self._respond(connection)
            self._close(connection)
            return
        connection.deadline = connection.sent_at + ANSWER_WITHIN_S
        environ[DEADLINE] = connection.deadline
        self._ready.append(connection)

    def _answer_ready(self) -> None:
        """Have the application answer deliveries: as many as threads are free, or one here."""
        while self._ready and not self._is_full:
            connection = self._ready.popleft()
            if _has_waited(connection) and _is_reset(connection.client):
                self._drop(connection)
            elif self._pool:
                self._pool.submit(connection)
                self._accept_while_free()
            else:
                self._answer_here(connection)
                return

    def _answer_here(self, connection: Connection) -> None:
        """Call the application, and let the second thread run the loop meanwhile."""
        self._beat()
        self._full_since = time.monotonic()
        self._loop_lock.release()
        try:
            self._respond(connection)
        finally:
            self._loop_lock.acquire()
            self._full_since = None
        self._close(connection)

    def _refuse_overdue(self) -> None:
        """Answer the deliveries for which a write would come too late; the view refuses them."""
        latest = time.monotonic() + LEAST_WRITE_S
        for connection in [each for each in self._ready if each.deadline < latest]:
            self._ready.remove(connection)
            self._respond(connection)
            self._close(connection)

    def _respond(self, connection: Connection) -> None:
        try:
            response = self._response(connection.request.environ)
        # every BaseException: SystemExit is how gunicorn ends a worker past its time-out
        except BaseException:
            # the application answers its own errors, so it was cut short: nothing was confirmed
            fields = {"outcome": "failed", "status": 500}
            self.log.exception("Failed to persist webhook", extra={"fields": fields})
            response = render_error(HTTPStatus.INTERNAL_SERVER_ERROR, "Storage unavailable")
        send(connection.client, response)

    def _response(self, environ: dict[str, Any]) -> bytes:
        """Call the application and return its whole response."""
        started_at = time.monotonic()
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> None:
            started.append((status, headers))

        self.nr += 1
        if self.nr >= self.max_requests:
            self.log.info("Autorestarting worker after current request.")
            self.alive = False
        chunks = self.wsgi(environ, start_response)
        try:
            content = b"".join(chunks)
        finally:
            if hasattr(chunks, "close"):
                chunks.close()
        status, headers = started[-1]
        if self._logs_access:
            self._log_access(environ, status, headers, len(content), time.monotonic() - started_at)
        return render(status, headers, content)

    def _log_access(
        self, environ: dict[str, Any], status: str, headers: Any, sent: int, seconds: float
    ) -> None:
        """Write gunicorn's access log, and its statsd metrics, as its own workers do."""
        fields = [
            (key[5:].replace("_", "-"), value)
            for key, value in environ.items()
            if key.startswith("HTTP_")
        ]
        response = SimpleNamespace(status=status, headers=headers, sent=sent)
        request = SimpleNamespace(headers=fields)
        self.log.access(response, request, environ, timedelta(seconds=seconds))

    # threads

    @property
    def _is_busy(self) -> bool:
        return self._pool is not None and self._pool.busy > 0

    @property
    def _is_stuck(self) -> bool:
        """Whether the application has taken no delivery for long."""
        full_since = self._full_since
        return full_since is not None and time.monotonic() - full_since > STAND_IN_AFTER_S

    @property
    def _is_full(self) -> bool:
        """Whether the application can take no delivery now."""
        return self._pool.full if self._pool else self._full_since is not None

    def _respond_in_thread(self, connection: Connection) -> bool:
        """Answer a request; True where its client has to linger, which is for the loop."""
        self._respond(connection)
        if self._has_more(connection):
            return True
        self._budget.give_back(connection.slots)
        connection.client.close()
        return False

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # full: the loop is awake already
            os.write(self.PIPE[1], b"\0")

    def _finish_answered(self) -> None:
        for connection in self._pool.unfinished() if self._pool else ():
            self._close(connection)
        self._accept_while_free()

    def _accept_while_free(self) -> None:
        """Listen while a thread is free; else leave new connections to the other workers."""
        is_free = self._pool is None or not self._pool.full
        if self._accepting is is_free:
            return
        self._accepting = is_free
        self._full_since = None if is_free else time.monotonic()
        for number in self._listeners:
            if self._accepting:
                # exclusive: a connection wakes one idle worker, not all of them
                exclusive = getattr(select, "EPOLLEXCLUSIVE", 0)
                self._poller.register(number, select.POLLIN | exclusive)
            else:
                self._poller.unregister(number)

    # connections on their way out

    def _close(self, connection: Connection) -> None:
        """Close, at once where the client has sent everything, else when it has read the answer."""
        self._budget.give_back(connection.slots)
        if self._has_more(connection):
            self._lingering.add(connection.client)
        else:
            connection.client.close()

    def _has_more(self, connection: Connection) -> bool:
        """Whether closing now could reset the connection: bytes were sent that nobody has read."""
        if connection.request.has_unread_bytes:
            return True
        try:
            # such as the line end that some clients send behind a body
            return fcntl.ioctl(connection.client, termios.FIONREAD, _NONE) != _NONE
        except OSError:
            return False

    def _close_late(self) -> None:
        now = time.monotonic()
        for connection in [each for each in self._arriving.values() if each.deadline <= now]:
            # its last bytes may have arrived while the application worked
            if self._is_arriving(connection):
                self._read(connection)
            if self._is_arriving(connection):
                self._refuse_late(connection)
        self._lingering.close_late(now)

    def _stop_listening(self) -> None:
        """Take what is in the accept queue already, then let the kernel refuse what comes.

        A client that has sent nothing is dropped; the others get a little time.
        """
        for number in self._listeners:
            for _ in range(_ACCEPTED_AT_STOP):
                if not self._accept(number):
                    break
        for number, listener in self._listeners.items():
            if self._accepting:
                self._poller.unregister(number)
            listener.close()
        self._listeners.clear()
        for connection in list(self._arriving.values()):
            connection.deadline = min(connection.deadline, time.monotonic() + STOP_DEADLINE_S)
            if not connection.request.received_bytes:
                self._refuse_late(connection)


def _most_clients(threads: int) -> int:
    """Return how many clients a worker can have, with the descriptors that it may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MAX_CLIENTS
    opened = len(list(_DESCRIPTORS.iterdir())) if _DESCRIPTORS.is_dir() else 32
    return max(4, min(MAX_CLIENTS, soft - opened - 2 * threads - _SPARE_DESCRIPTORS))


def _has_waited(connection: Connection) -> bool:
    return time.monotonic() - connection.sent_at > _LONG_WAIT_S


def _last_sent_at(client: socket.socket) -> float:
    """Return when a client last sent something, of `time.monotonic`; now where nobody tells."""
    info = _tcp_info(client)
    # tcpi_last_data_recv, in milliseconds: the twelfth number behind eight bytes
    milliseconds = struct.unpack_from("=I", info, 52)[0] if len(info) >= 56 else 0
    return time.monotonic() - milliseconds / 1000


def _is_reset(client: socket.socket) -> bool:
    """Whether a client has reset its connection, so that no answer can reach it."""
    info = _tcp_info(client)
    return bool(info) and info[0] == _TCP_CLOSE


def _tcp_info(client: socket.socket) -> bytes:
    """Return what Linux knows of a connection, as struct tcp_info of linux/tcp.h."""
    if not hasattr(socket, "TCP_INFO"):
        return b""
    try:
        return client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 56)
    except OSError:  # not a TCP socket
        return b""


class _Poll:
    """`select.poll` as `select.epoll`, for systems that have no epoll, such as macOS."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self.register = self._poll.register
        self.unregister = self._poll.unregister

    def poll(self, seconds: float) -> list[tuple[int, int]]:
        return self._poll.poll(seconds * 1000)
