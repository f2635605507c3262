"""A connection that is kept for many requests, to one address. Knows HTTP, nothing of events."""

import http.client
import ssl
from contextlib import closing
from dataclasses import dataclass

from ..errors import ToolError
from .destination import Destination

#: An answer's body is read so that the connection can be kept, and nobody looks at it.
_MOST_READ_BYTES = 65_536

#: What answers `GET /health` at all answers it at once.
_HEALTH_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    body: bytes
    """Its first 64 KiB."""
    retry_after: str | None
    """The header, as it is."""


class Connection:
    """One connection, for one thread. Redirects are answers as any other, and not followed."""

    def __init__(self, to: Destination, timeout_s: float) -> None:
        """Use an address; `timeout_s` is for connecting, and for each wait for bytes."""
        self._connection = (
            http.client.HTTPSConnection(
                to.host, to.port, timeout=timeout_s, context=ssl.create_default_context()
            )
            if to.scheme == "https"
            else http.client.HTTPConnection(to.host, to.port, timeout=timeout_s)
        )

    def open(self) -> None:
        """Connect, so that whether anybody is there is known before the first request.

        Raises:
            OSError: there is no connection.
        """
        self._connection.connect()

    def ask(self, method: str, target: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        """Return the answer to a request.

        Where the other side has closed the connection since the last one, it is made anew, once.

        Raises:
            OSError: there is no connection, or no answer in time.
            http.client.HTTPException: what answers does not speak HTTP.
        """
        kept = self._connection.sock is not None
        try:
            return self._answer(method, target, body, headers)
        except ConnectionError:
            if not kept:
                raise
            return self._answer(method, target, body, headers)

    def close(self) -> None:
        """Close it; the next request opens it again."""
        self._connection.close()

    def _answer(
        self, method: str, target: str, body: bytes | None, headers: dict[str, str]
    ) -> Answer:
        try:
            self._connection.request(method, target, body, headers)
            answer = self._connection.getresponse()
            read = answer.read(_MOST_READ_BYTES)
        except BaseException:
            self.close()
            raise
        if len(read) == _MOST_READ_BYTES:
            self.close()
        return Answer(answer.status, read, answer.getheader("Retry-After"))


def health(to: Destination) -> bytes:
    """Return what `GET /health` gives at an address's origin, empty for no answer.

    Raises:
        ToolError: there is not even a connection.
    """
    with closing(Connection(to, _HEALTH_TIMEOUT_S)) as connection:
        try:
            connection.open()
        except OSError as error:
            raise ToolError(
                f"There is no connection to {to.origin}: {cause(error)}",
                "look at the address, and whether the endpoint is up",
            ) from error
        try:
            return connection.ask("GET", "/health", None, {}).body
        except (OSError, http.client.HTTPException):
            return b""


def cause(error: Exception) -> str:
    """Return why there was no answer. HTTP's own errors quote what was answered: they are named."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, http.client.RemoteDisconnected):
        return "closed without an answer"
    said = error.strerror if isinstance(error, OSError) else None
    return said or type(error).__name__
