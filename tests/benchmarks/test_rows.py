"""The tables of `make faults` and `make strangers`: which rows hold, and where the tables go."""

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.bench import faults, strangers
from tests.bench.faults import FAULTS, REFUSED, Row
from tests.bench.load import Load
from tests.bench.rows import publisher, report

DOCUMENT = faults.DOCUMENT.read_text()


def row(name: str, statuses: dict[int, int], asked: int | None = None, lines: int = 0) -> Row:
    one = Row(name, FAULTS[name], Counter(statuses), slowest_ms=5, after=200)
    one.asked, one.lines, one.bound = asked, lines, 13
    return one


@pytest.mark.parametrize(
    "seen",
    [
        row("reset", {200: 10, 500: 5}),
        row("answers in chunks", {200: 100}),
        row("kill -9 of a worker, 3 a second", {200: 10, 0: 5, REFUSED: 5}),
        row("credentials that expire in 900 s", {200: 10}, asked=13, lines=13),
    ],
)
def test_a_row_that_kept_the_promise_holds(seen: Row) -> None:
    assert seen.holds
    assert "holds" in str(seen)


@pytest.mark.parametrize(
    "seen",
    [
        row("reset", {200: 10, 0: 1}),
        row("reset", {200: 10, 400: 1}),
        row("answers in chunks", {200: 100, 500: 1}),
        row("answers in chunks", {200: 35}),
        row("credentials that expire in 900 s", {200: 10}, asked=14),
        row("credentials that expire in 900 s", {200: 10}, asked=4, lines=14),
    ],
)
def test_a_row_that_did_not_is_broken(seen: Row) -> None:
    assert not seen.holds
    assert "BROKEN" in str(seen)


def test_an_acknowledged_event_that_is_not_archived_breaks_a_row() -> None:
    one = row("reset", {200: 2})
    one.acknowledged, one.archived = {b"1", b"2"}, Counter([b"1", b"1"])
    assert (one.lost, one.duplicates, one.holds) == (1, 1, False)


def test_a_genuine_event_that_is_refused_or_slow_breaks_a_row_of_clients() -> None:
    good, slow, failed = Load(1, [0.1]), Load(1, [1.1]), Load(1, [0.1], errors=1)
    case = strangers.Case("none", 8)
    held = [
        strangers.Row(case, events, healths, archived, (80, after)).holds
        for events, healths, archived, after in (
            (good, good, 1, 90),
            (slow, good, 1, 90),
            (failed, good, 1, 90),
            (good, failed, 1, 90),
            (good, good, 0, 90),
            (good, good, 1, 120),
        )
    ]
    assert held == [True, False, False, False, False, False]


def test_a_worker_killed_for_want_of_memory_breaks_a_row_of_clients() -> None:
    good, case = Load(1, [0.1]), strangers.Case(strangers.WORST, 1, limit_mb=256)
    held = [
        strangers.Row(case, good, good, 1, (150, most), kills).holds
        for most, kills in ((250, 0), (250, 1), (256, 0))
    ]
    assert held == [True, False, False]


def test_only_a_table_that_holds_is_published(capsys: pytest.CaptureFixture[str]) -> None:
    published: list[str] = []
    rows = {"good": row("reset", {200: 1}), "bad": row("reset", {400: 1})}
    report("heading", ["good"], rows.__getitem__, 1, published.append)
    assert published == [f"heading\n{rows['good']}"]
    with pytest.raises(SystemExit) as ended:
        report("heading", ["bad", "good"], rows.__getitem__, 1, published.append)
    assert ended.value.code == 1
    assert len(published) == 1
    assert capsys.readouterr().out.count("BROKEN") == 1


@pytest.mark.parametrize(("name", "module"), [("faults", "faults"), ("clients", "strangers")])
def test_a_table_has_its_place_in_the_document(tmp_path: Path, name: str, module: str) -> None:
    copy = tmp_path / "RELIABILITY.md"
    copy.write_text(DOCUMENT)
    publisher(copy, name, f"python -m tests.bench.{module} --publish")("heading\nrow   holds")
    before, after = DOCUMENT.split(f"<!-- {name}:")[0], DOCUMENT.split(f"<!-- /{name} -->")[1]
    text = copy.read_text()
    assert text.startswith(before)
    assert text.endswith(after)
    assert "```text\nheading\nrow   holds\n```\n" in text


def test_what_the_document_shows_holds_and_is_measured() -> None:
    tables = re.findall(r"<!-- (faults|clients): .*?-->(.*?)<!-- /\1 -->", DOCUMENT, re.DOTALL)
    known = {"faults": list(FAULTS), "clients": list(strangers.KINDS)}
    for name, table in tables:
        rows = [line for line in table.splitlines() if re.search(r"holds$|BROKEN$", line)]
        assert rows
        for line in rows:
            assert line.endswith("holds")
            assert any(line.startswith(f"{kind}  ") for kind in known[name]), line
