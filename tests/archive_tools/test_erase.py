"""A person goes out of the archive, the others stay to the byte, and she does not come back."""

import gzip
import json
import os
import signal
import subprocess
import sys
import unicodedata
from base64 import b64encode
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.archive_tools.conftest import ARRIVED, DAY_KEY, Run, signed_record, stop_clock, store
from tests.fakes.stripe import ENDPOINT, FakeStripe
from tests.support.service import PROJECT

ANNA = "cus_AnnaAnnaAnna01"
BEN = "cus_BenBenBenBen02"
EMAIL = "zoë.anna@example.com"


def body(number: int, customer: str | None = BEN, escaped: bool = False, **fields: Any) -> bytes:
    """An event about a charge, or what the fields say."""
    one = {"id": f"ch_{number:04}", "object": "charge", "amount": number} | fields
    if customer:
        one |= {"customer": customer}
    event = {
        "id": f"evt_{number:024}",
        "object": "event",
        "type": "charge.succeeded",
        "created": int(ARRIVED.timestamp()) - 60,
        "livemode": False,
        "data": {"object": one},
    }
    return json.dumps(event, ensure_ascii=escaped).encode()


def line(number: int, customer: str | None = BEN, escaped: bool = False, **fields: Any) -> bytes:
    return signed_record(body(number, customer, escaped, **fields)).line()


def everything(folder: Path) -> bytes:
    """Every byte of an archive, unpacked where it is packed, and the names of its files."""
    found = []
    for path in sorted(folder.rglob("*")):
        found.append(str(path.relative_to(folder)).encode())
        if path.is_file():
            data = path.read_bytes()
            found.append(gzip.decompress(data) if path.suffix == ".gz" else data)
    return b"\n".join(found)


def everything_stored(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def texts(folder: Path, below: str = "webhooks") -> dict[str, bytes]:
    paths = sorted((folder / below).rglob("*.json.gz"))
    return {path.name: gzip.decompress(path.read_bytes()) for path in paths}


def erase(run: Run, *who: str, **variables: str) -> Result:
    return run("erase", *who, "--reason", "request 17", "--by", "dpo", "--yes", **variables)


def entries(folder: Path, kind: str) -> list[dict[str, Any]]:
    lines = b"".join(texts(folder, "erasures").values()).splitlines()
    return [one for one in map(json.loads, lines) if one["kind"] == kind]


def test_her_lines_go_and_those_of_others_stay_to_the_byte(run: Run, folder: Path) -> None:
    store(folder, line(1), line(2, ANNA), line(3), name="a.json.gz")
    store(folder, line(4, ANNA), name="b.json.gz")
    untouched = store(folder, line(5), name="c.json.gz")
    inode = untouched.stat().st_ino
    result = erase(run, ANNA)
    assert result.exit_code == 0, result.output
    assert "Erased 2 records of events: 1 object rewritten, 1 removed." in result.stdout
    assert texts(folder) == {"a.json.gz": line(1) + line(3), "c.json.gz": line(5)}
    assert untouched.stat().st_ino == inode
    assert ANNA.encode() not in everything(folder)
    verified = json.loads(run("verify", "--json").stdout)
    assert (verified["broken"], verified["unproven"], verified["records"]) == (0, 0, 3)
    assert verified["erased"] == 2


def test_the_list_names_each_object_before_and_after_and_nobody(run: Run, folder: Path) -> None:
    path = store(folder, line(1), line(2, ANNA, receipt_email=EMAIL), name="a.json.gz")
    before = path.read_bytes()
    assert erase(run, ANNA).exit_code == 0
    (head,) = entries(folder, "erasure")
    assert (head["reason"], head["by"], head["mode"]) == ("request 17", "dpo", "remove")
    (changed,) = entries(folder, "object")
    assert changed["key"] == f"{DAY_KEY}/a.json.gz"
    assert changed["sha256_before"] == sha256(before).hexdigest()
    assert changed["sha256_after"] == sha256(path.read_bytes()).hexdigest()
    assert (changed["records_before"], changed["records_after"]) == (2, 1)
    assert (changed["size_before"], changed["size_after"]) == (len(before), path.stat().st_size)
    assert [one["id_hash"] for one in entries(folder, "event")] == [
        sha256(f"evt_{2:024}".encode()).hexdigest()
    ]
    assert len(entries(folder, "object_id")) == 2
    assert [one["erasure"] for one in entries(folder, "done")] == [head["erasure"]]
    text = b"".join(texts(folder, "erasures").values())
    assert not [word for word in (ANNA, EMAIL, "evt_0", "ch_0") if word.encode() in text]


@pytest.mark.parametrize(
    ("stored", "is_her"),
    [
        (EMAIL, True),
        (EMAIL.upper(), True),
        (unicodedata.normalize("NFD", EMAIL), True),
        (f"From: {EMAIL}.", True),
        (f"https://example.com/?email={EMAIL.replace('ë', '%C3%AB').replace('@', '%40')}", True),
        (f"x{EMAIL}", False),
        (f"{EMAIL}.au", False),
        (f"{EMAIL}pany", False),
    ],
)
@pytest.mark.parametrize("escaped", [False, True])
def test_an_address_is_found_however_it_is_written(
    run: Run, folder: Path, stored: str, is_her: bool, escaped: bool
) -> None:
    store(folder, line(1, escaped=escaped, receipt_email=stored), line(2))
    assert erase(run, EMAIL).exit_code == 0
    text = texts(folder)["a.json.gz"]
    assert (text == line(2)) is is_her


def test_escaped_letters_of_an_id_and_of_an_address_are_found(run: Run, folder: Path) -> None:
    plain = body(1, ANNA)
    odd = plain.replace(b"cus_", b"\\u0063us\\u005F")
    assert json.loads(odd) == json.loads(plain)
    address = body(2, receipt_email="anna@example.com").replace(b"anna@", b"ann\\u0061\\u0040")
    store(folder, signed_record(odd).line(), signed_record(address).line(), line(3))
    assert erase(run, ANNA, "Anna@example.com").exit_code == 0
    assert texts(folder)["a.json.gz"] == line(3)


def test_what_names_only_her_charge_goes_too_and_is_told_of(run: Run, folder: Path) -> None:
    dispute: dict[str, Any] = {"id": "dp_1", "object": "dispute", "charge": "ch_0001"}
    store(folder, line(1, ANNA), line(2, None, **dispute), line(3, None, id="ch_00011"))
    looked = run("erase", ANNA, "--dry-run")
    assert looked.exit_code == 0
    assert "2 records of events in 1 object; 1 of them name only one of 1 object of theirs." in (
        looked.stdout
    )
    assert len(texts(folder)["a.json.gz"].splitlines()) == 3
    assert erase(run, ANNA).exit_code == 0
    assert texts(folder)["a.json.gz"] == line(3, None, id="ch_00011")


def test_a_company_that_mentions_her_address_is_not_followed(run: Run, folder: Path) -> None:
    company: dict[str, Any] = {"id": BEN, "object": "customer", "email": "ben@example.com"}
    store(folder, line(1, None, **company, description=f"contact: {EMAIL}"), line(2, BEN))
    looked = run("erase", EMAIL, "--dry-run")
    assert f"evt_{1:024}: ben@example.com, {BEN}" in looked.stdout
    assert erase(run, EMAIL).exit_code == 0
    assert texts(folder)["a.json.gz"] == line(2, BEN)


def test_all_copies_of_her_events_go(run: Run, folder: Path) -> None:
    """One of them names her, the other, as the Events API has it later, does not."""
    store(folder, line(1, ANNA))
    store(folder, line(1, None), line(2), name="b.json.gz")
    assert erase(run, ANNA).exit_code == 0
    assert texts(folder) == {"b.json.gz": line(2)}


def test_what_is_no_record_and_names_her_goes(run: Run, folder: Path) -> None:
    odd = signed_record(f"no JSON, {ANNA}".encode()).line()
    store(folder, odd, f"neither is this {ANNA}\n".encode(), line(1))
    assert erase(run, ANNA).exit_code == 0
    assert texts(folder)["a.json.gz"] == line(1)


def test_snapshots_and_what_firehose_could_not_deliver_are_erased(run: Run, folder: Path) -> None:
    snapshot = {"snapshot_at": "2026-11-23T00:00:00.000000Z", "object": "customer"}
    rows = [
        json.dumps(snapshot | {"id": one, "payload": json.dumps({"id": one})}).encode() + b"\n"
        for one in (ANNA, BEN)
    ]
    store(folder, *rows, day=DAY_KEY.replace("webhooks", "snapshots"))
    failures = [
        json.dumps({"errorCode": "S3", "rawData": b64encode(one).decode()}).encode() + b"\n"
        for one in (line(1, ANNA), line(2))
    ]
    store(folder, *failures, day=DAY_KEY.replace("webhooks", "errors/processing-failed"))
    result = erase(run, ANNA)
    assert result.exit_code == 0, result.output
    assert texts(folder, "snapshots") == {"a.json.gz": rows[1]}
    assert texts(folder, "errors") == {"a.json.gz": failures[1]}


def test_a_redaction_keeps_id_type_and_times(run: Run, folder: Path) -> None:
    store(folder, line(1), line(2, ANNA), line(3))
    result = run("erase", ANNA, "--redact", "--reason", "r", "--yes")
    assert result.exit_code == 0, result.output
    first, left, last = texts(folder)["a.json.gz"].splitlines(keepends=True)
    assert (first, last) == (line(1), line(3))
    kept, was = json.loads(left), json.loads(line(2, ANNA))
    assert {name for name in was if kept[name] != was[name]} == {
        *("source", "stripe_signature", "payload")
    }
    assert (kept["source"], kept["payload"]) == ("redacted", "{}")
    verified = run("verify", "--json")
    assert verified.exit_code == 0
    assert json.loads(verified.stdout)["redacted"] == 1
    found = run("query", "SELECT count(*) AS n, count(object_id) AS o FROM stripe_events").stdout
    assert found.splitlines()[2].split() == ["3", "2"]
    # what is left of it is not proof of a redaction that nobody has ordered
    for path in (folder / "erasures").rglob("*.gz"):
        path.unlink()
    assert "redacted, and no erasure names it" in run("verify").stdout


def test_what_comes_back_is_found_by_verify_and_erased_again(run: Run, folder: Path) -> None:
    store(folder, line(1), line(2, ANNA))
    assert erase(run, ANNA).exit_code == 0
    # Stripe delivers again, and the service knows nothing of erasures
    store(folder, line(2, ANNA), name="again.json.gz")
    found = run("verify")
    assert found.exit_code == 1
    assert "it was erased, and is there again" in found.stdout
    assert erase(run, ANNA).exit_code == 0
    assert run("verify").exit_code == 0


@pytest.mark.parametrize("who", ["anna", "evt", "cus", "Anna Smith", "@example.com"])
def test_what_is_neither_id_nor_address_is_refused(run: Run, folder: Path, who: str) -> None:
    store(folder, line(1, ANNA))
    result = erase(run, who)
    assert result.exit_code == 2
    assert "neither an id of Stripe's nor an e-mail address" in result.stderr
    assert who not in result.stderr or who in ("evt", "cus", "anna")


@pytest.mark.parametrize("reason", [f"as {ANNA} asked", EMAIL])
def test_a_reason_that_names_somebody_is_refused(run: Run, folder: Path, reason: str) -> None:
    store(folder, line(1, ANNA))
    result = run("erase", ANNA, "--reason", reason, "--yes")
    assert result.exit_code == 2
    assert "is kept for ever" in result.stderr
    assert not (folder / "erasures").exists()


def test_nothing_is_erased_unasked_or_where_something_cannot_be_read(
    run: Run, folder: Path
) -> None:
    whole = store(folder, line(1, ANNA), line(2))
    before = everything(folder)
    # nobody is there to be asked
    assert run("erase", ANNA, "--reason", "r").exit_code == 2
    assert everything(folder) == before
    cut = store(folder, *map(line, range(10, 99)), name="cut.json.gz")
    cut.write_bytes(cut.read_bytes()[:-20])
    refused = erase(run, ANNA)
    assert refused.exit_code == 2
    assert "cut.json.gz" in refused.stderr
    assert ANNA.encode() in gzip.decompress(whole.read_bytes())
    done = erase(run, ANNA, "--skip-unreadable")
    assert done.exit_code == 1
    assert ANNA.encode() not in gzip.decompress(whole.read_bytes())


#: Ends the process as `kill -9` does when it calls one of these for the nth time.
_KILLED = """
import os, pathlib, signal, sys
left = int(sys.argv.pop(1))
def counting(real):
    def call(*arguments, **more):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **more)
    return call
for name in ("replace", "rename", "unlink"):
    setattr(pathlib.Path, name, counting(getattr(pathlib.Path, name)))
from archive_tools.cli import archive
archive()
"""


def test_killed_at_any_step_it_goes_on_to_the_same_bytes(run: Run, folder: Path) -> None:
    for n in range(2):
        store(folder, line(2 * n), line(2 * n + 1, ANNA), name=f"{n}.json.gz")
    store(folder, line(9, ANNA), name="z.json.gz")
    words = ("erase", ANNA, "--reason", "r", "--by", "dpo", "--yes")
    environment = {**os.environ, "ARCHIVE_DIR": str(folder), "PYTHON_DOTENV_DISABLED": "1"}
    killed = 0
    for steps in range(0, 99, 2):
        done = subprocess.run(
            [sys.executable, "-c", _KILLED, str(steps), *words],
            cwd=PROJECT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        # whatever was done, no change is without its explanation
        hers = sum(ANNA.encode() in text for text in texts(folder).values())
        assert hers == 3 or entries(folder, "object")
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        killed += 1
    assert killed >= 2
    for stale in folder.rglob(".*.tmp"):
        assert ANNA.encode() not in gzip.decompress(stale.read_bytes())
    assert texts(folder) == {f"{n}.json.gz": line(2 * n) for n in range(2)}
    lists = [one["erasure"] for one in entries(folder, "erasure")]
    assert sorted(lists) == sorted(one["erasure"] for one in entries(folder, "done"))
    after = everything(folder)
    assert run(*words).exit_code == 0
    assert everything(folder) == after


@pytest.fixture
def stripe(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeStripe]:
    """Stripe, which still has the events of Anna and of Ben."""
    now = ARRIVED + timedelta(hours=1)
    stop_clock(monkeypatch, int(now.timestamp()))
    events = [json.loads(body(n, ANNA if n % 2 else BEN)) for n in range(8)]
    with FakeStripe(events).serving() as stripe:
        stripe.endpoints = [ENDPOINT]
        stripe.objects = {
            "customers": [
                {"id": one, "object": "customer", "created": 1_700_000_000, "livemode": False}
                for one in (ANNA, BEN)
            ],
        }
        yield stripe


def test_nothing_of_her_comes_back(
    run: Run, folder: Path, stripe: FakeStripe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # two events of each were lost, and hers are not put back either, though no list has their ids
    store(folder, *(line(n, ANNA if n % 2 else BEN) for n in range(4)))
    assert erase(run, ANNA).exit_code == 0
    variables = stripe.variables()
    for words in (
        ("reconcile", "--repair", "--in-flight", "0"),
        ("backfill",),
        ("snapshot", "--only", "customers"),
        ("reconcile", "--repair", "--in-flight", "0"),
    ):
        result = run(*words, **variables)
        assert result.exit_code == 0, result.output
        assert "erased here, and left out" in result.output
    text = everything(folder)
    assert ANNA.encode() not in text
    # four events, and a customer as column and payload
    assert text.count(BEN.encode()) == 6
    # again by Stripe's own delivery; a replay does not send it on
    store(folder, line(1, ANNA), name="again.json.gz")
    told = json.loads(run("replay", "http://localhost:1/", "--dry-run", "--json").stdout)
    assert told["events"] == 4


def test_a_list_that_cannot_be_read_lets_nothing_be_written(
    run: Run, folder: Path, stripe: FakeStripe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store(folder, line(1, ANNA), line(2))
    assert erase(run, ANNA).exit_code == 0
    for path in (folder / "erasures").rglob("*.gz"):
        path.write_bytes(path.read_bytes()[:-9])
    before = everything_stored(folder)
    for words in (("reconcile", "--repair"), ("backfill",), ("snapshot",)):
        result = run(*words, **stripe.variables())
        assert result.exit_code == 2
        assert "it is not known what was erased; nothing is written" in result.stderr
    assert everything_stored(folder) == before


def test_a_compacted_archive_is_erased_too_and_not_compacted_again(run: Run, folder: Path) -> None:
    store(folder, line(1), line(2, ANNA))
    store(folder, line(3), name="b.json.gz")
    assert run("compact").exit_code == 0
    # an event of which the files alone know
    store(folder, line(4, ANNA), name="c.json.gz")
    assert run("compact").exit_code == 0
    (folder / DAY_KEY / "c.json.gz").unlink()
    assert erase(run, ANNA).exit_code == 0
    (left,) = (folder / "parquet").rglob("*.parquet")
    assert json.loads(run("compact", "--json").stdout)["objects"] == 0
    assert left.exists()
    rows = run("query", "SELECT id, customer FROM stripe_events ORDER BY id", "--format", "csv")
    assert rows.stdout.splitlines()[1:] == [f"evt_{n:024},{BEN}" for n in (1, 3)]


def test_what_was_built_is_removed_and_nothing_else_is(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    store(folder, line(1), line(2, ANNA))
    other, built = tmp_path / "notes.txt", tmp_path / "analytics.duckdb"
    other.write_text("mine")
    built.write_bytes(b"a database")
    refused = erase(run, ANNA, "--built", str(other))
    assert refused.exit_code == 2
    assert ANNA.encode() in everything(folder)
    assert erase(run, ANNA, "--built", str(built)).exit_code == 0
    assert (other.exists(), built.exists()) == (True, False)


def test_the_chain_of_a_sealed_archive_proves_the_rest(run: Run, folder: Path) -> None:
    store(folder, line(1), line(2, ANNA))
    head = run("seal").stdout.split()[-3]
    assert erase(run, ANNA).exit_code == 0
    proved = run("verify", "--sealed", "--head", head)
    assert proved.exit_code == 0, proved.output
    assert "but for 1 object that erasures account for" in proved.stdout


def test_a_person_gets_all_that_is_there_as_lines_and_as_a_page(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    store(folder, line(1, ANNA, description="<b>ü</b>"), line(2), line(3, ANNA, note=BEN))
    result = run("subject", ANNA)
    assert result.exit_code == 0
    first, second = map(json.loads, result.stdout.splitlines())
    assert (first["payload"], first["others"]) == (
        body(1, ANNA, description="<b>ü</b>").decode(),
        [],
    )
    assert second["others"] == [BEN]
    page = tmp_path / "anna.html"
    assert run("subject", ANNA, "--html", str(page)).stdout == ""
    text = page.read_text()
    assert "&lt;b&gt;ü&lt;/b&gt;" in text
    assert "<b>" not in text
    assert page.stat().st_mode & 0o077 == 0
