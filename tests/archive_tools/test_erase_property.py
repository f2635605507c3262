"""Whatever is run after an erasure, in whichever order: she is nowhere, the rest is to the byte."""

import gzip
import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.archive_tools.conftest import ARRIVED, Run, signed_record, stop_clock, store
from tests.archive_tools.test_erase import ANNA, BEN, EMAIL, body
from tests.fakes.stripe import ENDPOINT, FakeStripe

#: More by the environment, for a night.
EXAMPLES = int(os.environ.get("ERASE_EXAMPLES", "2"))

OTHER = "anna@example.org"
DAYS = 3
STEPS: dict[str, tuple[str, ...]] = {
    "reconcile": ("reconcile", "--repair", "--in-flight", "0"),
    "backfill": ("backfill", "--force"),
    "snapshot": ("snapshot", "--only", "customers"),
    "compact": ("compact",),
    "build": ("build", "--model", "customers", "--model", "charges", "--output", "a.duckdb"),
    "replay": ("replay", "http://127.0.0.1:9/", "--dry-run"),
    "verify": ("verify",),
    "seal": ("seal",),
    "erase": ("erase", ANNA, EMAIL, "--reason", "again", "--by", "dpo", "--yes"),
}


def customer(number: int) -> str:
    return ANNA if number % 3 == 0 else BEN


def bodies() -> list[bytes]:
    """Of each kind in which she is named: by id, escaped, and by her address alone."""
    kinds: list[Callable[[int], bytes]] = [
        lambda n: body(n, customer(n), n % 2 == 0, receipt_email=OTHER),
        lambda n: body(n, None, True, receipt_email=EMAIL if customer(n) == ANNA else OTHER),
    ]
    return [kinds[n % 2](n) for n in range(1, 13)]


def her_marks() -> list[bytes]:
    """What would be hers in the bytes of an archive, however JSON writes it."""
    address = json.dumps(json.dumps(EMAIL))[1:-1].encode()
    return [ANNA.encode(), EMAIL.encode(), address.strip(b'\\"')]


def unpacked(folder: Path) -> bytes:
    """Every byte of a folder: gzip decompressed, tables as their values."""
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
        elif path.suffix == ".parquet":
            with duckdb.connect() as reader:
                rows = reader.execute(f"FROM read_parquet('{path}')").fetchall()
            data = repr(rows).encode() + data
        found.append(data)
    return b"\n".join(found)


def lines(folder: Path) -> list[bytes]:
    paths = sorted((folder / "webhooks").rglob("*.json.gz"))
    return [one for path in paths for one in gzip.decompress(path.read_bytes()).splitlines()]


@given(
    before=st.permutations(["compact", "seal", "snapshot", "build"]),
    after=st.lists(st.sampled_from(sorted(STEPS)), min_size=3, max_size=7),
    redact=st.booleans(),
)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES < 10,
    # an example takes seconds, and to make it smaller minutes
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_she_is_nowhere_and_everybody_else_is_proved(
    run: Run,
    tmp_path_factory: pytest.TempPathFactory,
    before: list[str],
    after: list[str],
    redact: bool,
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        tmp_path = tmp_path_factory.mktemp("example")
        folder = tmp_path / "archive"
        folder.mkdir()
        monkeypatch.chdir(tmp_path)
        stop_clock(monkeypatch, int((ARRIVED + timedelta(days=DAYS + 1)).timestamp()))
        everything = bodies()
        # the last three of Stripe's were lost
        for number, text in enumerate(everything[:-3]):
            arrived = ARRIVED + timedelta(days=number % DAYS)
            line = signed_record(text, arrived=arrived).line()
            day = f"webhooks/year=2026/month=11/day={arrived.day}"
            store(folder, line, name=f"{number // 2}.json.gz", day=day)
        with FakeStripe(list(map(json.loads, everything))).serving() as stripe:
            stripe.endpoints = [ENDPOINT]
            stripe.objects = {"customers": [_customer(ANNA, EMAIL), _customer(BEN, OTHER)]}
            variables = {**stripe.variables(), "ARCHIVE_DIR": str(folder)}

            def step(name: str) -> None:
                result = run(*STEPS[name], **variables)
                assert result.exit_code in (0, 1), result.output

            step("seal")
            for name in before:
                step(name)
            kept = [line for line in lines(folder) if not any(m in line for m in her_marks())]
            erased = run(
                *("erase", ANNA, EMAIL, "--reason", "r", "--by", "dpo", "--yes"),
                *(["--redact"] if redact else []),
                *("--built", "a.duckdb"),
                **variables,
            )
            assert erased.exit_code == 0, erased.output
            step("seal")
            head = run("seal", **variables).stdout.split()[-3]
            for name in after:
                step(name)
                assert not [mark for mark in her_marks() if mark in unpacked(folder)], name
            assert not set(kept) - set(lines(folder))
            proved = run("verify", "--sealed", "--head", head, **variables)
            assert proved.exit_code == 0, proved.output
            assert run("verify", **variables).exit_code == 0
            # and what is built of it now has none of her
            step("compact")
            step("build")
            with duckdb.connect(str(tmp_path / "a.duckdb"), read_only=True) as built:
                rows = repr(built.sql("FROM customers").fetchall())
                rows += repr(built.sql("FROM charges").fetchall())
            assert ANNA not in rows
            assert EMAIL not in rows


def _customer(one_id: str, email: str) -> dict[str, Any]:
    return {
        "id": one_id,
        "object": "customer",
        "created": int(ARRIVED.timestamp()) - 5000,
        "livemode": False,
        "email": email,
    }
