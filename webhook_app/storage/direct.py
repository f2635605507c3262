"""PutRecord, the one request we ever send, without what botocore does to be able to send any other.

It knows one good ending: 200 with a RecordId. Whatever else happens is raised, and `firehose` lets
boto3 ask again, which knows every other ending. Credentials, endpoint, region and time-outs are
those of the boto3 client. It saves some 500 us of CPU a delivery, of about 700.
"""

import binascii
import hashlib
import hmac
import select
import socket
import ssl
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.httpsession import get_cert_path

#: Bytes of an answer's head, and of its body; Firehose's have about 300 each.
_MOST_BYTES = 65_536
_TARGET = "Firehose_20150804.PutRecord"
_CONTENT_TYPE = "application/x-amz-json-1.1"


class NotConfirmedError(Exception):
    """What came back was not the confirmation. `str()` holds no payload and no secret."""


class RefusedError(NotConfirmedError):
    """AWS said no, for a reason that will be the same next time."""

    def __init__(self, code: str, message: str) -> None:
        """Take AWS's code and message."""
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class StaleError(Exception):
    """The connection had been closed by the other side while nobody used it."""


class _Answer(msgspec.Struct):
    record_id: str = msgspec.field(name="RecordId")


class _Error(msgspec.Struct):
    code: str = msgspec.field(name="__type")
    message: str = ""


_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_error = msgspec.json.Decoder(_Error).decode

# Of PutRecord's own errors and of all services'. What is not here may pass, so it is tried again.
# https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecord.html, .../CommonErrors.html
_FINAL = {
    "AccessDeniedException",
    "ExpiredTokenException",
    "IncompleteSignatureException",
    "InvalidArgumentException",
    "InvalidKMSResourceException",
    "InvalidSignatureException",
    "InvalidSourceException",
    "MissingAuthenticationTokenException",
    "OptInRequired",
    "ResourceNotFoundException",
    "UnrecognizedClientException",
    "ValidationException",
}


class LeanPutRecord:
    """PutRecord to one stream, over one kept connection a thread. Connects when first used."""

    def __init__(
        self,
        endpoint_url: str,
        region: str,
        stream_name: str,
        credentials: Credentials,
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
        self._kept = threading.local()

    def put(self, data: bytes) -> None:
        """Store one record; return only once Firehose has confirmed it.

        Raises:
            RefusedError: asking again would bring the same.
            StaleError: the kept connection had gone; nothing has answered on it.
            Exception: anything else; the record may have been stored all the same.
        """
        request = self.request(data, self._credentials.get_frozen_credentials())
        connection: socket.socket | None = getattr(self._kept, "connection", None)
        used_before = connection is not None
        if connection is None or _is_dropped(connection):
            self.close()
            connection, used_before = self._connect(), False
        try:
            status, answer, keep = _exchange(connection, request)
        except BaseException as error:
            self.close()
            # a time-out is no sign of it: the other side was there, and may have stored
            gone = isinstance(error, ConnectionError | ssl.SSLEOFError)
            if used_before and gone and not isinstance(error, _CutShortError):
                raise StaleError from error
            raise
        if not keep:
            self.close()
        if status != 200:
            raise _refusal(status, answer)
        if not _decode_answer(answer).record_id:
            raise NotConfirmedError("the answer has no RecordId")

    def request(self, data: bytes, credentials: ReadOnlyCredentials) -> bytes:
        """Return the request that stores one record, signed now."""
        body = self._body_start + binascii.b2a_base64(data, newline=False) + b'"}}'
        signed = self._signer.headers(body, credentials)
        return f"{self._head}{signed}Content-Length: {len(body)}\r\n\r\n".encode() + body

    def _connect(self) -> socket.socket:
        connection: socket.socket = socket.create_connection(
            (self._host, self._port), self._connect_timeout_s
        )
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_hostname=self._host)
            connection.settimeout(self._read_timeout_s)
        except BaseException:
            connection.close()
            raise
        self._kept.connection = connection
        return connection

    def close(self) -> None:
        """Close the connection of this thread, if there is one."""
        connection = getattr(self._kept, "connection", None)
        self._kept.connection = None
        if connection is not None:
            connection.close()


class _CutShortError(ConnectionError):
    """The answer began and did not end."""


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
            f"POST\n{self._path}\n\ncontent-type:{_CONTENT_TYPE}\nhost:{self._host}\nx-amz-date:{moment}\n"
            f"{token_line}x-amz-target:{_TARGET}\n\n{names}\n{hashlib.sha256(body).hexdigest()}"
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


def _refusal(status: int, answer: bytes) -> NotConfirmedError:
    """Return what an answer says that is not 200."""
    try:
        error = _decode_error(answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return NotConfirmedError(f"HTTP {status}")
    # it can have a namespace in front
    code = error.code.rpartition("#")[2]
    if code in _FINAL:
        return RefusedError(code, error.message)
    return NotConfirmedError(f"{code}: {error.message}")


def _tls_context(ca_bundle: str | None) -> ssl.SSLContext:
    place: str = ca_bundle or get_cert_path(True)  # type: ignore[assignment] # True: never None
    folder = Path(place).is_dir()
    context = ssl.create_default_context(
        cafile=None if folder else place, capath=place if folder else None
    )
    # TLS 1.2 at least is Python's default and AWS's
    context.set_alpn_protocols(["http/1.1"])
    return context


def _is_dropped(connection: socket.socket) -> bool:
    """Whether a connection that should be quiet has something to say: the end, most likely."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


def _exchange(connection: socket.socket, request: bytes) -> tuple[int, bytes, bool]:
    """Send a request; return the status, the body, and whether the connection can be kept.

    Raises:
        OSError: the connection broke, or a time-out ran out.
        NotConfirmedError: what came back is not an answer with a length.
    """
    connection.sendall(request)
    received = connection.recv(_MOST_BYTES)
    if not received:
        raise ConnectionResetError
    while (end := received.find(b"\r\n\r\n")) < 0:
        if len(received) > _MOST_BYTES:
            raise NotConfirmedError("the answer's head is too long")
        received += _more(connection)
    head = received[:end].lower()
    fields = dict(line.partition(b":")[::2] for line in head.split(b"\r\n")[1:])
    status, length = head[9:12], fields.get(b"content-length", b"").strip()
    if not head.startswith(b"http/1.") or not status.isdigit() or not length.isdigit():
        raise NotConfirmedError("the answer is no HTTP with a Content-Length")
    if int(length) > _MOST_BYTES:
        raise NotConfirmedError("the answer is too long")
    body = received[end + 4 :]
    while len(body) < int(length):
        body += _more(connection)
    whole = len(body) == int(length)
    keep = whole and head.startswith(b"http/1.1") and b"close" not in fields.get(b"connection", b"")
    return int(status), body[: int(length)], keep


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(_MOST_BYTES)
    if not data:
        raise _CutShortError
    return data
