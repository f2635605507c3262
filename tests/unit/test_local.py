import gzip
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from webhook_app.events.record import Record, webhook_record
from webhook_app.storage.archive import ArchiveError
from webhook_app.storage.local import LocalArchive

DAY = Path("webhooks/year=2026/month=11/day=23")


def record(body: bytes = b'{"id":"evt_1"}') -> Record:
    return webhook_record(body, "t=1,v1=a", datetime(2026, 11, 23, 9, 3, 45, tzinfo=UTC))


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_record_is_one_gzip_file_under_its_day(tmp_path: Path) -> None:
    LocalArchive(tmp_path / "new/archive").put(record())
    (path,) = files_of(tmp_path / "new/archive")
    assert path.parent == tmp_path / "new/archive" / DAY
    assert path.name.startswith("2026-11-23T09-03-45.000000Z-")
    assert path.name.endswith(".json.gz")
    assert gzip.decompress(path.read_bytes()) == record().line()


def test_the_archive_is_not_for_everyone_on_the_machine(tmp_path: Path) -> None:
    LocalArchive(tmp_path).put(record())
    for path in tmp_path.rglob("*"):
        assert path.stat().st_mode & 0o007 == 0


def test_many_writers_lose_nothing(tmp_path: Path) -> None:
    archive = LocalArchive(tmp_path)

    def write() -> None:
        for _ in range(25):
            archive.put(record())

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(files_of(tmp_path)) == 200


def test_everything_is_on_the_disk_before_put_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut right after the answer: what was synced is what is left."""
    synced: list[str] = []
    fsync = os.fsync

    def spy(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    archive = LocalArchive(tmp_path)
    archive.put(record())
    (path,) = files_of(tmp_path)
    # each folder above a new one, then the file before its rename, then the file's folder
    assert synced == [
        str(tmp_path),
        str(tmp_path / "webhooks"),
        str(tmp_path / "webhooks/year=2026"),
        str(tmp_path / "webhooks/year=2026/month=11"),
        str(path.with_name(f".{path.name}.tmp")),
        str(path.parent),
    ]
    synced.clear()
    archive.put(record())
    assert len(synced) == 2


def test_a_second_process_does_not_trust_the_folders_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    LocalArchive(tmp_path).put(record())
    calls: list[int] = []
    monkeypatch.setattr(os, "fsync", calls.append)
    LocalArchive(tmp_path).put(record())
    assert len(calls) == 6


@pytest.mark.parametrize("step", ["write", "fsync", "rename"])
def test_what_fails_half_way_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    archive = LocalArchive(tmp_path)
    archive.put(record())
    before = files_of(tmp_path)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if step == "write":
            patch.setattr("webhook_app.storage.local.os.fdopen", fail)
        elif step == "fsync":
            patch.setattr("webhook_app.storage.local.os.fsync", fail)
        else:
            patch.setattr(Path, "rename", fail)
        with pytest.raises(ArchiveError, match="No space left on device"):
            archive.put(record())
    assert files_of(tmp_path) == before
    archive.put(record())
    assert len(files_of(tmp_path)) == 2


def test_a_full_disk_is_an_error_and_heals(tmp_path: Path) -> None:
    """The kernel's own limit on the size of a file, in a process of its own."""
    program = """
import resource, signal, sys
from pathlib import Path
from tests.unit.test_local import LocalArchive, files_of, record
from webhook_app.storage.archive import ArchiveError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = Path(sys.argv[1])
archive = LocalArchive(folder)
resource.setrlimit(resource.RLIMIT_FSIZE, (50, resource.RLIM_INFINITY))
try:
    archive.put(record())
except ArchiveError as error:
    print(error)
assert files_of(folder) == []
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
archive.put(record())
assert len(files_of(folder)) == 1
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "File too large" in done.stdout


def test_a_folder_that_vanished_is_an_error_and_heals(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    archive = LocalArchive(folder)
    archive.put(record())
    folder.rename(tmp_path / "away")
    for _ in range(2):
        with pytest.raises(ArchiveError, match="No such file or directory"):
            archive.put(record())
    # not made again: where it vanished, a disk may be unmounted
    assert not folder.exists()
    folder.mkdir()
    archive.put(record())
    assert len(files_of(folder)) == 1


def test_a_day_that_vanished_is_made_again(tmp_path: Path) -> None:
    archive = LocalArchive(tmp_path)
    archive.put(record())
    (tmp_path / "webhooks").rename(tmp_path / "away")
    with pytest.raises(ArchiveError):
        archive.put(record())
    archive.put(record())
    assert len(files_of(tmp_path / "webhooks")) == 1
