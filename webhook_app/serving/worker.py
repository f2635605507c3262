"""The gunicorn worker: it buffers requests, and hands each to the application once it is complete.

A stock sync worker reads from one client until its request is there, so as many slow clients as
there are workers stop the service. This one waits for any number of clients at a time. Complete
requests are answered one after the other, or by as many threads as gunicorn's `threads` says.
"""

import contextlib
import itertools
import os
import select
import socket
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

from gunicorn import SERVER_SOFTWARE
from gunicorn.workers.base import Worker

from .http_response import render, render_error, send
from .lingering import LingeringClients
from .request_buffer import MAX_HEAD_BYTES, Limits, RequestBuffer, RequestError
from .signals import release_stop_signals
from .threads import ThreadPool

#: Seconds a request may take to arrive, from its connection on.
REQUEST_DEADLINE_S = 10.0
#: The same, once the service was told to stop: below gunicorn's graceful time-out.
STOP_DEADLINE_S = 5.0
#: Clients that one worker waits for; the longest-waiting one makes room for the next.
MAX_WAITING = 400
#: Bytes of incomplete requests that one worker holds, in bodies of the largest size.
MAX_WAITING_BODIES = 4

# Linux hands over a connection once it has sent something, or after this many seconds.
_DEFER_ACCEPT_S = 5
# Connections of the accept queue that each worker takes with it when it is told to stop.
_ACCEPTED_AT_STOP = 16


@dataclass(slots=True, eq=False)
class Connection:
    """A client with its one request."""

    client: socket.socket
    request: RequestBuffer
    deadline: float
    """Of `time.monotonic`: when the request has to be complete."""


class BufferingWorker(Worker):
    """Any number of requests on their way in, `threads` at a time in the application."""

    alive: bool

    def init_signals(self) -> None:
        """Install the worker's handlers, then let the signals in that came before them."""
        super().init_signals()
        release_stop_signals()

    def run(self) -> None:
        """Serve until gunicorn says stop, then finish what has begun to arrive."""
        self._prepare()
        while self.alive or self._arriving or self._is_busy:
            self._beat()
            for number, _ in self._poller.poll(self._seconds_to_wait()):
                self._on_readable(number)
            if self._arriving or self._lingering:
                self._close_late()
            if os.getppid() != self.ppid:
                self.log.info("Parent changed, shutting down: %s", self)
                return
            if not self.alive:
                self._stop_listening()

    def _prepare(self) -> None:
        self._limits = Limits(
            line_bytes=self.cfg.limit_request_line or sys.maxsize,
            fields=self.cfg.limit_request_fields,
            field_bytes=self.cfg.limit_request_field_size or sys.maxsize,
            body_bytes=self.wsgi.extensions["settings"].max_body_bytes,
        )
        self._logs_access = bool(self.cfg.accesslog or self.cfg.statsd_host)
        # in the order of their deadlines
        self._arriving: dict[int, Connection] = {}
        self._poller = select.epoll() if hasattr(select, "epoll") else _Poll()
        self._poller.register(self.PIPE[0], select.POLLIN)
        self._lingering = LingeringClients(self._poller)
        self._pool: ThreadPool[Connection] | None = None
        if self.cfg.threads > 1:
            self._pool = ThreadPool(self.cfg.threads, self._respond_in_thread, self._wake)
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
            "wsgi.multithread": self.cfg.threads > 1,
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

    # what the poller reports

    def _on_readable(self, number: int) -> None:
        if number in self._listeners:
            self._accept(number)
        elif number in self._arriving:
            self._read(self._arriving[number])
        elif number in self._lingering:
            self._lingering.read(number)
        elif number == self.PIPE[0]:
            with contextlib.suppress(BlockingIOError):
                os.read(number, 4096)
            self._finish_answered()

    def _seconds_to_wait(self) -> float:
        if not self._arriving and not self._lingering:
            return 1.0
        deadlines = [each.deadline for each in itertools.islice(self._arriving.values(), 1)]
        deadlines += self._lingering.deadlines()
        return max(0.0, min([1.0, *(deadline - time.monotonic() for deadline in deadlines)]))

    # requests on their way in

    def _accept(self, number: int) -> bool:
        try:
            client, address = self._listeners[number].accept()
        except OSError:
            # another worker was first, or the client has left again
            return False
        environ = self._base_environs[number].copy()
        if isinstance(address, tuple):
            environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = address[0], str(address[1])
        request = RequestBuffer(self._limits, environ)
        connection = Connection(client, request, time.monotonic() + REQUEST_DEADLINE_S)
        # nearly every request is there as a whole, and needs no waiting for
        self._read(connection)
        if self._is_arriving(connection):
            self._make_room()
        return True

    def _read(self, connection: Connection) -> None:
        """Read what has arrived; answer the request if it is complete, else wait for the rest."""
        request = connection.request
        try:
            while not request.complete:
                data = connection.client.recv(65_536, socket.MSG_DONTWAIT)
                if data:
                    request.feed(data)
                elif request.received_bytes:
                    request.end()
                else:
                    self._drop(connection)
                    return
        except BlockingIOError:
            self._wait_for_more(connection)
        except OSError:
            self._drop(connection)
        except RequestError as error:
            self._refuse(connection, error.status, str(error))
        else:
            self._dispatch(connection)

    def _wait_for_more(self, connection: Connection) -> None:
        request = connection.request
        if request.expects_continue:
            request.expects_continue = False
            with contextlib.suppress(OSError):
                connection.client.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not self._is_arriving(connection):
            self._arriving[connection.client.fileno()] = connection
            self._poller.register(connection.client, select.POLLIN)
        elif request.received_bytes > MAX_HEAD_BYTES:
            self._make_room()

    def _make_room(self) -> None:
        """Give up on the longest-waiting while too many, or too many bytes, are held."""
        most_bytes = MAX_WAITING_BODIES * (self._limits.body_bytes + MAX_HEAD_BYTES)
        while (
            len(self._arriving) > MAX_WAITING
            or sum(each.request.received_bytes for each in self._arriving.values()) > most_bytes
        ):
            self._refuse_late(next(iter(self._arriving.values())))

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
        connection.client.close()

    def _is_arriving(self, connection: Connection) -> bool:
        return self._arriving.get(connection.client.fileno()) is connection

    def _forget(self, connection: Connection) -> None:
        if self._is_arriving(connection):
            self._poller.unregister(connection.client)
            del self._arriving[connection.client.fileno()]

    # complete requests

    def _dispatch(self, connection: Connection) -> None:
        """Have the application answer a complete request, here or in a thread."""
        self._forget(connection)
        self._beat()
        if self._pool is None:
            self._respond(connection)
            self._close(connection)
        else:
            self._pool.submit(connection)
            self._accept_while_free()

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
    def _is_full(self) -> bool:
        return self._pool is not None and self._pool.full

    def _respond_in_thread(self, connection: Connection) -> bool:
        """Answer a request; True where its client has to linger, which is for the loop."""
        self._respond(connection)
        if connection.request.has_unread_bytes:
            return True
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
        if self._accepting is not self._is_full:
            return
        self._accepting = not self._accepting
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
        if connection.request.has_unread_bytes:
            self._lingering.add(connection.client)
        else:
            connection.client.close()

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


class _Poll:
    """`select.poll` as `select.epoll`, for systems that have no epoll, such as macOS."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self.register = self._poll.register
        self.unregister = self._poll.unregister

    def poll(self, seconds: float) -> list[tuple[int, int]]:
        return self._poll.poll(seconds * 1000)
