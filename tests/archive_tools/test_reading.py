import gzip
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive_tools import reading
from archive_tools.reading import DamageError, Fault, Faults, lines, records
from archive_tools.storage import FolderStorage

TEXT = b"".join(b'{"received_at": "x", "n": %d}\n' % n for n in range(50_000))


def read(folder: Path, data: bytes) -> tuple[list[bytes], DamageError | None]:
    (folder / "a.json.gz").write_bytes(data)
    found: list[bytes] = []
    try:
        for number, line in lines(FolderStorage(folder, "a"), "a.json.gz"):
            found.append(line)
            # what is damaged can have an empty line
            assert number >= len(found)
    except DamageError as damage:
        return found, damage
    return found, None


def test_lines_come_whole_and_counted_from_one(tmp_path: Path) -> None:
    found, damage = read(tmp_path, gzip.compress(TEXT))
    assert damage is None
    assert b"\n".join(found) + b"\n" == TEXT
    (*_, (last, _)) = lines(FolderStorage(tmp_path, "a"), "a.json.gz")
    assert last == 50_000


def test_gzip_members_after_each_other_are_one_text(tmp_path: Path) -> None:
    found, damage = read(tmp_path, gzip.compress(TEXT[:1000]) + gzip.compress(TEXT[1000:]))
    assert damage is None
    assert len(found) == 50_000


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9999])
def test_of_a_cut_object_come_the_lines_before_the_cut(tmp_path: Path, share: float) -> None:
    data = gzip.compress(TEXT)
    found, damage = read(tmp_path, data[: int(len(data) * share)])
    assert damage
    assert damage.what == "gzip is cut short"
    assert damage.line == len(found) + 1
    assert TEXT.startswith(b"\n".join(found) + b"\n")
    assert len(found) > 50_000 * share / 4


def test_a_changed_byte_of_gzip_is_damage(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(TEXT))
    data[len(data) // 2] ^= 1
    _, damage = read(tmp_path, bytes(data))
    assert damage
    assert damage.what.startswith("gzip is damaged: ")


def test_a_wrong_checksum_is_damage(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(TEXT))
    data[-8] ^= 1
    found, damage = read(tmp_path, bytes(data))
    assert damage
    assert damage.what == "gzip is damaged: incorrect data check"
    # zlib keeps the last piece to itself
    assert len(found) > 47_000


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "empty"),
        (b"\x1f", "gzip is cut short"),
        (b"hello", "not gzip: nothing that this service writes"),
        (TEXT, "not gzip, but records as they are"),
        (gzip.compress(b"a\n", mtime=0) + b"more", "not gzip: nothing that this service writes"),
    ],
)
def test_what_is_not_gzip_is_damage(tmp_path: Path, data: bytes, what: str) -> None:
    _, damage = read(tmp_path, data)
    assert damage
    assert damage.what.startswith(what)


def test_a_last_line_without_newline_is_read_and_told(tmp_path: Path) -> None:
    found, damage = read(tmp_path, gzip.compress(b"1\n2"))
    assert found == [b"1", b"2"]
    assert damage
    assert (damage.line, damage.what) == (2, "no newline at its end")


def test_an_object_that_is_gone_is_damage(tmp_path: Path) -> None:
    with pytest.raises(DamageError, match="No such file"):
        list(lines(FolderStorage(tmp_path, "a"), "gone"))


def test_a_line_without_end_does_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_LINE_BYTES", 5_000_000)
    _, damage = read(tmp_path, gzip.compress(b"x" * 20_000_000))
    assert damage
    assert damage.what == "a line without an end"


def test_a_long_line_is_read_in_a_moment(tmp_path: Path) -> None:
    """It is put together once: to do that with each piece would take 20 s of this one."""
    data = gzip.compress(b"x" * 60_000_000 + b"\n", 1)
    began = time.process_time()
    ((line,), _) = read(tmp_path, data)
    assert len(line) == 60_000_000
    assert time.process_time() - began < 4


@given(st.lists(st.binary().map(lambda line: line.replace(b"\n", b"")), min_size=1))
def test_any_lines_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, written: list[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    found, damage = read(folder, gzip.compress(b"".join(line + b"\n" for line in written)))
    assert found == [line for line in written if line]
    assert (damage is None) == (found == written)


def test_empty_lines_are_one_damage_that_hides_nothing(tmp_path: Path) -> None:
    found, damage = read(tmp_path, gzip.compress(b"1\n\n\n2\n\n"))
    assert found == [b"1", b"2"]
    assert damage
    assert (damage.line, damage.what) == (2, "3 empty lines from here on")
    _, damage = read(tmp_path, gzip.compress(b"1\n\n"))
    assert damage
    assert (damage.line, damage.what) == (2, "an empty line")


def test_an_object_of_empty_lines_is_not_read_to_its_end(tmp_path: Path) -> None:
    found, damage = read(tmp_path, gzip.compress(b"1\n" + b"\n" * 10_000_000))
    assert found == [b"1"]
    assert damage
    assert (damage.line, damage.what) == (2, "1,000 empty lines from here on; it is not read on")


def test_records_come_with_their_numbers_and_the_rest_is_counted(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(gzip.compress(b'"a"\nno\n[' + b"[" * 5000 + b'\n"b"\n2\n"c"'))
    faults = Faults()
    decode = msgspec.json.Decoder(str).decode
    found = list(records(FolderStorage(tmp_path, "a"), "a", decode, faults))
    assert found == [(1, "a"), (4, "b"), (6, "c")]
    assert [(fault.line, fault.what) for fault in faults.first] == [
        (2, "not a record"),
        (3, "not a record"),
        (5, "not a record"),
        (6, "no newline at its end"),
    ]
    assert (faults.count, faults.unreachable) == (4, 0)
    assert list(records(FolderStorage(tmp_path, "a"), "gone", decode, faults)) == []
    assert (faults.count, faults.unreachable) == (5, 1)


def test_of_many_faults_the_first_are_kept_and_an_object_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(gzip.compress(b"x\n" * 5_000_000))
    faults, all_faults = Faults(), Faults()
    assert list(records(FolderStorage(tmp_path, "a"), "a", msgspec.json.decode, faults)) == []
    assert faults.count == 1001
    assert len(faults.first) == 1000
    for _ in range(3):
        all_faults.extend(faults)
    assert all_faults.count == 3003
    assert all_faults.first == faults.first


def test_a_fault_says_where_and_what() -> None:
    assert str(Fault("k", 3, "broken")) == "k line 3: broken"
    assert str(Fault("k", None, "broken")) == "k: broken"
