"""What Stripe lists lies in the archive as it stood in the list, in one run or in several."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
import stripe as stripe_library
from botocore.exceptions import ClientError
from click.testing import Result
from moto import mock_aws

from archive_tools import storage as storages
from archive_tools.reconciling.subscription import NEWEST_VERSION
from archive_tools.snapshotting import writing
from tests.archive_tools.conftest import Run, stop_clock
from tests.fakes.stripe import KEY, VERSION, FakeStripe, delivered, embedded, event, rendered
from tests.support.service import PROJECT
from webhook_app.storage.local import LocalArchive

HOUR = 3600
CHECKPOINT = "stripe-snapshot.txt"
BUCKET = "acme-stripe-webhooks"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the command is run."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return here


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> int:
    now = int(datetime(2026, 3, 1, 0, 20, 30, tzinfo=UTC).timestamp())
    stop_clock(monkeypatch, now)
    return now


def made(kind: str, number: int, created: int, **fields: Any) -> dict[str, Any]:
    """An object as Stripe lists it, small."""
    of = {"id": f"{kind}_{number:05d}", "object": kind, "created": created, "livemode": False}
    return of | {"metadata": {}} | fields


def subscription(number: int, created: int, items: int = 1, **fields: Any) -> dict[str, Any]:
    of = f"subscription_{number:05d}"
    lines = [
        {"id": f"si_{number}_{n}", "object": "subscription_item", "created": created}
        | {"quantity": n, "price": {"unit_amount_decimal": "0.10"}, "subscription": of}
        for n in range(items)
    ]
    return made("subscription", number, created, status="active", items=lines, **fields)


def transaction(number: int, created: int) -> dict[str, Any]:
    """One has no livemode."""
    one = made("balance_transaction", number, created, amount=-(2**63), fee=30)
    del one["livemode"]
    return one


@pytest.fixture
def stripe(now: int) -> Iterator[FakeStripe]:
    """A shop of some years: three pages of customers, and a few of all else."""
    with FakeStripe().serving() as stripe:
        stripe.objects = {
            "customers": [made("customer", n, now - 1 - n * 90_000) for n in range(250)],
            "products": [made("product", n, now - n, active=n % 2 == 0) for n in range(3)],
            "prices": [made("price", n, now - n * HOUR, active=n < 3) for n in range(5)],
            "coupons": [made("coupon", 0, now - HOUR)],
            "subscriptions": [
                subscription(0, now - HOUR),
                subscription(1, now - 2 * HOUR, 13),
                subscription(2, now - 3 * HOUR) | {"status": "canceled"},
            ],
            "balance_transactions": [transaction(n, now - n * HOUR) for n in range(4)],
        }
        yield stripe


def snapshot(run: Run, stripe: FakeStripe, *arguments: str, **variables: str) -> Result:
    return run("snapshot", "--rate", "100", *arguments, **(stripe.variables() | variables))


def records(folder: Path) -> list[dict[str, Any]]:
    paths = sorted((folder / "snapshots").rglob("*.json.gz"))
    lines = [line for path in paths for line in gzip.decompress(path.read_bytes()).splitlines()]
    return [json.loads(line) for line in lines]


def of(folder: Path, kind: str) -> list[dict[str, Any]]:
    return [record for record in records(folder) if record["object"] == kind]


def ids(stripe: FakeStripe) -> list[str]:
    return sorted(one["id"] for listed in stripe.objects.values() for one in listed)


def test_everything_that_stripe_lists_is_written(
    run: Run, stripe: FakeStripe, folder: Path, here: Path
) -> None:
    result = snapshot(run, stripe)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.endswith("\nWrote 266 objects of test mode to snapshots/.\n")
    assert ["customers", "250"] in [line.split() for line in result.stdout.splitlines()]
    found = records(folder)
    assert sorted(record["id"] for record in found) == ids(stripe)
    assert list(found[0]) == [
        *("snapshot_at", "object", "id", "livemode", "account", "api_version", "payload")
    ]
    for record in found:
        assert record["snapshot_at"] == "2026-03-01T00:20:30.000000Z"
        # a balance transaction does not say in which mode it is, and the key does
        assert record["livemode"] is False
        assert (record["account"], record["api_version"]) == (None, VERSION)
    folders = {path.parent for path in folder.rglob("*.json.gz")}
    assert folders == {folder / "snapshots/year=2026/month=03/day=01"}
    assert list(here.iterdir()) == []
    assert not list(folder.rglob("*.tmp"))


def test_the_payload_is_the_lists_own_text(run: Run, stripe: FakeStripe, folder: Path) -> None:
    odd = {
        "name": "Zoë \U0001f9fe",
        "balance": 2**63 - 1,
        "tax_percent": 7.10,
        "huge": 10**40,
        "metadata": {f"key_{n}": "ü" * 500 for n in range(50)},
    }
    stripe.objects = {"customers": [made("customer", 7, 1_700_000_000) | odd]}
    assert snapshot(run, stripe).exit_code == 0
    (record,) = records(folder)
    assert record["payload"].encode() == rendered(stripe.objects["customers"][0])
    assert json.loads(record["payload"])["huge"] == 10**40


def test_half_of_a_surrogate_pair_is_kept(run: Run, stripe: FakeStripe, folder: Path) -> None:
    one = subscription(5, 1_700_000_000, 12) | {"description": "half a pair: \ud800"}
    stripe.objects = {"subscriptions": [one]}
    assert snapshot(run, stripe).exit_code == 0
    (record,) = records(folder)
    payload = json.loads(record["payload"])
    assert payload["description"] == "half a pair: \ud800"
    assert len(payload["items"]["data"]) == 12


def test_a_subscription_has_all_of_its_items_and_is_else_as_listed(
    run: Run, stripe: FakeStripe, folder: Path
) -> None:
    assert snapshot(run, stripe, "--only", "subscriptions").exit_code == 0
    payloads = {record["id"]: record["payload"] for record in records(folder)}
    short, long, _ = stripe.objects["subscriptions"]
    assert payloads[short["id"]].encode() == rendered(embedded(short))
    whole = json.loads(payloads[long["id"]])
    assert whole["items"]["data"] == long["items"]
    assert whole["items"]["has_more"] is False
    assert whole["items"]["url"] == embedded(long)["items"]["url"]
    before, _, after = rendered(embedded(long)).decode().partition('"items": ')
    assert payloads[long["id"]].startswith(before)
    assert whole | {"items": 0} == embedded(long) | {"items": 0}
    assert payloads[long["id"]].endswith("}")
    assert after
    # one request for all of them
    asked = [path for path in stripe.asked if path.startswith("/v1/subscription_items")]
    assert len(asked) == 1


def test_items_that_cannot_be_read_leave_it_as_listed_and_are_told_of(
    run: Run, stripe: FakeStripe, folder: Path
) -> None:
    stripe.forbidden = {"/v1/subscription_items"}
    result = snapshot(run, stripe)
    assert result.exit_code == 1
    assert "1 subscription with the first ten items alone" in result.stdout
    assert "subscription_00001" in result.stdout
    (payload,) = [r["payload"] for r in records(folder) if r["id"] == "subscription_00001"]
    assert payload.encode() == rendered(embedded(stripe.objects["subscriptions"][1]))


def test_what_the_key_may_not_read_is_named_with_the_permission(
    run: Run, stripe: FakeStripe, folder: Path, here: Path
) -> None:
    stripe.forbidden = {"/v1/customers"}
    result = snapshot(run, stripe)
    assert result.exit_code == 1
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("Not listed: ")]
    assert line == (
        "Not listed: customers. STRIPE_API_KEY may not read Customers (403) Fix: give the "
        "restricted key the permission to read Customers in the Stripe Dashboard, which Stripe's "
        "answer calls rak_customer_read"
    )
    assert KEY not in result.output
    assert Counter(record["object"] for record in records(folder)) == {
        **{"product": 3, "price": 5, "coupon": 1, "subscription": 3, "balance_transaction": 4}
    }
    told = json.loads(snapshot(run, stripe, "--json").stdout)
    assert [one["permission"] for one in told["not_readable"]] == ["Customers"]
    assert "customers" not in told["objects"]
    assert list(here.iterdir()) == []


def test_where_nothing_can_be_read_it_could_not_be_done(
    run: Run, stripe: FakeStripe, folder: Path, here: Path
) -> None:
    stripe.forbidden = {f"/v1/{name}" for name in stripe.objects}
    result = snapshot(run, stripe)
    assert result.exit_code == 2
    assert "Fix: give the restricted key the permission to read Customers, Products" in (
        result.stderr
    )
    assert not (folder / "snapshots").exists()
    assert list(here.iterdir()) == []
    stripe.forbidden = set()
    refused = snapshot(run, stripe, STRIPE_API_KEY="rk_test_other")
    assert (refused.exit_code, "does not accept STRIPE_API_KEY (401)" in refused.stderr) == (
        2,
        True,
    )


def test_only_what_is_named_is_listed(run: Run, stripe: FakeStripe, folder: Path) -> None:
    result = snapshot(run, stripe, "--only", "prices", "--only", "coupons")
    assert result.exit_code == 0
    assert Counter(record["object"] for record in records(folder)) == {"price": 5, "coupon": 1}
    asked = {path.partition("?")[0] for path in stripe.asked}
    assert asked == {"/v1/prices", "/v1/coupons"}


def test_balance_transactions_go_on_where_the_last_run_ended(
    run: Run, stripe: FakeStripe, folder: Path, now: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert snapshot(run, stripe).exit_code == 0
    stop_clock(monkeypatch, now + 24 * HOUR)
    # of the hour that is listed again, and of the day
    stripe.objects["balance_transactions"] += [transaction(n, now + n * HOUR) for n in (8, 9)]
    stripe.asked.clear()
    told = json.loads(snapshot(run, stripe, "--json").stdout)
    assert told["balance_transactions_since"] == now - HOUR
    assert told["objects"]["balance_transactions"] == 4
    assert told["objects"]["customers"] == 250
    (asked,) = [path for path in stripe.asked if path.startswith("/v1/balance_transactions")]
    assert f"created%5Bgte%5D={now - HOUR}&" in asked
    found = {record["id"] for record in of(folder, "balance_transaction")}
    assert len(found) == 6
    # a run without a new one, and one of the other mode, which has had none
    stop_clock(monkeypatch, now + 48 * HOUR)
    again = snapshot(run, stripe)
    assert "; balance transactions since 2026-03-01 23:20 UTC.\n" in again.stdout
    stripe.key = "rk_live_reader"
    live = json.loads(snapshot(run, stripe, "--json").stdout)
    assert live["balance_transactions_since"] is None
    # which they do not say themselves
    assert of(folder, "balance_transaction")[-1]["livemode"] is True


def test_a_run_that_broke_off_is_no_last_run(
    run: Run, stripe: FakeStripe, folder: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its newest are archived, and what is older is not, also where its checkpoint is lost."""
    monkeypatch.setattr(writing, "_MOST_BYTES", 1)
    stripe.objects = {
        "balance_transactions": [transaction(n, 1_700_000_000 + n) for n in range(600)]
    }
    only = ("--only", "balance_transactions")
    stripe.script.extend(["ok"] * 6 + ["429_for_good"])
    assert snapshot(run, stripe, *only).exit_code == 2
    assert 0 < len(records(folder)) < 600
    (here / CHECKPOINT).unlink()
    stripe.script.clear()
    assert snapshot(run, stripe, *only).exit_code == 0
    assert {record["id"] for record in records(folder)} == set(ids(stripe))


def test_two_runs_are_two_states_of_each(run: Run, stripe: FakeStripe, folder: Path) -> None:
    for _ in range(2):
        assert snapshot(run, stripe, "--only", "customers").exit_code == 0
    counts = Counter(record["id"] for record in records(folder))
    assert set(counts.values()) == {2}
    assert len(counts) == 250


@pytest.mark.parametrize("fault", ["429", "500", "reset"])
def test_a_fault_that_passes_is_waited_out(run: Run, stripe: FakeStripe, fault: str) -> None:
    stripe.script.append(fault)
    assert snapshot(run, stripe, "--only", "coupons").exit_code == 0


def test_a_customer_deleted_meanwhile_shifts_no_page(
    run: Run, stripe: FakeStripe, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stripe refuses to go on after an object that is no longer there."""
    listed = stripe.objects["customers"]
    page = FakeStripe.object_page

    def then_deleted(fake: FakeStripe, name: str, query: dict[str, list[str]]) -> Any:
        answer = page(fake, name, query)
        if fake.objects["customers"] and len(fake.asked) == 1:
            fake.objects["customers"] = [one for one in listed if one["id"] != "customer_00099"]
        return answer

    monkeypatch.setattr(FakeStripe, "object_page", then_deleted)
    assert snapshot(run, stripe, "--only", "customers").exit_code == 0
    assert {record["id"] for record in records(folder)} == {one["id"] for one in listed}


def test_an_interrupted_one_goes_on_with_what_is_left(
    run: Run, stripe: FakeStripe, folder: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_MOST_BYTES", 1)
    put = LocalArchive.store

    def put_and_end(archive: LocalArchive, key: str, lines: bytes) -> None:
        put(archive, key, lines)
        if len(list(folder.rglob("*.json.gz"))) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(LocalArchive, "store", put_and_end)
        broken_off = snapshot(run, stripe)
    assert broken_off.exit_code == 2
    before = {record["id"] for record in records(folder)}
    assert 100 <= len(before) < 250
    text = (here / CHECKPOINT).read_text()
    assert text.startswith(f"snapshot of {folder}, test mode\n/v1/customers ")
    # of a run that was ended while it wrote
    (here / CHECKPOINT).write_text(text + "/v1/customers 0 1")
    stripe.asked.clear()
    result = snapshot(run, stripe)
    assert result.exit_code == 0
    assert f"What {CHECKPOINT} names was listed before" in result.stderr
    counts = Counter(record["id"] for record in records(folder))
    assert sorted(counts) == ids(stripe)
    # the two objects that were written are not all that the file names: the second is listed again
    assert sum(count > 1 for count in counts.values()) <= 101
    assert sum(count == 1 for count in counts.values()) >= 165
    assert list(here.iterdir()) == []


def test_a_killed_run_leaves_no_half_object_and_can_be_taken_up(
    stripe: FakeStripe, folder: Path, here: Path
) -> None:
    """Other processes have other clocks: the real one."""
    stripe.latency_s = 0.05
    stripe.objects["customers"] = [made("customer", n, 1_700_000_000 + n) for n in range(900)]
    environment = {
        **os.environ,
        **stripe.variables(),
        "ARCHIVE_DIR": str(folder),
        "PYTHONPATH": str(PROJECT),
    }
    code = (
        "from archive_tools.snapshotting import writing; writing._MOST_BYTES = 1; "
        "from archive_tools.cli import archive; archive(['snapshot', '--rate', '50'])"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=here, env=environment)
    deadline = time.monotonic() + 30
    while not list(folder.rglob("*.json.gz")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 2
    assert 0 < len({record["id"] for record in records(folder)}) < 900
    stripe.latency_s = 0
    done = subprocess.run([sys.executable, "-c", code], cwd=here, env=environment, timeout=60)
    assert done.returncode == 0
    assert {record["id"] for record in records(folder)} == set(ids(stripe))


def test_a_checkpoint_of_another_task_is_refused(run: Run, stripe: FakeStripe, here: Path) -> None:
    (here / CHECKPOINT).write_text("snapshot of elsewhere, live mode\n")
    result = snapshot(run, stripe)
    assert result.exit_code == 2
    assert "cannot be the checkpoint of this snapshot" in result.stderr
    assert stripe.asked == []


def test_an_archive_of_the_other_mode_is_refused(
    run: Run, stripe: FakeStripe, folder: Path, now: int
) -> None:
    LocalArchive(folder).put(delivered(event(1, now - HOUR, livemode=True)))
    result = snapshot(run, stripe)
    assert result.exit_code == 2
    assert "has only events of live mode" in result.stderr
    assert not (folder / "snapshots").exists()
    assert snapshot(run, stripe, "--force", "--only", "coupons").exit_code == 0


def test_an_archive_of_another_account_is_refused_where_the_key_may_tell(
    run: Run, stripe: FakeStripe, folder: Path, now: int
) -> None:
    LocalArchive(folder).put(delivered(event(1, now - HOUR)))
    assert "is of another account" in snapshot(run, stripe).stderr
    stripe.forbidden = {"/v1/events/evt_000001"}
    unknown = snapshot(run, stripe, "--only", "coupons")
    assert unknown.exit_code == 0
    assert "may not read Events: whose events the archive has is not checked" in unknown.stderr
    stripe.hold(event(1, now - HOUR))
    stripe.forbidden = set()
    known = snapshot(run, stripe, "--only", "coupons")
    assert (known.exit_code, known.stderr) == (0, "")


def test_a_full_disk_is_named(
    run: Run, stripe: FakeStripe, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "snapshots").write_text("in the way")
    result = snapshot(run, stripe, "--only", "coupons")
    assert result.exit_code == 2
    assert "The archive did not take a snapshot: " in result.stderr


def test_a_version_that_is_not_told_is_null(run: Run, stripe: FakeStripe, folder: Path) -> None:
    stripe.version = None
    assert snapshot(run, stripe, "--only", "coupons").exit_code == 0
    assert [record["api_version"] for record in records(folder)] == [None]


def test_snapshots_come_in_a_version_that_the_models_know() -> None:
    """Stripe renders them in the version of its library, which an upgrade can move."""
    assert stripe_library.api_version[:10] <= NEWEST_VERSION[:10]


def test_it_is_queried_as_a_table(run: Run, stripe: FakeStripe, folder: Path) -> None:
    assert snapshot(run, stripe).exit_code == 0
    sql = (
        "SELECT object, count(*) AS objects, max(snapshot_at) AS at, "
        "max(TRY_CAST(json_extract_scalar(payload, '$.amount') AS bigint)) AS amount "
        "FROM stripe_snapshots WHERE livemode = false AND day = '01' "
        "GROUP BY object ORDER BY object"
    )
    result = run("query", sql, "--format", "csv")
    assert result.exit_code == 0, result.output
    at = "2026-03-01T00:20:30.000000Z"
    assert result.stdout.splitlines()[1:] == [
        f"balance_transaction,4,{at},{-(2**63)}",
        f"coupon,1,{at},",
        f"customer,250,{at},",
        f"price,5,{at},",
        f"product,3,{at},",
        f"subscription,3,{at},",
    ]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    storages.s3_client.cache_clear()
    with mock_aws():
        s3 = boto3.client("s3", "us-east-1")
        s3.create_bucket(Bucket=BUCKET)
        yield s3
    storages.s3_client.cache_clear()


IN_BUCKET = {"ARCHIVE_DIR": "", "ARCHIVE_BUCKET": BUCKET, "AWS_REGION": "us-east-1"}


def test_into_a_bucket_it_goes_without_a_stream(run: Run, stripe: FakeStripe, bucket: Any) -> None:
    result = snapshot(run, stripe, **IN_BUCKET)
    assert (result.exit_code, result.stderr) == (0, "")
    keys = [one["Key"] for one in bucket.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert len(keys) == 6
    assert all(key.startswith("snapshots/year=2026/month=03/day=01/") for key in keys)
    found = bucket.get_object(Bucket=BUCKET, Key=keys[0])
    assert found["ContentType"] == "application/gzip"
    query = "SELECT count(*) AS objects FROM stripe_snapshots"
    told = run("query", query, "--engine", "duckdb", "--format", "csv", **IN_BUCKET)
    assert told.stdout.splitlines()[1:] == ["266"]
    again = json.loads(snapshot(run, stripe, "--json", **IN_BUCKET).stdout)
    assert again["balance_transactions_since"] is not None


def test_nothing_in_a_bucket_is_replaced(
    run: Run, stripe: FakeStripe, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there under a new key is of an attempt whose answer was lost."""
    bucket.put_object(Bucket=BUCKET, Key="snapshots/taken.json.gz", Body=b"of the lost answer")
    monkeypatch.setattr(writing, "dated_key", lambda *_: "snapshots/taken.json.gz")
    assert snapshot(run, stripe, "--only", "coupons", **IN_BUCKET).exit_code == 0
    found = bucket.get_object(Bucket=BUCKET, Key="snapshots/taken.json.gz")
    assert found["Body"].read() == b"of the lost answer"


def test_a_bucket_that_refuses_is_named_with_the_policy(
    run: Run, stripe: FakeStripe, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refusing:
        def put_object(self, **_: Any) -> None:
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "PutObject")

    monkeypatch.setattr(writing, "s3_client", lambda _: Refusing())
    result = snapshot(run, stripe, "--only", "coupons", "--force", **IN_BUCKET)
    assert result.exit_code == 2
    assert f"s3://{BUCKET} did not take a snapshot: AccessDenied" in result.stderr
    assert "Fix: give these credentials the policy of deploy/iam/snapshot.json" in result.stderr
