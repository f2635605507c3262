"""The lean PutRecord: signed as botocore signs, on a kept connection, and only ever a first try."""

import base64
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
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
from webhook_app.events.record import webhook_record
from webhook_app.settings import Settings
from webhook_app.storage.archive import ArchiveError
from webhook_app.storage.direct import LeanPutRecord, NotConfirmedError, StaleError, _Signer
from webhook_app.storage.firehose import FirehoseArchive

RECORD = webhook_record(b'{"id": "evt_1"}', "t=1,v1=a", datetime(2026, 11, 23, tzinfo=UTC))
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


def lean(url: str, **changes: Any) -> LeanPutRecord:
    arguments: dict[str, Any] = {
        "endpoint_url": url,
        "region": "eu-west-1",
        "stream_name": "events",
        "credentials": Credentials("AKID", "secret"),
        "user_agent": "test",
        "ca_bundle": None,
        "connect_timeout_s": 1.0,
        "read_timeout_s": 0.5,
    }
    return LeanPutRecord(**arguments | changes)


@given(
    body=st.binary(max_size=300),
    secret=st.text("abcdefABCDEF0123456789/+", min_size=1, max_size=40),
    token=st.one_of(st.none(), st.text("abcdefABCDEF0123456789/+=", min_size=1, max_size=60)),
    moment=st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)),
    path=st.sampled_from(["/", "/firehose"]),
)
def test_it_signs_as_botocore_does(
    body: bytes, secret: str, token: str | None, moment: datetime, path: str
) -> None:
    credentials = Credentials("AKID", secret, token)
    stamp = moment.strftime("%Y%m%dT%H%M%SZ")
    request = AWSRequest(
        "POST",
        f"https://firehose.eu-west-1.amazonaws.com{path}",
        data=body,
        headers={
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": "Firehose_20150804.PutRecord",
        },
    )
    with patch.object(botocore.auth, "get_current_datetime", lambda: moment):
        SigV4Auth(credentials, "firehose", "eu-west-1").add_auth(request)
    with patch("time.strftime", lambda *_: stamp):
        signer = _Signer("firehose.eu-west-1.amazonaws.com", path, "eu-west-1")
        lines = signer.headers(body, credentials.get_frozen_credentials())
    signed = dict(line.split(": ", 1) for line in lines.splitlines())
    for name in ("X-Amz-Date", "Authorization"):
        assert signed[name] == request.headers[name]
    assert signed.get("X-Amz-Security-Token") == request.headers.get("X-Amz-Security-Token")


def test_one_key_is_used_for_a_day_and_another_for_another_secret() -> None:
    signer = _Signer("h", "/", "r")
    first = signer._signing_key("20261123", "a")
    assert signer._signing_key("20261123", "a") is first
    assert signer._signing_key("20261124", "a") != first
    assert signer._signing_key("20261123", "b") != first


def test_the_connection_is_kept() -> None:
    server = Scripted(answer(), answer())
    put = lean(server.url)
    put.put(b"one\n")
    put.put(b"two\n")
    put.close()
    server.close()
    assert server.connections == 1
    body = json.loads(server.requests[1].partition(b"\r\n\r\n")[2])
    assert body["DeliveryStreamName"] == "events"
    assert base64.b64decode(body["Record"]["Data"]) == b"two\n"


def test_an_answer_in_pieces_is_read_to_its_end() -> None:
    server = Scripted(b"HTTP/1.1 200 OK\r\nCont|ent-Length: %d\r\n\r\n|" % len(OK) + OK)
    put = lean(server.url)
    put.put(b"one\n")
    put.close()
    server.close()


@pytest.mark.parametrize(
    "wrong",
    [
        answer(OK, "HTTP/1.1 500 Oh"),
        answer(OK, "HTTP/1.1 201 Created"),
        answer(b'{"RecordId": ""}'),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
        b"SSH-2.0-OpenSSH_9\r\n\r\n",
        b"x" * 70_000,
    ],
)
def test_an_answer_that_is_no_confirmation_is_none(wrong: bytes) -> None:
    server = Scripted(wrong)
    put = lean(server.url)
    with pytest.raises(NotConfirmedError):
        put.put(b"one\n")
    put.close()
    server.close()


@pytest.mark.parametrize("wrong", [answer(b"{}"), answer(b"null"), answer(b"\xff"), answer(b"")])
def test_a_200_without_a_record_id_is_none(wrong: bytes) -> None:
    server = Scripted(wrong)
    put = lean(server.url)
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the decoder raises
        put.put(b"one\n")
    put.close()
    server.close()


@pytest.mark.parametrize("transport", ["direct", "boto3"])
def test_what_was_signed_is_not_told_when_the_signature_is_wrong(
    firehose_settings: Settings, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    message = "The signature does not match. The Canonical String should have been 'token:hidden'"
    error = json.dumps({"__type": "com.amazon#InvalidSignatureException", "message": message})
    server = Scripted(answer(error.encode(), "HTTP/1.1 400 Bad Request"))
    monkeypatch.setenv("AWS_ENDPOINT_URL_FIREHOSE", server.url)
    archive = FirehoseArchive(replace(firehose_settings, transport=transport))
    told = "PutRecord: InvalidSignatureException: The signature does not match.$"
    with pytest.raises(ArchiveError, match=told):
        archive.put(RECORD)
    if archive._lean:
        archive._lean.close()
    server.close()


@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException"])
def test_what_would_be_refused_again_is_not_asked_again(
    firehose_settings: Settings, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    with FakeFirehose().serving() as firehose:
        monkeypatch.setenv("AWS_ENDPOINT_URL_FIREHOSE", firehose.url)
        archive = FirehoseArchive(firehose_settings)
        firehose.behaviour = code
        with pytest.raises(ArchiveError, match=f"PutRecord: {code}: Told so by the test."):
            archive.put(RECORD)
        assert firehose.calls == 1
        assert archive._lean
        archive._lean.close()


def test_an_answer_cut_short_is_no_sign_of_a_stale_connection() -> None:
    server = Scripted(
        answer(), b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\nConnection: close\r\n\r\n{"
    )
    put = lean(server.url)
    put.put(b"one\n")
    with pytest.raises(ConnectionError):
        put.put(b"two\n")
    put.close()
    server.close()


def test_a_connection_closed_while_idle_is_made_anew() -> None:
    server = Scripted(answer(OK, "HTTP/1.1 200 OK\r\nX: onnection: close"), answer())
    put = lean(server.url)
    put.put(b"one\n")
    time.sleep(0.2)
    put.put(b"two\n")
    put.close()
    server.close()
    assert server.connections == 2


def test_a_connection_closed_at_the_very_moment_is_told_apart() -> None:
    server = Scripted(answer(), None)
    put = lean(server.url)
    put.put(b"one\n")
    with pytest.raises(StaleError):
        put.put(b"two\n")
    server.close()


def test_a_new_connection_that_breaks_is_not_called_stale() -> None:
    server = Scripted(None)
    put = lean(server.url)
    with pytest.raises(ConnectionResetError):
        put.put(b"one\n")
    server.close()


def test_a_stale_connection_costs_no_wait(
    firehose_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Scripted(answer(), None, answer())
    monkeypatch.setenv("AWS_ENDPOINT_URL_FIREHOSE", server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    archive = FirehoseArchive(firehose_settings)
    archive.put(RECORD)
    with patch("webhook_app.storage.firehose._pause") as pause:
        archive.put(RECORD)
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
    trusting = lean(over_tls, ca_bundle=str(certificate))
    for _ in range(3):
        trusting.put(b"one\n")
    trusting.close()
    with pytest.raises(ssl.SSLCertVerificationError):
        lean(over_tls).put(b"one\n")
    # the name counts too
    with pytest.raises(ssl.SSLCertVerificationError):
        lean(over_tls.replace("127.0.0.1", "localhost"), ca_bundle=str(certificate)).put(b"one\n")


def test_over_tls_the_connection_is_kept(over_tls: str, certificate: Path) -> None:
    """TLS 1.3 sends tickets after the handshake: they are not the end of the connection."""
    put = lean(over_tls, ca_bundle=str(certificate))
    put.put(b"one\n")
    kept = put._kept.connection
    time.sleep(0.1)
    put.put(b"two\n")
    assert put._kept.connection is kept
    put.close()


@pytest.mark.parametrize(
    ("changes", "proxy", "leanly"),
    [
        ({}, "", True),
        ({"transport": "boto3"}, "", False),
        ({"attempts": 1}, "", False),
        ({}, "http://proxy.invalid:3128", False),
    ],
)
def test_boto3_goes_all_of_it_where_the_lean_way_cannot(
    firehose_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    proxy: str,
    leanly: bool,
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    if proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
    settings = replace(firehose_settings, **changes)
    archive = FirehoseArchive(settings)
    assert bool(archive._lean) is leanly
    # attempts in all, over both ways
    retries: dict[str, Any] = archive._firehose.meta.config.retries  # type: ignore[attr-defined]
    assert retries["total_max_attempts"] + leanly == settings.attempts


def test_in_a_long_outage_the_second_attempt_is_left_out(
    firehose_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """botocore's quota: when nothing works, trying twice makes everyone wait twice."""
    with FakeFirehose().serving() as firehose:
        monkeypatch.setenv("AWS_ENDPOINT_URL_FIREHOSE", firehose.url)
        archive = FirehoseArchive(firehose_settings)
        firehose.behaviour = "reset"
        with patch("webhook_app.storage.firehose._pause"):
            for _ in range(60):
                with pytest.raises(ArchiveError):
                    archive.put(RECORD)
        # 500 / 14 had a second one
        assert firehose.calls == 60 + 35
        firehose.behaviour = "ok"
        archive.put(RECORD)
        assert archive._lean
        archive._lean.close()
