import json
from datetime import UTC, date, datetime
from decimal import Decimal

from archive_tools.errors import ToolError
from archive_tools.output import as_json, bytes_text, cell, count_text, printable, table
from archive_tools.reading import Fault


def test_a_table_is_aligned_with_numbers_to_the_right() -> None:
    assert table(["type", "count"], [["a", 1], ["longer", 200]]).splitlines() == [
        "type    count",
        "──────  ─────",
        "a           1",
        "longer    200",
    ]


def test_wide_characters_take_two_places() -> None:
    assert table(["名", "n"], [["a", 1]]).splitlines()[2] == "a   1"


def test_a_name_of_a_column_is_safe_to_print() -> None:
    assert table(["a\x1b[2J\nb"], [["c"]]).splitlines()[0] == "a\ufffd[2J b"


def test_a_table_without_rows_has_its_names() -> None:
    assert table(["a", "b"], []).splitlines() == ["a  b", "─  ─"]


def test_nothing_in_a_cell_moves_the_cursor() -> None:
    assert cell("a\x1b[2J\nb\u202e") == "a\ufffd[2J b\ufffd"
    assert [cell(v) for v in (None, True, Decimal("1.10"), b"\x0a")] == ["", "true", "1.10", "0a"]
    assert cell(datetime(2026, 11, 23, 1, 2)) == "2026-11-23 01:02:00"


def test_no_text_moves_the_cursor_or_is_no_utf8() -> None:
    name = "a\x1b[2J\x9b1m\u202e\udcff\nb"
    safe = "a\ufffd[2J\ufffd1m\ufffd\ufffd"
    assert printable(name) == f"{safe}\nb"
    assert ToolError(f"{name} is gone", "mend it").message == f"{safe}\nb is gone\n  Fix: mend it"
    assert str(Fault(name, 2, "broken")) == f"{safe} b line 2: broken"


def test_json_has_an_unsafe_name_as_it_is_in_escapes() -> None:
    name = "a\x1b[2J\x9b1m\u202e\udcff\nb"
    text = as_json({"key": name})
    assert json.loads(text) == {"key": name}
    assert text.encode().isascii()


def test_json_keeps_money_exact_and_times_readable() -> None:
    value = {"sum": Decimal("12.340"), "day": date(2026, 11, 23), "name": "Zoë"}
    text = as_json(value | {"at": datetime(2026, 11, 23, tzinfo=UTC)})
    assert json.loads(text) == {
        "sum": "12.340",
        "day": "2026-11-23",
        "name": "Zoë",
        "at": "2026-11-23T00:00:00+00:00",
    }
    assert "Zoë" in text


def test_numbers_for_people() -> None:
    assert [bytes_text(n) for n in (0, 999, 1000, 2.5e9, 7e15)] == [
        "0 bytes",
        "999 bytes",
        "1.0 KB",
        "2.5 GB",
        "7,000.0 TB",
    ]
    assert (count_text(1, "event"), count_text(2000, "event")) == ("1 event", "2,000 events")
