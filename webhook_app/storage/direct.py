"""PutRecord as one short HTTP request, without botocore's generality: the first try of a write.

It knows one success, a 200 with a RecordId. Anything else raises, and `firehose` has boto3 try
again. Credentials, endpoint, region, certificates and time-outs are those of the boto3 client.
"""

import binascii
import hashlib
import hmac
import select
import socket
import ssl
import threading
import time
from collections import deque
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httptools
import msgspec
from botocore.credentials import ReadOnlyCredentials
from botocore.httpsession import get_cert_path

from .credentials import CachedCredentials
from .deadline import call_until, remaining

#: Bytes of an answer, head and body; Firehose's have about 600.
MAX_RESPONSE_BYTES = 65_536
_TARGET = "Firehose_20150804.PutRecord"
_CONTENT_TYPE = "application/x-amz-json-1.1"
#: Seconds after which an unused connection is not used any more. Firehose keeps it for longer, but
#: a NAT or a firewall between may drop it without a word.
MAX_IDLE_S = 30.0
#: Seconds for the answer behind one that was the answer to a request before.
REPEATED_S = 0.5
# what a stand-in sends with each answer
_NO_ID = b"00000000-0000-0000-0000-000000000000"
_FRAMING = {b"content-length", b"transfer-encoding"}


class NotConfirmedError(Exception):
    """Firehose did not confirm the record. `str()` holds no payload and no secret."""


class RejectedError(NotConfirmedError):
    """AWS rejected the request (4xx) and has not stored the record; no throttling."""


class StaleConnectionError(Exception):
    """The other side had closed the kept connection; nothing was answered on it."""


class _Confirmation(msgspec.Struct):
    record_id: str = msgspec.field(name="RecordId")


class _Error(msgspec.Struct):
    code: str = msgspec.field(name="__type")


_decode_confirmation = msgspec.json.Decoder(_Confirmation).decode
_decode_error = msgspec.json.Decoder(_Error).decode


class DirectClient:
    """PutRecord to one stream, over one kept connection a thread. Connects when first used."""

    def __init__(
        self,
        endpoint_url: str,
        region: str,
        stream_name: str,
        credentials: CachedCredentials,
        user_agent: str,
        ca_bundle: str | None,
        connect_timeout_s: float,
        read_timeout_s: float,
    ) -> None:
        """Send to `endpoint_url`, an http or https address.

        `ca_bundle` is a file or a folder of certificates; without one botocore's own are used.
        """
        parts = urlsplit(endpoint_url)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = _tls_context(ca_bundle) if parts.scheme == "https" else None
        self._credentials = credentials
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s
        path = parts.path or "/"
        self._signer = _Signer(parts.netloc, path, region)
        self._head = (
            f"POST {path} HTTP/1.1\r\n"
            f"Host: {parts.netloc}\r\nUser-Agent: {user_agent}\r\n"
            f"Content-Type: {_CONTENT_TYPE}\r\nX-Amz-Target: {_TARGET}\r\n"
        )
        self._body_start = b'{"DeliveryStreamName":"%s","Record":{"Data":"' % stream_name.encode()
        self._local = threading.local()

    def put_record(self, data: bytes, deadline: float) -> None:
        """Store one record; return only once Firehose has confirmed it.

        Raises:
            RejectedError: AWS has said no.
            StaleConnectionError: the kept connection had been closed.
            Exception: anything else; the record may have been stored all the same.
        """
        request = self.signed_request(data, self._credentials.get(deadline))
        kept = connection = self._kept()
        if connection is None:
            # nothing else ends looking up a name, and several addresses
            connection = _Connection(call_until(deadline, partial(self._connect, deadline)))
            self._local.connection = connection
        response = _Response(connection.request_ids)
        try:
            self._exchange(connection.socket, request, response, deadline)
        except BaseException as error:
            self.close()
            # a time-out is no sign of a stale connection: the record may have been stored
            if kept and not response.has_begun and isinstance(error, _CLOSED):
                raise StaleConnectionError from error
            raise
        connection.used_at = time.monotonic()
        if not response.keeps_connection:
            self.close()
        _check(response)

    def signed_request(self, data: bytes, credentials: ReadOnlyCredentials) -> bytes:
        """Return the request that stores one record, signed now."""
        body = self._body_start + binascii.b2a_base64(data, newline=False) + b'"}}'
        signed = self._signer.headers(body, credentials)
        return f"{self._head}{signed}Content-Length: {len(body)}\r\n\r\n".encode() + body

    def _kept(self) -> "_Connection | None":
        """Return the connection of this thread, if the next request can be sent on it."""
        connection: _Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            return None
        idle_s = time.monotonic() - connection.used_at
        if idle_s < MAX_IDLE_S and not _is_readable(connection.socket):
            return connection
        self.close()
        return None

    def _connect(self, deadline: float) -> socket.socket:
        # as boto3, with a time-out for each address of the name, and another for the handshake
        connection: socket.socket = socket.create_connection(
            (self._host, self._port), self._connect_timeout_s
        )
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_hostname=self._host)
            # after the deadline nobody waits for it any more
            remaining(deadline, self._read_timeout_s)
        except BaseException:
            connection.close()
            raise
        return connection

    def _exchange(
        self, connection: socket.socket, request: bytes, response: "_Response", deadline: float
    ) -> None:
        """Send a request and read its whole answer.

        As boto3's, the time-out is that of each read; the deadline is that of all of them.

        Raises:
            OSError: the connection broke, or the time-out ran out.
            httptools.HttpParserError: the answer is not HTTP.
            NotConfirmedError: the answer is too long.
        """
        received = 0
        _set_timeout(connection, remaining(deadline, self._read_timeout_s))
        connection.sendall(request)
        while not response.complete:
            limit_s = REPEATED_S if response.is_repeated else self._read_timeout_s
            _set_timeout(connection, remaining(deadline, limit_s))
            data = connection.recv(MAX_RESPONSE_BYTES)
            received += len(data)
            if received > MAX_RESPONSE_BYTES:
                raise NotConfirmedError("the answer is too long")
            response.feed(data)

    def close(self) -> None:
        """Close the connection of this thread, if there is one."""
        connection: _Connection | None = getattr(self._local, "connection", None)
        self._local.connection = None
        if connection is not None:
            connection.socket.close()


_CLOSED = (ConnectionError, ssl.SSLEOFError)


class _Connection:
    """A connection, when it was last used, and the ids of its last answers."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.used_at = 0.0
        self.request_ids: deque[bytes] = deque(maxlen=8)


class _Response:
    """An answer as it arrives."""

    def __init__(self, seen_ids: deque[bytes]) -> None:
        """Expect one whose request id is not among `seen_ids`, and add it to them."""
        self.has_begun = False
        self.is_repeated = False
        self.complete = False
        self.body = b""
        self.status = 0
        self.keeps_connection = False
        self._seen_ids = seen_ids
        self._headers: dict[bytes, bytes] = {}
        self._head_complete = False
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Take what a read has returned, nothing at the end of the connection.

        Raises:
            ConnectionResetError: the answer is not complete at the end.
            httptools.HttpParserError: it is not HTTP.
        """
        if data:
            self.has_begun = True
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserError:
                if not self.complete:
                    raise
                # what is behind the answer is none
                self.keeps_connection = False
        elif self._head_complete and not self._headers.keys() & _FRAMING:
            self.complete = True
        else:
            raise ConnectionResetError
        if self.complete:
            # a reference cycle: this object is the parser's protocol
            del self._parser

    def on_message_begin(self) -> None:
        # after the answer: the next request would get what follows
        self.keeps_connection = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        if not self.complete:
            # asked here: the parser forgets it when it is ready for the next message
            self.status = self._parser.get_status_code()
            self._head_complete = self.status >= 200

    def on_body(self, part: bytes) -> None:
        if not self.complete:
            self.body += part

    def on_message_complete(self) -> None:
        if self.complete:
            return
        request_id = self._headers.get(b"x-amzn-requestid", _NO_ID)
        if not self._head_complete or request_id in self._seen_ids:
            # 1xx, or the answer to a request before this one: ours is still to come
            self.is_repeated = self._head_complete
            self._head_complete, self.body = False, b""
            self._headers.clear()
            return
        if request_id != _NO_ID:
            self._seen_ids.append(request_id)
        self.keeps_connection = self._parser.should_keep_alive() and not self.is_repeated
        self.complete = True


def _check(response: _Response) -> None:
    """Return if the answer confirms the record.

    Raises:
        NotConfirmedError: it says something else.
        msgspec.DecodeError: it is a 200 without a RecordId.
    """
    if response.status == 200:
        if not _decode_confirmation(response.body).record_id:
            raise NotConfirmedError("the answer has no RecordId")
        return
    try:
        code = _decode_error(response.body).code
    except (msgspec.DecodeError, UnicodeDecodeError):
        code = f"HTTP {response.status}"
    throttled = "Throttl" in code or "LimitExceeded" in code
    kind = RejectedError if 400 <= response.status < 500 and not throttled else NotConfirmedError
    raise kind(code[:100])


class _Signer:
    """Signature version 4 of this one request.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """

    def __init__(self, host: str, path: str, region: str) -> None:
        self._host = host
        self._path = path
        self._region = region
        self._key: tuple[str, str, bytes] = ("", "", b"")

    def headers(self, body: bytes, credentials: ReadOnlyCredentials) -> str:
        """Return the header lines that sign a body now."""
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        token = credentials.token
        token_line = f"x-amz-security-token:{token}\n" if token else ""
        names = "content-type;host;x-amz-date;" + ("x-amz-security-token;" if token else "")
        names += "x-amz-target"
        canonical = (
            f"POST\n{self._path}\n\ncontent-type:{_CONTENT_TYPE}\nhost:{self._host}\n"
            f"x-amz-date:{moment}\n{token_line}x-amz-target:{_TARGET}\n\n{names}\n"
            f"{hashlib.sha256(body).hexdigest()}"
        )
        scope = f"{moment[:8]}/{self._region}/firehose/aws4_request"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        to_sign = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}"
        key = self._signing_key(moment[:8], credentials.secret_key or "")
        signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
        return (
            f"X-Amz-Date: {moment}\r\n"
            + (f"X-Amz-Security-Token: {token}\r\n" if token else "")
            + f"Authorization: AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
            f"SignedHeaders={names}, Signature={signature}\r\n"
        )

    def _signing_key(self, day: str, secret_key: str) -> bytes:
        """Return the key of a day, made once for each day and secret."""
        known_day, known_secret, key = self._key
        if (known_day, known_secret) != (day, secret_key):
            key = f"AWS4{secret_key}".encode()
            for word in (day, self._region, "firehose", "aws4_request"):
                key = hmac.digest(key, word.encode(), "sha256")
            self._key = (day, secret_key, key)
        return key


def _tls_context(ca_bundle: str | None) -> ssl.SSLContext:
    place: str = ca_bundle or get_cert_path(True)  # type: ignore[assignment] # True: never None
    folder = Path(place).is_dir()
    context = ssl.create_default_context(
        cafile=None if folder else place, capath=place if folder else None
    )
    # TLS 1.2 at least is Python's default and AWS's
    context.set_alpn_protocols(["http/1.1"])
    return context


def _set_timeout(connection: socket.socket, timeout_s: float) -> None:
    # setting it is a system call
    if connection.gettimeout() != timeout_s:
        connection.settimeout(timeout_s)


def _is_readable(connection: socket.socket) -> bool:
    """Whether a connection that should be quiet has something to say: its end, most likely."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))
