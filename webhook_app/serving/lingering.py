"""Clients that got their answer before they had sent everything, such as a body over the limit.

Closing a connection with bytes unread resets it, and the answer may be lost with it. So what they
send is read and thrown away for a moment, beside the other work.
"""

import select
import socket
import time
from typing import Any

#: Seconds that a client may take to read its answer.
LINGER_S = 1.0


class LingeringClients:
    """The clients of one worker that are on their way out."""

    def __init__(self, poller: Any, most: int) -> None:
        """Register clients with `poller`; the worker calls `read` for each that is readable.

        More than `most` are not kept: the next one is closed at once.
        """
        self._poller = poller
        self._most = most
        # in the order of their deadlines
        self._clients: dict[int, tuple[socket.socket, float]] = {}

    def __len__(self) -> int:
        return len(self._clients)

    def __contains__(self, number: int) -> bool:
        return number in self._clients

    def deadlines(self) -> list[float]:
        """Return the first deadline, of `time.monotonic`, if there is any."""
        return [deadline for _, deadline in self._clients.values()][:1]

    def add(self, client: socket.socket) -> None:
        """Send the end of our side, and keep the client until it has read that."""
        try:
            client.setblocking(False)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            client.close()
            return
        if len(self._clients) >= self._most:
            client.close()
            return
        self._clients[client.fileno()] = (client, time.monotonic() + LINGER_S)
        self._poller.register(client, select.POLLIN)

    def read(self, number: int) -> None:
        """Throw away what a client has sent; close it when it has closed its side."""
        client, _ = self._clients[number]
        try:
            closed = not client.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            closed = True
        if closed:
            self._close(number)

    def close_oldest(self) -> None:
        """Close the one that has had the longest time."""
        self._close(next(iter(self._clients)))

    def close_late(self, now: float) -> None:
        """Close those whose time is over."""
        for number in [each for each, (_, end) in self._clients.items() if end <= now]:
            self._close(number)

    def _close(self, number: int) -> None:
        client, _ = self._clients.pop(number)
        self._poller.unregister(client)
        client.close()
