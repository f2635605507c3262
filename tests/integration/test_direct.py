"""The direct PutRecord: signed as botocore signs, on a kept connection, and only a first try."""

import base64
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import botocore.auth
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.firehose import RECORD_ID, FakeFirehose
from tests.integration.conftest import RECORD, soon
from webhook_app.settings import Settings
from webhook_app.storage import firehose
from webhook_app.storage.archive import ArchiveError
from webhook_app.storage.credentials import CachedCredentials
from webhook_app.storage.direct import (
    DirectClient,
    NotConfirmedError,
    RejectedError,
    StaleConnectionError,
)
from webhook_app.storage.firehose import DIRECT_PAUSE_S, MAX_DIRECT_FAILURES, FirehoseArchive

OK = json.dumps({"RecordId": RECORD_ID, "Encrypted": False}).encode()


class Scripted:
    """A server on loopback that answers each request with the next bytes of its script."""

    def __init__(self, *answers: bytes | None) -> None:
        self._answers = list(answers)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self.connections = 0
        self.requests: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while self._answers:
            connection, _ = self._server.accept()
            self.connections += 1
            with connection:
                while self._answers and self._one(connection):
                    pass

    def _one(self, connection: socket.socket) -> bool:
        request = b""
        while b"\r\n\r\n" not in request:
            data = connection.recv(65536)
            if not data:
                return False
            request += data
        self.requests.append(request)
        answer = self._answers.pop(0)
        if answer is None:
            return False
        for part in answer.split(b"|"):
            connection.sendall(part)
            time.sleep(0.02)
        return b"onnection: close" not in answer

    def close(self) -> None:
        self._thread.join(5)
        self._server.close()


def answer(body: bytes = OK, head: str = "HTTP/1.1 200 OK") -> bytes:
    return f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def direct(url: str, **changes: Any) -> DirectClient:
    arguments: dict[str, Any] = {
        "endpoint_url": url,
        "region": "eu-west-1",
        "stream_name": "events",
        "credentials": CachedCredentials(Credentials("AKID", "secret")),
        "user_agent": "test",
        "ca_bundle": None,
        "connect_timeout_s": 1.0,
        "read_timeout_s": 0.5,
    }
    return DirectClient(**arguments | changes)


SIGNING = {path: direct(f"https://firehose.example{path}") for path in ("/", "/firehose")}


@given(
    data=st.binary(max_size=300),
    secret=st.text("abcdefABCDEF0123456789/+", min_size=1, max_size=40),
    token=st.one_of(st.none(), st.text("abcdefABCDEF0123456789/+=", min_size=1, max_size=60)),
    moment=st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)),
    path=st.sampled_from(["/", "/firehose"]),
)
def test_it_signs_as_botocore_does(
    data: bytes, secret: str, token: str | None, moment: datetime, path: str
) -> None:
    """One client signs all examples: no key of a day or of a secret is used for another."""
    credentials = Credentials("AKID", secret, token)
    stamp = moment.strftime("%Y%m%dT%H%M%SZ")
    with patch("time.strftime", lambda *_: stamp):
        request = SIGNING[path].signed_request(data, credentials.get_frozen_credentials())
    head, _, body = request.partition(b"\r\n\r\n")
    signed = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    theirs = AWSRequest(
        "POST",
        f"https://firehose.example{path}",
        data=body,
        headers={name: signed[name] for name in ("Content-Type", "X-Amz-Target")},
    )
    with patch.object(botocore.auth, "get_current_datetime", lambda: moment):
        SigV4Auth(credentials, "firehose", "eu-west-1").add_auth(theirs)
    for name in ("X-Amz-Date", "Authorization"):
        assert signed[name] == theirs.headers[name]
    assert signed.get("X-Amz-Security-Token") == theirs.headers.get("X-Amz-Security-Token")


def test_the_connection_is_kept() -> None:
    server = Scripted(answer(), answer())
    client = direct(server.url)
    client.put_record(b"one\n", soon())
    client.put_record(b"two\n", soon())
    client.close()
    server.close()
    assert server.connections == 1
    body = json.loads(server.requests[1].partition(b"\r\n\r\n")[2])
    assert body["DeliveryStreamName"] == "events"
    assert base64.b64decode(body["Record"]["Data"]) == b"two\n"


def test_an_answer_in_pieces_is_read_to_its_end() -> None:
    server = Scripted(b"HTTP/1.1 200 OK\r\nCont|ent-Length: %d\r\n\r\n|" % len(OK) + OK)
    client = direct(server.url)
    client.put_record(b"one\n", soon())
    client.close()
    server.close()


@pytest.mark.parametrize(
    "confirmation",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n|%s\r\n0\r\n\r\n"
        % (len(OK), OK),
        b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(OK), OK),
        b"HTTP/1.1 200 OK\r\n\r\n|" + OK,
        b"HTTP/1.1 100 Continue\r\n\r\n|" + answer(),
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + answer(),
    ],
    ids=["chunked", "HTTP/1.0", "no length", "after 100", "after 103"],
)
def test_a_confirmation_counts_however_it_is_framed(confirmation: bytes) -> None:
    server = Scripted(confirmation)
    client = direct(server.url)
    client.put_record(b"one\n", soon())
    client.close()
    server.close()


@pytest.mark.parametrize(
    "wrong",
    [
        answer(OK, "HTTP/1.1 500 Oh"),
        answer(OK, "HTTP/1.1 201 Created"),
        answer(OK, "HTTP/1.1 100 Continue"),
        answer(b'{"RecordId": ""}'),
        answer(b"{}"),
        answer(b"null"),
        answer(b"\xff"),
        answer(b""),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + OK[:-1],
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n" + OK,
        b"HTTP/1.1 200OK\r\n\r\n" + OK,
        b"SSH-2.0-OpenSSH_9\r\n\r\n",
        b"x" * 70_000,
    ],
)
def test_an_answer_that_is_no_confirmation_is_none(wrong: bytes) -> None:
    server = Scripted(wrong)
    client = direct(server.url)
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the parsers raise
        client.put_record(b"one\n", soon())
    client.close()
    server.close()


@pytest.mark.parametrize(
    ("code", "status", "rejected"),
    [
        ("AccessDeniedException", 400, True),
        ("ThrottlingException", 400, False),
        ("LimitExceededException", 400, False),
        ("ServiceUnavailableException", 503, False),
    ],
)
def test_only_what_may_pass_is_waited_for(code: str, status: int, rejected: bool) -> None:
    server = Scripted(answer(json.dumps({"__type": code}).encode(), f"HTTP/1.1 {status} X"))
    client = direct(server.url)
    with pytest.raises(NotConfirmedError, match=code) as caught:
        client.put_record(b"one\n", soon())
    assert isinstance(caught.value, RejectedError) is rejected
    client.close()
    server.close()


@pytest.mark.parametrize("transport", ["direct", "boto3"])
def test_what_was_signed_is_not_told_when_the_signature_is_wrong(
    firehose_settings: Settings, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    message = "The signature does not match. The Canonical String should have been 'token:hidden'"
    error = json.dumps({"__type": "com.amazon#InvalidSignatureException", "message": message})
    rejection = answer(error.encode(), "HTTP/1.1 400 Bad Request\r\nConnection: close")
    # the direct request is followed by one of boto3's
    server = Scripted(*[rejection] * (2 if transport == "direct" else 1))
    monkeypatch.setenv("AWS_ENDPOINT_URL_FIREHOSE", server.url)
    archive = FirehoseArchive(replace(firehose_settings, transport=transport))
    told = "PutRecord: InvalidSignatureException: The signature does not match.$"
    with pytest.raises(ArchiveError, match=told):
        archive.put(RECORD, soon())
    server.close()


@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException"])
def test_boto3_has_the_last_word_on_a_rejection_and_is_asked_at_once(
    firehose_settings: Settings, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    with FakeFirehose().serving() as fake:
        monkeypatch.setenv("AWS_ENDPOINT_URL_FIREHOSE", fake.url)
        archive = FirehoseArchive(firehose_settings)
        fake.behaviour = code
        with (
            patch("webhook_app.storage.firehose._pause") as pause,
            pytest.raises(ArchiveError, match=f"PutRecord: {code}: Told so by the test."),
        ):
            archive.put(RECORD, soon())
        assert not pause.called
        assert fake.calls == 2


def test_an_answer_cut_short_is_no_sign_of_a_stale_connection() -> None:
    server = Scripted(
        answer(), b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\nConnection: close\r\n\r\n{"
    )
    client = direct(server.url)
    client.put_record(b"one\n", soon())
    with pytest.raises(ConnectionError):
        client.put_record(b"two\n", soon())
    client.close()
    server.close()


@pytest.mark.parametrize("behaviour", ["ok_twice", "ok_twice_late"])
def test_an_answer_sent_twice_confirms_one_record(
    firehose_settings: Settings, monkeypatch: pytest.MonkeyPatch, behaviour: str
) -> None:
    with FakeFirehose().serving() as fake:
        monkeypatch.setenv("AWS_ENDPOINT_URL_FIREHOSE", fake.url)
        archive = FirehoseArchive(firehose_settings)
        for _ in range(5):
            fake.behaviour = behaviour
            archive.put(RECORD, soon())
            fake.behaviour = "AccessDeniedException"
            with pytest.raises(ArchiveError, match="AccessDeniedException"):
                archive.put(RECORD, soon())
        assert len(fake.records) == 5


def test_stand_ins_without_request_ids_keep_their_connection() -> None:
    nil = "HTTP/1.1 200 OK\r\nx-amzn-RequestId: 00000000-0000-0000-0000-000000000000"
    server = Scripted(answer(head=nil), answer(head=nil))
    client = direct(server.url)
    client.put_record(b"one\n", soon())
    client.put_record(b"two\n", soon())
    client.close()
    server.close()
    assert server.connections == 1


def test_a_connection_is_not_used_after_half_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Scripted(answer(), answer(), answer())
    client = direct(server.url)
    client.put_record(b"one\n", soon())
    now = time.monotonic()
    for later in (now + 29, now + 60):
        monkeypatch.setattr("webhook_app.storage.direct.time.monotonic", lambda at=later: at)
        client.put_record(b"two\n", later + 1)
    client.close()
    server.close()
    assert server.connections == 2


def test_a_connection_closed_while_idle_is_made_anew() -> None:
    server = Scripted(answer(OK, "HTTP/1.1 200 OK\r\nX: onnection: close"), answer())
    client = direct(server.url)
    client.put_record(b"one\n", soon())
    time.sleep(0.2)
    client.put_record(b"two\n", soon())
    client.close()
    server.close()
    assert server.connections == 2


def test_a_connection_closed_at_the_very_moment_is_told_apart() -> None:
    server = Scripted(answer(), None)
    client = direct(server.url)
    client.put_record(b"one\n", soon())
    with pytest.raises(StaleConnectionError):
        client.put_record(b"two\n", soon())
    server.close()


def test_a_new_connection_that_breaks_is_not_called_stale() -> None:
    server = Scripted(None)
    client = direct(server.url)
    with pytest.raises(ConnectionResetError):
        client.put_record(b"one\n", soon())
    server.close()


def test_a_stale_connection_costs_no_wait(
    firehose_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Scripted(answer(), None, answer())
    monkeypatch.setenv("AWS_ENDPOINT_URL_FIREHOSE", server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    archive = FirehoseArchive(firehose_settings)
    archive.put(RECORD, soon())
    with patch("webhook_app.storage.firehose._pause") as pause:
        archive.put(RECORD, soon())
    assert not pause.called
    assert len(server.requests) == 3
    server.close()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 and its key, in one file."""
    path = tmp_path / "certificate.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=127.0.0.1"
    command += f" -addext subjectAltName=IP:127.0.0.1 -keyout {tmp_path}/key.pem -out {path}"
    subprocess.run(command.split(), check=True, capture_output=True)
    path.write_text(path.read_text() + (tmp_path / "key.pem").read_text())
    return path


@pytest.fixture
def over_tls(certificate: Path) -> Iterator[str]:
    """A Firehose that speaks TLS; its address."""
    server = socket.create_server(("127.0.0.1", 0))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def serve() -> None:
        while True:
            try:
                plain, _ = server.accept()
                with context.wrap_socket(plain, server_side=True) as connection:
                    while connection.recv(65536):
                        connection.sendall(answer())
            except ssl.SSLError:
                continue
            except OSError:
                return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.getsockname()[1]}"
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(5)


def test_over_tls_a_certificate_is_believed_only_if_it_is_trusted(
    over_tls: str, certificate: Path
) -> None:
    trusting = direct(over_tls, ca_bundle=str(certificate))
    for _ in range(3):
        trusting.put_record(b"one\n", soon())
    trusting.close()
    with pytest.raises(ssl.SSLCertVerificationError):
        direct(over_tls).put_record(b"one\n", soon())
    # the name counts too
    with pytest.raises(ssl.SSLCertVerificationError):
        direct(over_tls.replace("127.0.0.1", "localhost"), ca_bundle=str(certificate)).put_record(
            b"one\n", soon()
        )


def test_over_tls_the_connection_is_kept(over_tls: str, certificate: Path) -> None:
    """TLS 1.3 sends tickets after the handshake: they are not the end of the connection."""
    client = direct(over_tls, ca_bundle=str(certificate))
    with patch("socket.create_connection", wraps=socket.create_connection) as connect:
        client.put_record(b"one\n", soon())
        time.sleep(0.1)
        client.put_record(b"two\n", soon())
    assert connect.call_count == 1
    client.close()


@pytest.mark.parametrize(
    ("changes", "proxy", "directly"),
    [
        ({}, "", True),
        ({"transport": "boto3"}, "", False),
        ({"attempts": 1}, "", False),
        ({}, "http://proxy.invalid:3128", False),
    ],
)
def test_boto3_goes_all_of_it_where_a_direct_request_cannot_be_sent(
    firehose_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    direct_clients: list[DirectClient],
    changes: dict[str, Any],
    proxy: str,
    directly: bool,
) -> None:
    if proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
    settings = replace(firehose_settings, **changes)
    FirehoseArchive(settings)
    assert bool(direct_clients) is directly
    # attempts in all, over both ways
    client = firehose.firehose_client(settings)
    retries: dict[str, Any] = client.meta.config.retries  # type: ignore[attr-defined]
    assert retries["total_max_attempts"] + directly == settings.attempts


@pytest.fixture
def failing_direct_requests(
    firehose_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[FirehoseArchive, FakeFirehose, list[bytes]]]:
    """An archive whose every direct request fails, its Firehose, and the direct requests."""
    tried: list[bytes] = []

    def fail(_: DirectClient, data: bytes, deadline: float) -> None:
        tried.append(data)
        raise ssl.SSLCertVerificationError

    monkeypatch.setattr(DirectClient, "put_record", fail)
    monkeypatch.setattr("webhook_app.storage.firehose._pause", lambda _: None)
    with FakeFirehose().serving() as fake:
        monkeypatch.setenv("AWS_ENDPOINT_URL_FIREHOSE", fake.url)
        yield FirehoseArchive(firehose_settings), fake, tried


def test_a_hundred_deliveries_are_stored_where_every_direct_request_fails(
    failing_direct_requests: tuple[FirehoseArchive, FakeFirehose, list[bytes]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    archive, fake, tried = failing_direct_requests
    for _ in range(100):
        archive.put(RECORD, soon())
    assert len(fake.records) == 100
    # then they pause, and the operator is told once
    assert len(tried) == MAX_DIRECT_FAILURES
    assert caplog.messages == ["Direct PutRecord fails, boto3 works"]


def test_direct_requests_are_tried_again_after_their_pause(
    failing_direct_requests: tuple[FirehoseArchive, FakeFirehose, list[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    archive, _, tried = failing_direct_requests
    for _ in range(MAX_DIRECT_FAILURES + 1):
        archive.put(RECORD, soon())
    later = time.monotonic() + DIRECT_PAUSE_S
    monkeypatch.setattr("webhook_app.storage.firehose.time.monotonic", lambda: later)
    archive.put(RECORD, soon())
    archive.put(RECORD, soon())
    # one try, and the next pause
    assert len(tried) == MAX_DIRECT_FAILURES + 1


def test_an_outage_pauses_nothing(
    firehose_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook_app.storage.firehose._pause", lambda _: None)
    with FakeFirehose().serving() as fake:
        monkeypatch.setenv("AWS_ENDPOINT_URL_FIREHOSE", fake.url)
        archive = FirehoseArchive(firehose_settings)
        fake.behaviour = "reset"
        for _ in range(20):
            with pytest.raises(ArchiveError):
                archive.put(RECORD, soon())
        assert fake.calls == 40
        fake.behaviour = "ok"
        archive.put(RECORD, soon())
        assert fake.calls == 41


def test_a_ca_of_requests_variable_is_trusted_as_botocore_trusts_it(
    firehose_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    over_tls: str,
    certificate: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_FIREHOSE", over_tls)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    retries: list[int] = []
    archive = FirehoseArchive(firehose_settings, retries.append)
    for _ in range(10):
        archive.put(RECORD, soon())
    assert retries == []


@pytest.mark.parametrize(("no_proxy", "directly"), [("*", True), ("other.example", False)])
def test_no_proxy_is_honoured_as_botocore_honours_it(
    firehose_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    direct_clients: list[DirectClient],
    no_proxy: str,
    directly: bool,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.invalid:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    FirehoseArchive(firehose_settings)
    assert bool(direct_clients) is directly


def test_no_proxy_alone_changes_nothing(
    firehose_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    direct_clients: list[DirectClient],
) -> None:
    monkeypatch.setenv("NO_PROXY", "localhost")
    FirehoseArchive(firehose_settings)
    assert direct_clients
