"""What the running service tells about its deliveries, by whichever of its workers is asked."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.fakes.firehose import FakeFirehose
from tests.support.service import Service, environment, free_port, running, wait_for_port
from tests.support.stripe_client import SECRET, deliver, exchange, get, head, signature
from tests.system.conftest import ROOT, deliveries

TOKEN = "token-of-at-least-16"
AWS = {
    "STRIPE_WEBHOOK_SECRET": SECRET,
    "FIREHOSE_DELIVERY_STREAM_NAME": "events",
    "AWS_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
}


def local(folder: Path, **others: str) -> dict[str, str]:
    return {"STRIPE_WEBHOOK_SECRET": SECRET, "ARCHIVE_DIR": str(folder / "archive"), **others}


def counter(port: int, token: str | None = None) -> dict[str, Any]:
    answer = get(port, "/counter", token)
    assert (answer.status, answer.content_type) == (200, "application/json")
    told: dict[str, Any] = answer.json
    return told


def metrics(port: int, token: str | None = None) -> dict[str, float]:
    """Name and label values, as in `name{value}`, to the value; without the common prefix."""
    answer = get(port, "/metrics", token)
    assert answer.status == 200
    families = text_string_to_metric_families(answer.body.decode())
    return {
        sample.name.removeprefix("stripe_webhook_")
        + "".join("{" + value + "}" for value in sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def eventually(right: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not right():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def workers_of(service: Service) -> list[int]:
    pid = service.process.pid
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def replaced(service: Service, workers: list[int]) -> bool:
    """Whether none of these workers is left."""
    return not set(workers) & set(workers_of(service))


@pytest.fixture(params=[1, 4], ids=["sync", "threads"])
def threads(request: pytest.FixtureRequest) -> int:
    """Deliveries at a time in each worker: one, with our own worker, or several."""
    number: int = request.param
    return number


@pytest.fixture
def service(threads: int, tmp_path: Path) -> Iterator[Service]:
    variables = local(tmp_path, WEB_WORKERS="4", WEB_THREADS=str(threads))
    with running(variables, tmp_path / "log") as running_service:
        yield running_service


def test_the_sums_are_exact_whoever_is_asked(service: Service, tmp_path: Path) -> None:
    kinds = ["invoice.paid"] * 120 + ["charge.succeeded"] * 60 + ["payout.paid"] * 20
    bodies = [
        b'{"id": "evt_%d", "type": "%s"}' % (n, kind.encode()) for n, kind in enumerate(kinds)
    ]
    wrong = [(body, signature(body, "whsec_guess")) for body in bodies[:40]]
    stale = [(body, signature(body, at=time.time() - 400)) for body in bodies[:15]]
    sent = [(body, signature(body)) for body in bodies] + wrong + stale + [(b"{}", "")] * 10
    with ThreadPoolExecutor(16) as pool:
        answers = pool.map(lambda delivery: deliver(service.port, *delivery).status, sent)
        assert Counter(answers) == {200: 200, 400: 65}
        too_large = head("Content-Length: 4194305")
        answers = pool.map(lambda _: exchange(service.port, too_large).status, range(5))
        assert Counter(answers) == {413: 5}
        (tmp_path / "archive").rename(tmp_path / "away")
        answers = pool.map(lambda body: deliver(service.port, body).status, bodies[:25])
        assert Counter(answers) == {500: 25}

    first = counter(service.port)
    assert first | {"since": "", "version": ""} == {
        "received": 295,
        "archived": 200,
        "failed": 25,
        "refused": 70,
        "refused_by_reason": {
            "missing header": 10,
            "no matching signature": 40,
            "too old": 15,
            "body over MAX_BODY_BYTES": 5,
        },
        "archived_by_type": {"charge.succeeded": 60, "invoice.paid": 120, "payout.paid": 20},
        "archived_bytes": sum(map(len, bodies)),
        "retries": 0,
        "since": "",
        "version": "",
    }
    logged = Counter(line["outcome"] for line in deliveries(service))
    assert logged == {"archived": 200, "failed": 25, "refused": 70}
    with ThreadPoolExecutor(8) as pool:
        assert all(told == first for told in pool.map(counter, [service.port] * 40))

    found = metrics(service.port)
    for name, value in {
        "deliveries_total{archived}": 200,
        "deliveries_total{failed}": 25,
        "deliveries_total{refused}": 70,
        "refusals_total{too old}": 15,
        "events_archived_total{invoice.paid}": 120,
        "archived_bytes_total": sum(map(len, bodies)),
        "archive_duration_seconds_count": 225,
        "delivery_duration_seconds_count": 295,
        "workers_busy": 0,
    }.items():
        assert found[name] == value, name
    archive_s = sum(line.get("archive_ms", 0) for line in deliveries(service)) / 1000
    assert found["archive_duration_seconds_sum"] == pytest.approx(archive_s)


def test_counts_survive_their_workers_and_only_grow(service: Service, threads: int) -> None:
    acknowledged = 0
    before = counter(service.port)
    for round_ in range(1, 4):
        for _ in range(20):
            acknowledged += deliver(service.port, b'{"type": "a.b"}').status == 200
        assert acknowledged == round_ * 20
        gone = workers_of(service)
        for pid in gone:
            os.kill(pid, signal.SIGKILL)
        eventually(partial(replaced, service, gone))
        told = counter(service.port)
        assert told["archived"] == acknowledged
        assert told["received"] >= before["received"]
        assert told["since"] == before["since"]
        before = told
        eventually(lambda: metrics(service.port)["workers"] == 4 * threads)
        assert metrics(service.port)["workers_busy"] == 0


def test_a_reload_keeps_the_counts(tmp_path: Path) -> None:
    with running(local(tmp_path, WEB_WORKERS="2"), tmp_path / "log") as service:
        assert deliver(service.port, b"[1]").status == 200
        old = workers_of(service)
        service.process.send_signal(signal.SIGHUP)
        eventually(lambda: len(workers_of(service)) == 2 and replaced(service, old))
        assert deliver(service.port, b"[2]").status == 200
        assert counter(service.port)["archived"] == 2
        assert metrics(service.port)["workers"] == 2


def test_a_killed_worker_is_not_busy_and_its_delivery_has_failed(tmp_path: Path) -> None:
    firehose = FakeFirehose()
    with firehose.serving():
        variables = AWS | {
            "AWS_ENDPOINT_URL_FIREHOSE": firehose.url,
            "METRICS_TOKEN": f" {TOKEN}\n",
            "WEB_WORKERS": "3",
        }
        with running(variables, tmp_path / "log") as service:
            eventually(lambda: len(workers_of(service)) == 3)
            assert deliver(service.port, b"[1]").status == 200
            firehose.behaviour = "hang"
            sender = threading.Thread(target=ignoring(deliver), args=(service.port, b"[2]"))
            sender.start()
            eventually(lambda: metrics(service.port, TOKEN)["workers_busy"] == 1)
            for pid in workers_of(service):
                os.kill(pid, signal.SIGKILL)
            sender.join()
            # the master sees each end within a tenth of a second of the one before
            eventually(lambda: metrics(service.port, TOKEN)["workers_busy"] == 0)
            eventually(lambda: metrics(service.port, TOKEN)["workers"] == 3)
            told = counter(service.port, TOKEN)
            assert (told["received"], told["archived"], told["failed"]) == (2, 1, 1)


def ignoring(function: Callable[..., object]) -> Callable[..., None]:
    """The function, in a thread, where the connection may break."""

    def call(*arguments: object) -> None:
        with contextlib.suppress(OSError):
            function(*arguments)

    return call


def test_the_token_is_wanted_and_nothing_secret_is_told(tmp_path: Path) -> None:
    firehose = FakeFirehose()
    with firehose.serving():
        variables = AWS | {"AWS_ENDPOINT_URL_FIREHOSE": firehose.url, "METRICS_TOKEN": TOKEN}
        with running(variables | {"WEB_WORKERS": "2"}, tmp_path / "log") as service:
            body = b'{"id": "evt_1", "type": "a.b", "email": "zoe@example.com"}'
            header = signature(body)
            assert deliver(service.port, body, header).status == 200
            told = ""
            for path in ("/metrics", "/counter"):
                for token in (None, "", TOKEN + "x", SECRET):
                    refused = get(service.port, path, token)
                    assert (refused.status, refused.json) == (401, {"error": "Unauthorized"})
                told += get(service.port, path, TOKEN).body.decode()
    told += service.log.read_text()
    for secret in (TOKEN, SECRET, "zoe", header.split("v1=")[1][:64]):
        assert secret not in told


def test_without_a_token_a_service_on_firehose_tells_nothing(tmp_path: Path) -> None:
    with running(AWS | {"WEB_WORKERS": "2"}, tmp_path / "log") as service:
        for path in ("/metrics", "/counter"):
            answer = get(service.port, path, TOKEN)
            assert (answer.status, answer.json) == (404, {"error": "Not found"})


def test_a_restart_begins_at_zero_and_nothing_lies_about(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    variables = local(tmp_path, WEB_WORKERS="2", TMPDIR=str(temporary))
    since = []
    for _ in range(2):
        with running(variables, tmp_path / "log") as service:
            assert counter(service.port)["received"] == 0
            assert deliver(service.port, b"[1]").status == 200
            assert counter(service.port)["received"] == 1
            since.append(counter(service.port)["since"])
            files = [Path(f"/proc/{pid}/fd") for pid in workers_of(service)]
            open_files = {str(fd.readlink()) for folder in files for fd in folder.iterdir()}
            assert not any("stripe" in file or "prometheus" in file for file in open_files)
        assert list(temporary.iterdir()) == []
    assert since[0] < since[1]


def test_flask_run_counts_too(tmp_path: Path) -> None:
    port = free_port()
    variables = local(tmp_path, FLASK_RUN_PORT=str(port))
    with (tmp_path / "log").open("wb") as output:
        process = subprocess.Popen(
            ["flask", "run", "--no-reload"],
            cwd=ROOT,
            env=environment(port, variables),
            stdout=output,
            stderr=output,
        )
    try:
        wait_for_port(port)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: deliver(port, b'{"type": "a.b"}'), range(100)))
        assert {answer.status for answer in answers} == {200}
        assert counter(port)["archived_by_type"] == {"a.b": 100}
        assert metrics(port)["workers"] == 1
    finally:
        process.terminate()
        process.wait(timeout=20)
