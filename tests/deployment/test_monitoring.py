"""The alerts, the dashboard and the scrape of deploy/monitoring, on a real Prometheus."""

import contextlib
import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deployment import targets
from tests.support.needs import needed
from tests.support.service import Service, free_port, running, wait_for_port
from tests.support.stripe_client import SECRET, deliver, get, signature

MONITORING = targets.DEPLOY / "monitoring"
ALERTS = MONITORING / "alerts.yml"
ALERTS_TEST = Path(__file__).parent / "alerts_test.yml"
TOKEN = "token-of-at-least-16"


def alerts() -> list[dict[str, Any]]:
    (group,) = targets.loaded_yaml(ALERTS)["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def dashboard() -> dict[str, Any]:
    return targets.loaded_json(MONITORING / "dashboard.json")


def expressions() -> list[str]:
    """The dashboard's, with what Grafana puts in."""
    filled = {"$job": "stripe-webhook", "$__rate_interval": "60s", "$__range": "60s"}
    found = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    for variable, value in filled.items():
        found = [expression.replace(variable, value) for expression in found]
    return found


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("monitoring")
    variables = {
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "ARCHIVE_DIR": str(folder / "archive"),
        "METRICS_TOKEN": TOKEN,
        "WEB_WORKERS": "4",
    }
    with running(variables, folder / "log") as running_service:
        yield running_service


def deliver_some(service: Service) -> None:
    body = b'{"id": "evt_1", "type": "invoice.paid"}'
    assert deliver(service.port, body).status == 200
    assert deliver(service.port, body, signature(body, "whsec_guess")).status == 400


def promtool(*words: str) -> subprocess.CompletedProcess[str]:
    needed("promtool", shutil.which("promtool"))
    return subprocess.run(["promtool", *words], capture_output=True, text=True, timeout=60)


def test_every_metric_that_is_looked_at_is_exported(service: Service) -> None:
    deliver_some(service)
    exported = set(
        re.findall(r"^(\w+)[ {]", get(service.port, "/metrics", TOKEN).body.decode(), re.M)
    )
    looked_at = {
        name
        for expression in [*expressions(), *(alert["expr"] for alert in alerts())]
        for name in re.findall(r"\bstripe_webhook_\w+", expression)
    }
    assert looked_at <= exported
    # and what is exported is looked at
    parts = r"_(bucket|sum|count)$"
    assert {re.sub(parts, "", name) for name in exported} == {
        re.sub(parts, "", name) for name in looked_at
    }


def test_the_rules_and_the_scrape_are_what_prometheus_takes() -> None:
    assert "SUCCESS" in promtool("check", "rules", str(ALERTS)).stdout
    checked = promtool("check", "config", "--syntax-only", str(MONITORING / "prometheus.yml"))
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("increase(", "incraese("), ("[10m]", "[10 minutes]"), ("on ()", "on"), ("expr:", "exp:")],
)
def test_a_rule_that_is_none_is_seen(right: str, wrong: str, tmp_path: Path) -> None:
    broken = tmp_path / "alerts.yml"
    broken.write_text(ALERTS.read_text().replace(right, wrong))
    assert promtool("check", "rules", str(broken)).returncode != 0


def test_the_alerts_ring_when_they_should_and_only_then(tmp_path: Path) -> None:
    shutil.copy(ALERTS, tmp_path)
    shutil.copy(ALERTS_TEST, tmp_path)
    tested = promtool("test", "rules", str(tmp_path / ALERTS_TEST.name))
    assert tested.returncode == 0, tested.stdout


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("== 0", "== 1"),
        ('outcome="failed"', 'outcome="fail"'),
        ("no matching signature|too old", "too old"),
        ("0.99", "0.9"),
        ("sum by (instance) (rate", "sum by () (rate"),
        ("offset 6h", "offset 1m"),
        ("500s", "Throttling"),
    ],
)
def test_an_alert_that_rings_wrongly_is_seen(right: str, wrong: str, tmp_path: Path) -> None:
    assert right in ALERTS.read_text()
    (tmp_path / ALERTS.name).write_text(ALERTS.read_text().replace(right, wrong))
    shutil.copy(ALERTS_TEST, tmp_path)
    assert promtool("test", "rules", str(tmp_path / ALERTS_TEST.name)).returncode != 0


def test_each_alert_is_tried_both_ways_and_says_what_to_read() -> None:
    told = [
        entry
        for test in targets.loaded_yaml(ALERTS_TEST)["tests"]
        for entry in test["alert_rule_test"]
    ]
    headings = re.findall(
        r"^## (.*)$", (targets.ROOT / "docs/OPERATIONS.md").read_text(), re.MULTILINE
    )
    for alert in alerts():
        tried = [entry for entry in told if entry["alertname"] == alert["alert"]]
        assert {bool(entry.get("exp_alerts")) for entry in tried} == {True, False}
        document, _, section = alert["annotations"]["runbook"].partition(", ")
        assert document == "docs/OPERATIONS.md"
        assert section in headings


def test_the_dashboard_has_room_for_every_panel() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["datasource"]["uid"] == "${datasource}"


def asked(port: int, path: str, **query: str) -> Any:
    url = f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as not_ready:
            # it listens before it answers
            if not_ready.code != 503 or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@contextlib.contextmanager
def prometheus(folder: Path, service_port: int) -> Iterator[int]:
    """A Prometheus that scrapes the service as the sample says, but each second; its port."""
    needed("prometheus", shutil.which("prometheus"))
    (folder / "token").write_text(f"{TOKEN}\n")
    shutil.copy(ALERTS, folder)
    sample = (MONITORING / "prometheus.yml").read_text()
    for right, ours in {
        "scrape_interval: 30s": "scrape_interval: 1s",
        "/etc/prometheus/stripe-webhook.token": str(folder / "token"),
        "127.0.0.1:3001": f"127.0.0.1:{service_port}",
    }.items():
        assert sample.count(right) == 1
        sample = sample.replace(right, ours)
    (folder / "prometheus.yml").write_text(f"global: {{evaluation_interval: 1s}}\n{sample}")
    port = free_port()
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        wait_for_port(port, lambda: process.poll() is not None)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=20)


def test_a_real_prometheus_shows_what_was_delivered(service: Service, tmp_path: Path) -> None:
    with prometheus(tmp_path, service.port) as port:
        wanted = set(expressions())
        deadline = time.monotonic() + 60
        while wanted:
            assert time.monotonic() < deadline, wanted
            deliver_some(service)
            wanted -= {
                expression
                for expression in wanted
                if any(
                    sample["value"][1] != "NaN"
                    for sample in asked(port, "query", query=expression)["result"]
                )
            }
            time.sleep(0.5)
        (up,) = asked(port, "query", query='up{job="stripe-webhook"}')["result"]
        assert up["value"][1] == "1"
        (group,) = asked(port, "rules")["groups"]
        while any(rule["health"] == "unknown" for rule in group["rules"]):
            assert time.monotonic() < deadline
            time.sleep(0.2)
            (group,) = asked(port, "rules")["groups"]
        assert {rule["health"] for rule in group["rules"]} == {"ok"}
