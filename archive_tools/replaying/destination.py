"""Where events are sent again: an address that was read with care, and those that are refused.

Payloads are personal data, and an archive that is sent to itself has everything twice.
"""

import hashlib
import ipaddress
import json
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..errors import ToolError

_OUR_PATH = "/webhook/stripe"
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Destination:
    """An http or https address."""

    scheme: str
    host: str
    port: int
    path: str
    query: str

    @property
    def target(self) -> str:
        """What stands in the request's first line."""
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def query_digest(self) -> str:
        """What tells one query from another, without the token that can be in it."""
        return hashlib.sha256(self.query.encode()).hexdigest()[:16]

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def here(self) -> bool:
        """Whether it is an address of this machine alone."""
        if self.host.rstrip(".") == "localhost":
            return True
        try:
            address = ipaddress.ip_address(self.host)
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        # to connect to 0.0.0.0 is to connect to this machine
        return address.is_loopback or address.is_unspecified

    def __str__(self) -> str:
        """Return it for people: a query can hold a token, so it is left out."""
        return f"{self.origin}{self.path}"


def destination(url: str) -> Destination:
    """Return the address that a URL names.

    Raises:
        ToolError: it is no http or https address, or there is a password in it.
    """
    if not re.fullmatch(r"[!-~]+", url):
        raise ToolError("The URL has a space or a character that no URL has", "write it in ASCII")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        # what the resolver does too, with the same error for a name that cannot be one
        (host or "").encode("idna")
    except ValueError:
        raise ToolError("The URL cannot be read", "give it as https://host/path") from None
    if parts.scheme not in _PORTS or not host:
        raise ToolError("That is not an address", "give it in full, as https://host/path")
    if "@" in parts.netloc:
        raise ToolError(
            "There is a name or a password in the URL, which `ps` shows to everybody here",
            "leave it out: the signature is what proves where an event comes from",
        )
    if port == 0:
        raise ToolError("No server has the port 0", "give the port on which it listens")
    return Destination(
        parts.scheme, host, port or _PORTS[parts.scheme], parts.path or "/", parts.query
    )


def refuse_clear_text(to: Destination) -> None:
    """Refuse to send payloads unencrypted over a network.

    Raises:
        ToolError: it is http:// to another machine.
    """
    if to.scheme == "http" and not to.here:
        raise ToolError(
            f"Over {to.origin} everybody in between could read the events",
            "give an https:// address, or --insecure-http where the network is yours",
        )


def refuse_own_service(to: Destination, port: int) -> None:
    """Refuse the address at which this machine's service listens, also while it does not run.

    Raises:
        ToolError: it is that address; `port` is the service's.
    """
    if to.here and to.port == port and to.path.rstrip("/") == _OUR_PATH:
        raise _archive_error(to)


def refuse_archive(to: Destination, health: bytes) -> None:
    """Refuse a service like ours.

    Args:
        to: the address.
        health: what `GET /health` of its origin has answered.

    Raises:
        ToolError: it is what our service answers.
    """
    try:
        told = json.loads(health)
    except (ValueError, RecursionError):
        return
    if not isinstance(told, dict) or told.get("status") != "ok":
        return
    if told.keys() == {"status", "version", "timestamp"}:
        raise _archive_error(to)


def _archive_error(to: Destination) -> ToolError:
    return ToolError(
        f"{to} is an archive's own endpoint, which would keep every event once more",
        "give the endpoint of what is to work on the events, or --into-an-archive to copy them",
    )
