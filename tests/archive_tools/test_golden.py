"""Archives as they were written, which all that comes later must verify, query and replay.

A folder of tests/golden is an archive in one format of the record, named for the month of its first
day. It is never written again. A change of `Record` makes a new folder beside the others: objects
under `webhooks/`, signed with whsec_golden, and what is in them, read by nothing of ours, in
records.json.
"""

import gzip
import json
from collections import Counter
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from archive_tools import parallel
from tests.archive_tools.conftest import Run
from tests.support.service import listening
from webhook_app.events.record import Record

FORMATS = sorted((Path(__file__).parent.parent / "golden").iterdir())
SECRET = "whsec_golden"

Records = list[dict[str, Any]]


@pytest.fixture(params=FORMATS, ids=lambda path: path.name)
def golden(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture
def written(golden: Path) -> Records:
    records: Records = json.loads((golden / "records.json").read_text())
    return records


def test_the_newest_format_is_todays() -> None:
    records = json.loads((FORMATS[-1] / "records.json").read_text())
    for record in records:
        assert tuple(record) == Record.__struct_fields__, "a new format needs an archive of its own"


def test_every_record_is_genuine(golden: Path, written: Records, run: Run) -> None:
    result = run("verify", "--archive", str(golden), "--json", STRIPE_WEBHOOK_SECRET=SECRET)
    told = json.loads(result.stdout)
    assert result.exit_code == 0, told["broken_at"]
    signed = [record for record in written if record["source"] == "webhook"]
    assert told["records"] == len(written)
    assert sum(told["genuine"].values()) == len(signed)
    assert told["from_events_api"] == len(written) - len(signed)


def test_a_query_gives_every_field_as_it_was_written(
    golden: Path, written: Records, run: Run
) -> None:
    columns = Record.__struct_fields__
    sql = f"SELECT {', '.join(columns)} FROM stripe_webhooks ORDER BY received_at"
    result = run("query", sql, "--archive", str(golden), "--json")
    assert result.exit_code == 0, result.stderr
    # a column that came later is null in what was there before
    assert json.loads(result.stdout) == [dict.fromkeys(columns) | record for record in written]


def test_a_replay_sends_every_payload_as_it_was(
    golden: Path, written: Records, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    received: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(parallel, "cores", lambda: 1)
    with listening(Handler) as address:
        words = ("replay", address, "--rate", "0", "--archive", str(golden))
        result = run(*words, REPLAY_SECRET="whsec_of_the_receiver")
    assert result.exit_code == 0, result.output
    # of an event that arrived again there is one, and what has no id is nothing's duplicate
    first = {record["id"] or n: record["payload"] for n, record in enumerate(written)}
    assert Counter(received) == Counter(payload.encode() for payload in first.values())


def test_what_is_written_today_are_the_same_bytes() -> None:
    """No escape, space or order has changed since, in the record or in what encodes it."""
    newest = FORMATS[-1]
    lines = b"".join(gzip.decompress(path.read_bytes()) for path in newest.rglob("*.json.gz"))
    records = json.loads((newest / "records.json").read_text())
    assert Counter(lines.splitlines(keepends=True)) == Counter(
        Record(**record).line() for record in records
    )
