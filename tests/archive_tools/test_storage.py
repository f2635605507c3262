"""The same archive in a folder and in S3: listed and opened alike."""

import errno
import io
import os
import pickle
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import boto3
import pytest
from botocore.response import StreamingBody
from moto import mock_aws

from archive_tools import storage as storages
from archive_tools.days import Days
from archive_tools.errors import ToolError
from archive_tools.settings import ToolSettings
from archive_tools.storage import (
    BucketStorage,
    FolderStorage,
    Storage,
    folder_of,
    objects_of,
    open_storage,
)

BUCKET = "my-webhooks"
OBJECTS = {
    "webhooks/year=2025/month=12/day=31/b.json.gz": b"1",
    "webhooks/year=2026/month=01/day=01/a.json.gz": b"22",
    "webhooks/year=2026/month=01/day=01/below/c.json.gz": b"333",
    "webhooks/year=2026/month=01/day=01/notes.txt": b"4444",
    "webhooks/year=2026/month=01/day=01/.d.json.gz.tmp": b"hidden",
    "webhooks/year=2026/month=01/day=01/_SUCCESS": b"hidden",
    "webhooks/year=2026/month=02/day=31/e.json.gz": b"no day",
    "webhooks/stray.csv": b"stray",
    "webhooks/2026/11/23/f.json.gz": b"stray",
    "webhooks/year=2026/stray": b"stray",
    "errors/year=2026/month=01/day=01/g": b"not ours to look at",
}
NEW_YEAR = [
    "webhooks/year=2026/month=01/day=01/a.json.gz",
    "webhooks/year=2026/month=01/day=01/below/c.json.gz",
    "webhooks/year=2026/month=01/day=01/notes.txt",
]


@pytest.fixture(params=["folder", "bucket"])
def storage(
    request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Storage]:
    if request.param == "folder":
        for key, data in OBJECTS.items():
            (folder / key).parent.mkdir(parents=True, exist_ok=True)
            (folder / key).write_bytes(data)
        yield FolderStorage(folder, "archive")
        return
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    storages.s3_client.cache_clear()
    with mock_aws():
        s3 = boto3.client("s3", "us-east-1")
        s3.create_bucket(Bucket=BUCKET)
        for key, data in OBJECTS.items():
            s3.put_object(Bucket=BUCKET, Key=key, Body=data)
        s3.put_object(Bucket=BUCKET, Key="webhooks/", Body=b"")
        yield BucketStorage(BUCKET, "us-east-1")
    storages.s3_client.cache_clear()


def test_days_are_those_of_the_layout_and_the_calendar(storage: Storage) -> None:
    assert storage.days() == [date(2025, 12, 31), date(2026, 1, 1)]


def test_a_day_has_its_objects_in_order_without_the_hidden(storage: Storage) -> None:
    found = list(storage.objects(date(2026, 1, 1)))
    assert [stored.key for stored in found] == NEW_YEAR
    assert [stored.size for stored in found] == [2, 3, 4]
    assert list(storage.objects(date(2026, 1, 2))) == []


def test_a_range_has_the_objects_of_its_days(storage: Storage) -> None:
    assert [s.key for s in objects_of(storage, Days(date(2026, 1, 1)))] == NEW_YEAR
    assert len(objects_of(storage, Days())) == 4


def test_what_is_in_no_day_is_a_stray(storage: Storage) -> None:
    assert sorted(stored.key for stored in storage.strays()) == [
        "webhooks/2026/11/23/f.json.gz",
        "webhooks/stray.csv",
        "webhooks/year=2026/month=02/day=31/e.json.gz",
        "webhooks/year=2026/stray",
    ]


def test_an_object_is_read_from_its_beginning(storage: Storage) -> None:
    with storage.open(NEW_YEAR[1]) as stored:
        assert stored.read(2) == b"33"
        assert stored.read() == b"3"


def test_an_object_that_is_not_there_is_an_os_error(storage: Storage) -> None:
    with pytest.raises(OSError, match=r"NoSuchKey|No such file"):
        storage.open("webhooks/gone")


def test_a_place_goes_to_other_processes(storage: Storage) -> None:
    assert pickle.loads(pickle.dumps(storage)) == storage


@mock_aws
def test_a_bucket_that_cannot_be_listed_is_told_with_the_cure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    storages.s3_client.cache_clear()
    with pytest.raises(ToolError, match=r"NoSuchBucket(.|\n)*s3:ListBucket"):
        BucketStorage("no-such-bucket", "us-east-1").days()
    storages.s3_client.cache_clear()


def test_an_archive_without_anything_has_no_days(folder: Path) -> None:
    storage = FolderStorage(folder, "archive")
    assert storage.days() == []
    assert list(storage.strays()) == []


def test_what_nothing_can_be_read_of_is_there_and_leads_nowhere(folder: Path) -> None:
    storage, day = FolderStorage(folder, "archive"), date(2026, 1, 1)
    inside = folder / "webhooks/year=2026/month=01/day=01"
    (inside / "a.json.gz").mkdir(parents=True)
    (inside / "gone.json.gz").symlink_to("/no/such/file")
    (inside / "round.json.gz").symlink_to(inside)
    (inside / "self.json.gz").symlink_to("self.json.gz")
    (folder / "webhooks/round").symlink_to(folder / "webhooks")
    found = [stored.key.rpartition("/")[2] for stored in storage.objects(day)]
    assert found == ["gone.json.gz", "round.json.gz", "self.json.gz"]
    for stored in storage.objects(day):
        with pytest.raises(OSError, match=r"No such file|not a regular file|Too many levels"):
            storage.open(stored.key)
    assert list(storage.strays()) == []


def test_nothing_but_a_regular_file_is_read(folder: Path) -> None:
    storage = FolderStorage(folder, "archive")
    inside = folder / folder_of(date(2026, 1, 1))
    inside.mkdir(parents=True)
    os.mkfifo(inside / "fifo.json.gz")
    (inside / "zero.json.gz").symlink_to("/dev/zero")
    assert [stored.size for stored in storage.objects(date(2026, 1, 1))] == [0, 0]
    for stored in storage.objects(date(2026, 1, 1)):
        with pytest.raises(OSError, match="not a regular file"):
            storage.open(stored.key)


@pytest.mark.parametrize("day", [date.min, date(999, 12, 31), date.max])
def test_the_ends_of_the_calendar_have_their_folders(folder: Path, day: date) -> None:
    inside = folder / f"webhooks/year={day.isoformat()[:4]}/month={day:%m}/day={day:%d}"
    inside.mkdir(parents=True)
    (inside / "a.json.gz").touch()
    (folder / "webhooks/year=0000/month=01/day=01").mkdir(parents=True)
    storage = FolderStorage(folder, "archive")
    assert storage.days() == [day]
    assert [stored.key.rpartition("/")[2] for stored in storage.objects(day)] == ["a.json.gz"]
    assert len(objects_of(storage, Days(day, day).widened())) == 1


def test_a_folder_and_a_bucket_say_what_they_are(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    local: Storage = open_storage(folder.name, ToolSettings())
    assert (local.name, local.location) == (folder.name, str(folder))
    assert (local.folder, local.bucket) == (folder, None)
    bucket: Storage = BucketStorage("mine")
    assert (bucket.name, bucket.location) == ("s3://mine", "s3://mine")
    assert (bucket.folder, bucket.bucket) == (None, "mine")


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Take a folder's rights away, as it is for everybody but root."""

    def close(folder: Path) -> None:
        listed = Path.iterdir

        def refusing(path: Path) -> Iterator[Path]:
            if path == folder:
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return listed(path)

        monkeypatch.setattr(Path, "iterdir", refusing)

    return close


def test_a_folder_of_a_day_that_cannot_be_listed_is_shown_as_one(
    folder: Path, closed: Callable[[Path], None]
) -> None:
    storage = FolderStorage(folder, "archive")
    inside = folder / "webhooks/year=2026/month=01/day=01"
    inside.mkdir(parents=True)
    closed(inside)
    (shown,) = storage.objects(date(2026, 1, 1))
    assert shown.key == "webhooks/year=2026/month=01/day=01"


def test_a_month_that_cannot_be_listed_is_not_taken_for_empty(
    folder: Path, closed: Callable[[Path], None]
) -> None:
    (folder / "webhooks/year=2026/month=01/day=01").mkdir(parents=True)
    (folder / "webhooks/lost+found").mkdir()
    closed(folder / "webhooks/lost+found")
    assert FolderStorage(folder, "archive").days() == [date(2026, 1, 1)]
    closed(folder / "webhooks/year=2026/month=01")
    with pytest.raises(ToolError, match=r"month=01 cannot be listed: Permission denied\n  Fix: "):
        FolderStorage(folder, "archive").days()


def test_the_named_archive_wins_over_the_environment(folder: Path, tmp_path: Path) -> None:
    settings = ToolSettings(archive_dir=tmp_path, aws_region="eu-west-1")
    assert open_storage(str(folder), settings).name == str(folder)
    assert open_storage("s3://mine", settings) == BucketStorage("mine", "eu-west-1")
    assert open_storage("s3://mine/webhooks/", settings) == BucketStorage("mine", "eu-west-1")
    assert open_storage(None, settings).name == str(tmp_path)
    assert open_storage(None, ToolSettings(archive_bucket="other")).name == "s3://other"
    both = ToolSettings(archive_dir=tmp_path, archive_bucket="other")
    assert open_storage(str(folder), both).name == str(folder)
    with pytest.raises(ToolError, match="ARCHIVE_DIR and ARCHIVE_BUCKET are both set"):
        open_storage(None, both)


@pytest.mark.parametrize("archive", ["", "s3://", "s3://mine/elsewhere", "/no/such/folder"])
def test_an_archive_that_cannot_be_is_refused(archive: str) -> None:
    with pytest.raises(ToolError, match="Fix: "):
        open_storage(archive, ToolSettings())


def test_without_any_archive_the_cure_names_the_variables() -> None:
    with pytest.raises(ToolError, match="ARCHIVE_DIR nor ARCHIVE_BUCKET"):
        open_storage(None, ToolSettings())


def test_a_download_that_breaks_off_is_an_os_error() -> None:
    body = StreamingBody(io.BytesIO(b"half"), content_length=8)
    with io.BufferedReader(storages._Download(body)) as stored:
        assert stored.read(2) == b"ha"
        with pytest.raises(OSError, match="broke off: IncompleteReadError"):
            stored.read()
