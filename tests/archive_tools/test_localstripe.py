"""Against somebody else's Stripe: its webhooks go through the real service, its events are listed.

It lists the oldest first, does not try again what was refused, and has no list of endpoints.
"""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.archive_tools.conftest import Run
from tests.support.needs import needed
from tests.support.service import free_port, running, wait_for_port

KEY = "sk_test_localstripe"
SECRET = "whsec_localstripe"

# its own entry point binds every interface, and keeps its data in a file
_SERVE = """
import sys
from aiohttp import web
from localstripe import resources, server
resources.store.dump_to_disk = lambda: None
web.run_app(server.app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
"""


@dataclass(frozen=True)
class LocalStripe:
    url: str

    def post(self, path: str, **fields: str) -> None:
        """Ask for something; each makes one event or more."""
        headers = {"Authorization": f"Bearer {KEY}"}
        data = urlencode(fields).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200

    def deliver_to(self, url: str) -> None:
        told = json.dumps({"url": url, "secret": SECRET}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/_config/webhooks/w", told, headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200

    def variables(self) -> dict[str, str]:
        return {"STRIPE_API_KEY": KEY, "STRIPE_API_BASE": self.url}


@pytest.fixture
def stripe(tmp_path: Path) -> Iterator[LocalStripe]:
    present = subprocess.run(
        [sys.executable, "-c", "import localstripe"], capture_output=True, check=False
    )
    needed("localstripe", present.returncode == 0)
    port = free_port()
    log = (tmp_path / "localstripe.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE, str(port)],
        cwd=tmp_path,
        env={"HOME": os.environ.get("HOME", "/"), "PATH": os.environ["PATH"]},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        wait_for_port(port, lambda: process.poll() is not None)
        yield LocalStripe(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(timeout=20)
        log.close()


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.json.gz"))


def test_what_the_service_missed_of_truly_signed_webhooks_is_found_and_put_back(
    stripe: LocalStripe, run: Run, folder: Path, tmp_path: Path
) -> None:
    words = ("reconcile", "--last", "2", "--rate", "100", "--in-flight", "0")
    # while nobody listens
    for n in range(3):
        stripe.post("/v1/customers", email=f"missed{n}@example.com")
    variables = {"ARCHIVE_DIR": str(folder), "STRIPE_WEBHOOK_SECRET": SECRET, "WEB_WORKERS": "2"}
    with running(variables, tmp_path / "service.log") as service:
        stripe.deliver_to(service.url)
        # more than a page
        for n in range(130):
            stripe.post("/v1/customers", email=f"delivered{n}@example.com")
        deadline = time.monotonic() + 20
        # those of the beginning wait a second too, and may find the service there
        while len(files(folder)) < 130 and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.2)
    delivered = len(files(folder))
    # it keeps signatures of its own that verify
    proven = run("verify", STRIPE_WEBHOOK_SECRET=SECRET)
    assert proven.exit_code == 0
    lost = files(folder)[::40]
    for path in lost:
        path.unlink()
    found = run(*words, "--json", **stripe.variables())
    assert "The endpoints cannot be read (404)" in json.loads(found.stdout)["notes"][0]
    missing = json.loads(found.stdout)["missing"]
    assert len(missing) == 133 - delivered + len(lost)
    # it has no endpoints to ask for
    assert run(*words, "--repair", "--force", **stripe.variables()).exit_code == 0
    assert len(files(folder)) == 133
    again = run(*words, **stripe.variables())
    assert (again.exit_code, again.stdout[:14]) == (0, "All 133 events")


def test_all_that_it_has_is_backfilled_once(
    stripe: LocalStripe, run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for n in range(210):
        stripe.post("/v1/customers", email=f"c{n}@example.com")
    words = ("backfill", "--last", "2", "--rate", "100")
    first = run(*words, **stripe.variables())
    assert first.exit_code == 0
    assert first.stdout.startswith("Archived 210 events")
    assert run(*words, **stripe.variables()).stdout.startswith("Archived 0 events")
    assert len(files(folder)) == 210
