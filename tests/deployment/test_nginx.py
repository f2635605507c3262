"""The nginx site as it stands, in front of the real service; only ports and paths are replaced."""

import contextlib
import http.client
import json
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.deployment import targets
from tests.support.needs import needed
from tests.support.service import Service, free_port, running, wait_for_port
from tests.support.stripe_client import SECRET, head, signature
from tests.system.conftest import deliveries, payloads

HOST = "webhooks.example.com"


@dataclass(frozen=True)
class Nginx:
    """A running nginx with the site, or one like it."""

    http_port: int
    https_port: int
    folder: Path

    def connection(self) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=str(self.folder / "fullchain.pem"))
        plain = socket.create_connection(("127.0.0.1", self.https_port), timeout=20)
        return context.wrap_socket(plain, server_hostname=HOST)

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        with self.connection() as secured:
            client = http.client.HTTPConnection(HOST)
            client.sock = secured
            client.request(method, path, body, headers or {})
            answer = client.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

    def deliver(self, body: bytes, path: str = "/webhook/stripe") -> tuple[int, Any]:
        headers = {"Content-Type": "application/json", "Stripe-Signature": signature(body)}
        status, _, answer = self.request("POST", path, body, headers)
        return status, json.loads(answer)


@dataclass(frozen=True)
class Behind:
    """The service behind nginx."""

    nginx: Nginx
    service: Service
    archive: Path


def configured(folder: Path, site: str, http_port: int, https_port: int, to_port: int) -> Path:
    """The path of nginx's main file, around the site in a folder of its own."""
    site = site.replace("listen 80;", f"listen 127.0.0.1:{http_port};")
    site = site.replace("listen 443 ssl;", f"listen 127.0.0.1:{https_port} ssl;")
    site = re.sub(r"^ *listen \[::\].*\n", "", site, flags=re.MULTILINE)
    site = site.replace(f"/etc/letsencrypt/live/{HOST}", str(folder))
    site = site.replace("/var/log/nginx", str(folder))
    site = site.replace("127.0.0.1:3001", f"127.0.0.1:{to_port}")
    (folder / "site.conf").write_text(site)
    places = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "\n".join(f"{name}_temp_path {folder}/{name};" for name in places)
    main = folder / "nginx.conf"
    main.write_text(
        f"user root;\ndaemon off;\nworker_processes 1;\npid {folder}/pid;\n"
        f"error_log {folder}/error.log;\nevents {{}}\n"
        f"http {{\n{temporary}\ninclude {folder}/site.conf;\n}}\n"
    )
    key, certificate = folder / "privkey.pem", folder / "fullchain.pem"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    names = ["-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*make.split(), *names, *files], check=True, capture_output=True)
    return main


def nginx_command(main: Path) -> list[str]:
    return ["nginx", "-e", str(main.parent / "error.log"), "-c", str(main)]


@contextlib.contextmanager
def nginx(folder: Path, to_port: int, site: str | None = None) -> Iterator[Nginx]:
    """Run nginx with the site, sending on to a port."""
    needed("nginx", shutil.which("nginx"))
    needed("openssl", shutil.which("openssl"))
    folder.mkdir(exist_ok=True)
    ports = free_port(), free_port()
    main = configured(folder, site or targets.NGINX.read_text(), *ports, to_port)
    process = subprocess.Popen(nginx_command(main))
    try:
        wait_for_port(ports[1], lambda: process.poll() is not None)
        yield Nginx(*ports, folder)
    finally:
        process.terminate()
        process.wait(timeout=20)


@contextlib.contextmanager
def behind_nginx(folder: Path, **variables: str) -> Iterator[Behind]:
    """Run the service and nginx in front of it."""
    variables |= {"STRIPE_WEBHOOK_SECRET": SECRET, "ARCHIVE_DIR": str(folder / "archive")}
    with (
        running(variables, folder / "log") as service,
        nginx(folder / "nginx", service.port) as proxy,
    ):
        yield Behind(proxy, service, folder / "archive")


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    with behind_nginx(tmp_path_factory.mktemp("nginx"), WEB_WORKERS="2") as found:
        yield found


def test_nginx_takes_the_site_and_finds_a_misspelt_directive(tmp_path: Path) -> None:
    needed("nginx", shutil.which("nginx"))
    site = targets.NGINX.read_text()
    assert checked(tmp_path, site) == ""
    misspelt = site.replace("proxy_read_timeout", "proxy_read_time_out")
    assert "unknown directive" in checked(tmp_path, misspelt)


def checked(folder: Path, site: str) -> str:
    """What `nginx -t` has against the site."""
    main = configured(folder, site, 8080, 8443, 3001)
    done = subprocess.run([*nginx_command(main), "-t", "-q"], capture_output=True, text=True)
    return done.stderr


@pytest.mark.parametrize("path", ["/webhook/stripe", "/webhook/stripe/"])
@pytest.mark.parametrize(
    "body",
    [
        b'{\n  "id": "evt_1",\n  "name": "\xc3\xa9\\u00e9 \xf0\x9f\x92\xb6"\n}\n',
        b'{"id": "large", "filler": "' + b"x" * 3_000_000 + b'"}',
    ],
    ids=["small", "spooled"],
)
def test_a_delivery_arrives_byte_for_byte(behind: Behind, path: str, body: bytes) -> None:
    assert behind.nginx.deliver(body, path) == (200, {"received": True})
    assert body in payloads(behind.archive)


def test_a_chunked_delivery_arrives_byte_for_byte(behind: Behind) -> None:
    body = b'{"id": "evt_chunked"}'
    pieces = iter([body[:5], body[5:]])
    headers = {"Stripe-Signature": signature(body), "Content-Type": "application/json"}
    status, _, _ = behind.nginx.request("POST", "/webhook/stripe", pieces, headers)
    assert status == 200
    assert body in payloads(behind.archive)


def test_the_services_own_refusals_come_through(behind: Behind) -> None:
    assert behind.nginx.request("POST", "/webhook/stripe", b"{}")[0] == 400
    assert behind.nginx.request("GET", "/webhook/stripe")[0] == 405
    assert behind.nginx.deliver(b"x" * 4_500_000) == (413, {"error": "Payload too large"})


def test_a_body_that_is_far_too_large_does_not_reach_the_service(behind: Behind) -> None:
    before = len(deliveries(behind.service))
    with contextlib.suppress(ConnectionError, ssl.SSLError), behind.nginx.connection() as secured:
        secured.sendall(head("Content-Length: 6000000", "Expect: 100-continue"))
        assert secured.recv(100).startswith(b"HTTP/1.1 413 ")
    assert len(deliveries(behind.service)) == before


def test_health_is_open_and_says_no_version(behind: Behind) -> None:
    status, headers, body = behind.nginx.request("GET", "/health")
    assert (status, json.loads(body)["status"]) == (200, "ok")
    assert headers["Server"] == "nginx"


def test_only_what_has_to_be_is_open(tmp_path: Path) -> None:
    # with nobody behind it, what is sent on is a 502
    with nginx(tmp_path, free_port()) as alone:
        for path in ("/webhook/stripe", "/webhook/stripe/", "/health"):
            assert alone.request("GET", path)[0] == 502
        for path in ("/", "/metrics", "/counter", "/webhook", "/webhook/stripe/x", "/healthz"):
            status, _, body = alone.request("GET", path)
            assert (status, json.loads(body)) == (404, {"error": "Not found"}), path


def test_plain_http_is_sent_to_https(behind: Behind) -> None:
    client = http.client.HTTPConnection("127.0.0.1", behind.nginx.http_port, timeout=20)
    client.request("GET", "/health", headers={"Host": HOST})
    answer = client.getresponse()
    assert (answer.status, answer.getheader("Location")) == (308, f"https://{HOST}/health")
    client.close()


def test_a_delivery_is_found_in_both_logs_and_its_body_in_none(behind: Behind) -> None:
    body = b'{"id": "evt_traced", "email": "somebody@example.com"}'
    assert behind.nginx.deliver(body)[0] == 200
    (line,) = [line for line in deliveries(behind.service) if line.get("event_id") == "evt_traced"]
    log = behind.nginx.folder / "stripe-analytics-backend.log"
    deadline = time.monotonic() + 5
    while line["request_id"] not in (access := log.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "somebody@example.com" not in access
    assert "v1=" not in access


def test_slow_bodies_keep_nobody_else_waiting(tmp_path: Path) -> None:
    """Also not with threads, where a slow client would otherwise hold one of the two."""
    with (
        behind_nginx(tmp_path, WEB_WORKERS="1", WEB_THREADS="2") as behind,
        contextlib.ExitStack() as held,
    ):
        for _ in range(20):
            secured = held.enter_context(behind.nginx.connection())
            secured.sendall(head("Content-Length: 1000", "Content-Type: application/json") + b"{")
        time.sleep(0.2)
        for number in range(5):
            started = time.monotonic()
            assert behind.nginx.deliver(b'{"id": "evt_%d"}' % number)[0] == 200
            assert time.monotonic() - started < 2


def test_a_delivery_that_fails_is_tried_once(tmp_path: Path) -> None:
    # the same server twice, so that there is another one to try; it hangs up on everything
    both = "upstream both { server 127.0.0.1:3001; server 127.0.0.1:3001; }\n"
    site = both + targets.NGINX.read_text().replace("http://127.0.0.1:3001", "http://both")
    with socket.create_server(("127.0.0.1", 0)) as rude:
        rude.settimeout(1)
        tries = 0
        with nginx(tmp_path, rude.getsockname()[1], site) as proxy, proxy.connection() as secured:
            secured.sendall(head("Content-Length: 2") + b"{}")
            with contextlib.suppress(TimeoutError):
                while True:
                    rude.accept()[0].close()
                    tries += 1
            assert secured.recv(100).startswith(b"HTTP/1.1 502 ")
    assert tries == 1
