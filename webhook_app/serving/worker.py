"""gunicorn's sync worker, but patient: it waits for many requests and blocks on none of them.

A stock sync worker reads from its client until the request is there, so as many idle or slow
clients as there are workers stop the service. This one reads without blocking, holds any number of
requests that are still coming in, and hands a request to the blocking application when it is whole.
It knows how requests are framed (RFC 9112) and nothing of what is in them.
"""

import contextlib
import io
import itertools
import os
import re
import select
import socket
import time
from typing import Any

from gunicorn.config import Config
from gunicorn.http.errors import LimitRequestHeaders
from gunicorn.workers.sync import SyncWorker

from .gunicorn_workers import JsonErrors
from .plain_http import answer, plain_environ

#: Seconds a request may take to come in, from its connection on.
REQUEST_DEADLINE_S = 10.0
#: Seconds that a client which was refused half-way is listened to, so that it reads why: closing
#: with bytes unread resets the connection, and the answer with it.
LINGER_S = 1.0
#: The same, once the service was told to stop: below gunicorn's graceful time-out.
STOP_DEADLINE_S = 5.0
#: Bytes of a request's head; Stripe's has about 600.
MAX_HEAD_BYTES = 32_768
#: Clients that one worker waits for; the longest-waiting one makes room for the next.
MAX_WAITING = 400
#: Bytes of unfinished requests that one worker holds in all, in bodies of the largest size.
MAX_WAITING_BODIES = 4

# Linux's accept queue gets a connection once it has sent something; the others cost us nothing.
# After this many seconds it gets it all the same.
_DEFER_ACCEPT_S = 5
# Bytes of an answer that an unused socket takes without waiting for its reader.
_FITS = 4096
# Connections of the queue that each worker takes with it when it is told to stop.
_TAKEN_AT_STOP = 16


class Incoming:
    """A request on its way in; then, for gunicorn, the socket that it comes from.

    `recv` gives out what has been received and then the end, so gunicorn never waits; all else is
    the client's socket.
    """

    def __init__(
        self, client: socket.socket, address: Any, max_body_bytes: int, server: Any = None
    ) -> None:
        """Take a client that was just accepted, by a listener of the address `server`."""
        self.client = client
        self.address = address
        self.server = server
        self.deadline = time.monotonic() + REQUEST_DEADLINE_S
        self.received = bytearray()
        self.head = b""
        """Up to the empty line, once that has come."""
        self.whole = False
        """Nothing more is worth waiting for: it is complete, ended, or wrong beyond repair."""
        self.drained = False
        """The client has nothing left to say, so closing resets nothing."""
        self._max_body_bytes = max_body_bytes
        self._body_at = 0
        self._body_end: int | None = None
        self._chunk_at: int | None = None
        self._chunked_bytes = 0
        self._unread: io.BytesIO | None = None

    def read(self) -> None:
        """Take in what has arrived, without waiting for more.

        Raises:
            OSError: the client is gone.
            LimitRequestHeaders: the head is too long.
        """
        while not self.whole:
            try:
                data = self.client.recv(65_536, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            self.received += data
            self.drained = not data
            self.whole = not data or self._is_whole()

    def _is_whole(self) -> bool:
        if not self._body_at and not self._find_body():
            return False
        if self._chunk_at is not None:
            return self._chunks_are_whole(self._chunk_at)
        self.drained = len(self.received) == self._body_end
        return self._body_end is None or len(self.received) >= self._body_end

    def _find_body(self) -> bool:
        """Find out where the body begins and how it ends; False while the head is coming in."""
        at = self.received.find(b"\r\n\r\n")
        if (len(self.received) if at < 0 else at) > MAX_HEAD_BYTES:
            raise LimitRequestHeaders("head of the request")
        if at < 0:
            return False
        self._body_at = at + 4
        self.head = bytes(self.received[:at])
        lines = self.head.lower().split(b"\r\n")[1:]
        fields = [
            (name, value.strip()) for name, _, value in (line.partition(b":") for line in lines)
        ]
        lengths = [value for name, value in fields if name == b"content-length"]
        codings = [value for name, value in fields if name == b"transfer-encoding"]
        if codings == [b"chunked"] and not lengths:
            self._chunk_at = self._body_at
        elif not codings and not lengths:
            self._body_end = self._body_at
        elif not codings and len(lengths) == 1 and re.fullmatch(rb"[0-9]{1,15}", lengths[0]):
            length = int(lengths[0])
            self._body_end = self._body_at + length if length <= self._max_body_bytes else None
        # what is left is not waited for: it is for gunicorn or the application to refuse
        waiting = self._chunk_at or (self._body_end or 0) > len(self.received)
        if waiting and (b"expect", b"100-continue") in fields:
            with contextlib.suppress(BlockingIOError):
                self.client.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def _chunks_are_whole(self, at: int) -> bool:
        """Walk over the chunks from `at`, the start of a size line, as far as they have come."""
        while (line_end := self.received.find(b"\r\n", at)) >= 0:
            try:
                size = int(bytes(self.received[at:line_end]).partition(b";")[0], 16)
            except ValueError:
                return True
            if size <= 0:
                trailer_end = self.received.find(b"\r\n\r\n", line_end)
                self.drained = trailer_end == len(self.received) - 4
                return size < 0 or trailer_end >= 0
            here = min(size, len(self.received) - line_end - 2)
            if self._chunked_bytes + here > self._max_body_bytes:
                return True
            if len(self.received) < line_end + 2 + size + 2:
                break
            self._chunked_bytes += size
            self._chunk_at = at = line_end + 2 + size + 2
        # chunks of a byte each would take six times the limit
        return len(self.received) > 2 * self._max_body_bytes + MAX_HEAD_BYTES

    def body(self) -> bytes:
        """Return what came behind the head."""
        return bytes(memoryview(self.received)[self._body_at :])

    def recv(self, size: int) -> bytes:
        """Give out what was received, then the end."""
        if self._unread is None:
            self._unread = io.BytesIO(self.received)
        return self._unread.read(size)

    def close(self) -> None:
        """Keep the socket: gunicorn closes after its answer, and the worker knows when it may."""

    def __getattr__(self, name: str) -> Any:
        """Be the client's socket in all else."""
        return getattr(self.client, name)


class PatientSyncWorker(JsonErrors, SyncWorker):
    """One request at a time in the application, any number on their way to it."""

    def run(self) -> None:
        """Serve until gunicorn says stop, then finish what has begun to come in."""
        self._max_body_bytes: int = self.wsgi.extensions["settings"].max_body_bytes
        self._plainly = not _asks_for_more(self.cfg)
        # both in the order of their deadlines
        self._incoming: dict[int, Incoming] = {}
        self._lingering: dict[int, tuple[socket.socket, float]] = {}
        self._listeners = {listener.fileno(): listener for listener in self.sockets}
        self._addresses = {listener: listener.getsockname() for listener in self.sockets}
        self._epoll = select.epoll()
        self._epoll.register(self.PIPE[0], select.EPOLLIN)
        for number, listener in self._listeners.items():
            listener.setblocking(False)
            with contextlib.suppress(OSError):  # not a TCP socket
                listener.sock.setsockopt(
                    socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, _DEFER_ACCEPT_S
                )
            # exclusive: a connection wakes one idle worker, not all of them
            self._epoll.register(number, select.EPOLLIN | select.EPOLLEXCLUSIVE)

        while self.alive or self._incoming:
            self.notify()
            for number, _ in self._epoll.poll(self._timeout_s()):
                self._on_ready(number)
            self._end_late()
            if not self.is_parent_alive():
                return
            if not self.alive:
                self._stop_listening()

    def _timeout_s(self) -> float:
        deadlines = [incoming.deadline for incoming in itertools.islice(self._incoming.values(), 1)]
        deadlines += [end for _, end in itertools.islice(self._lingering.values(), 1)]
        return max(0.0, min([1.0, *(deadline - time.monotonic() for deadline in deadlines)]))

    def _on_ready(self, number: int) -> None:
        if number in self._listeners:
            self._accept(self._listeners[number])
        elif number in self._incoming:
            self._advance(self._incoming[number])
        elif number in self._lingering:
            self._discard(number)
        elif number == self.PIPE[0]:
            os.read(number, 4096)

    def _accept(self, listener: Any) -> bool:
        try:
            client, address = listener.accept()
        except OSError:
            # another worker was first, or the client has left again
            return False
        incoming = Incoming(client, address, self._max_body_bytes, self._addresses[listener])
        # nearly every request is there as a whole, and needs no waiting for
        self._advance(incoming)
        if self._is_waiting(incoming):
            self._make_room()
        return True

    def _make_room(self) -> None:
        """Give up on the longest-waiting while too many, or too many bytes, are held."""
        most_bytes = MAX_WAITING_BODIES * (self._max_body_bytes + MAX_HEAD_BYTES)
        while (
            len(self._incoming) > MAX_WAITING
            or sum(len(incoming.received) for incoming in self._incoming.values()) > most_bytes
        ):
            self._refuse_late(next(iter(self._incoming.values())))

    def _advance(self, incoming: Incoming) -> None:
        """Read on, and serve the request if it is whole; else wait for the rest."""
        try:
            incoming.read()
        except OSError:
            self._forget(incoming)
            incoming.client.close()
        except LimitRequestHeaders as too_long:
            self._refuse(incoming, too_long)
        else:
            if incoming.whole:
                self._serve(incoming)
            elif not self._is_waiting(incoming):
                self._incoming[incoming.client.fileno()] = incoming
                self._epoll.register(incoming.client, select.EPOLLIN)
            elif len(incoming.received) > MAX_HEAD_BYTES:
                self._make_room()

    def _serve(self, incoming: Incoming) -> None:
        self._forget(incoming)
        self.notify()
        if self._plainly and incoming.drained and self._serve_plain(incoming):
            self._part(incoming)
            return
        # answers are small and fit into the socket's buffer: this bounds the pathological
        incoming.client.settimeout(LINGER_S)
        # the first is asked for the address that the client connected to
        self.handle(incoming, incoming, incoming.address)
        self._part(incoming)

    def _serve_plain(self, incoming: Incoming) -> bool:
        """Serve a request by the short way; False, and nothing done, if it is not plain."""
        environ = plain_environ(
            incoming.head, incoming.body(), incoming.address, incoming.server, self.cfg
        )
        if environ is None:
            return False
        try:
            data = self._answer_of(environ)
            if len(data) > _FITS:
                incoming.client.settimeout(LINGER_S)
            incoming.client.sendall(data)
        except OSError:
            self.log.debug("The client was gone before its answer")
        # every BaseException: SystemExit is how gunicorn ends a worker past its time-out
        except BaseException as error:
            self.handle_error(None, incoming, incoming.address, error)
        return True

    def _answer_of(self, environ: dict[str, Any]) -> bytes:
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> None:
            started.append((status, headers))

        self.nr += 1
        if self.nr >= self.max_requests:
            self.log.info("Autorestarting worker after current request.")
            self.alive = False
        content = self.wsgi(environ, start_response)
        try:
            return answer(*started[-1], b"".join(content))
        finally:
            content.close()

    def _refuse(self, incoming: Incoming, reason: Exception) -> None:
        self._forget(incoming)
        self.handle_error(None, incoming, incoming.address, reason)
        self._part(incoming)

    def _refuse_late(self, incoming: Incoming) -> None:
        if incoming.received:
            self._refuse(incoming, TimeoutError())
        else:
            self._forget(incoming)
            incoming.client.close()

    def _is_waiting(self, incoming: Incoming) -> bool:
        return self._incoming.get(incoming.client.fileno()) is incoming

    def _forget(self, incoming: Incoming) -> None:
        if self._is_waiting(incoming):
            self._epoll.unregister(incoming.client)
            del self._incoming[incoming.client.fileno()]

    def _part(self, incoming: Incoming) -> None:
        """Close, at once where the client has said all it had to, else when it has read why."""
        client = incoming.client
        if incoming.drained or len(self._lingering) >= MAX_WAITING:
            client.close()
            return
        try:
            client.setblocking(False)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            client.close()
            return
        self._lingering[client.fileno()] = (client, time.monotonic() + LINGER_S)
        self._epoll.register(client, select.EPOLLIN)

    def _discard(self, number: int) -> None:
        client, _ = self._lingering[number]
        try:
            gone = not client.recv(262_144)
        except BlockingIOError:
            return
        except OSError:
            gone = True
        if gone:
            self._close_lingering(number)

    def _close_lingering(self, number: int) -> None:
        client, _ = self._lingering.pop(number)
        self._epoll.unregister(client)
        client.close()

    def _end_late(self) -> None:
        now = time.monotonic()
        late = [incoming for incoming in self._incoming.values() if incoming.deadline <= now]
        for incoming in late:
            # read first, judge after: its last bytes may have come while the application worked
            if self._is_waiting(incoming):
                self._advance(incoming)
            if self._is_waiting(incoming):
                self._refuse_late(incoming)
        for number in [number for number, (_, end) in self._lingering.items() if end <= now]:
            self._close_lingering(number)

    def _stop_listening(self) -> None:
        """Take what is in the queue already, then let the kernel refuse what comes.

        Who has not said a word is let go; the others get a little time.
        """
        for number, listener in self._listeners.items():
            for _ in range(_TAKEN_AT_STOP):
                if not self._accept(listener):
                    break
            self._epoll.unregister(number)
            listener.close()
        self._listeners.clear()
        for incoming in list(self._incoming.values()):
            incoming.deadline = min(incoming.deadline, time.monotonic() + STOP_DEADLINE_S)
            if not incoming.received:
                self._refuse_late(incoming)


def _asks_for_more(config: Any) -> bool:
    """Whether gunicorn was told to do something with each request that the short way does not."""
    default = Config()
    names = ("pre_request", "post_request", "accesslog", "statsd_host", "logger_class", "certfile")
    return bool(os.environ.get("SCRIPT_NAME")) or any(
        config.settings[name].get() != default.settings[name].get()
        for name in (*names, "proxy_protocol", "protocol")
    )
