"""`stripe-archive seal` and `verify --sealed` on a bucket."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from archive_tools import storage as storages
from archive_tools.errors import ToolError
from archive_tools.sealing.writing import write_new
from tests.archive_tools.conftest import Run, stop_clock, store
from tests.archive_tools.test_seal import DAYS, NOON, day_key, events, head_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET = "your-company-stripe-webhooks"


@pytest.fixture
def s3(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator["S3Client"]:
    """A bucket under an object lock, with an object on the first and the last of the days."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    stop_clock(monkeypatch, NOON)
    storages.s3_client.cache_clear()
    with mock_aws():
        client = boto3.client("s3", "us-east-1")
        client.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
        for day in (DAYS[0], DAYS[2]):
            path = store(folder, *events(day, f"evt_{day}"), day=day_key(day))
            client.upload_file(str(path), BUCKET, f"{day_key(day)}/a.json.gz")
        yield client
    storages.s3_client.cache_clear()


BUCKET_ONLY = {"ARCHIVE_DIR": "", "ARCHIVE_BUCKET": BUCKET}


def test_a_bucket_is_sealed_and_proved_as_a_folder_is(
    s3: "S3Client", run: Run, folder: Path
) -> None:
    result = run("seal", **BUCKET_ONLY)
    assert result.exit_code == 0, result.output
    local = run("seal")
    assert head_of(result.stdout) == head_of(local.stdout)
    head = head_of(result.stdout)
    proved = run("verify", "--sealed", "--head", head, **BUCKET_ONLY)
    assert proved.exit_code == 0, proved.output
    assert "2026-11-20 to 2026-11-22" in proved.stdout
    s3.put_object(Bucket=BUCKET, Key=f"{day_key(DAYS[0])}/a.json.gz", Body=b"changed")
    s3.delete_object(Bucket=BUCKET, Key=f"{day_key(DAYS[2])}/a.json.gz")
    found = run("verify", "--sealed", "--head", head, **BUCKET_ONLY)
    assert found.exit_code == 1
    assert f"Changed:\n  {day_key(DAYS[0])}/a.json.gz" in found.stdout
    assert f"Missing:\n  {day_key(DAYS[2])}/a.json.gz" in found.stdout


def test_a_manifest_that_is_there_is_never_overwritten(s3: "S3Client") -> None:
    storage = storages.BucketStorage(BUCKET, "us-east-1")
    key = "manifests/year=2026/month=11/day=20.json"
    write_new(storage, key, b"first", "application/json")
    # of this run, whose answer was lost
    write_new(storage, key, b"first", "application/json")
    with pytest.raises(ToolError, match="never overwritten"):
        write_new(storage, key, b"second", "application/json")
    assert s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"first"


def test_a_manifest_in_a_folder_is_never_overwritten(tmp_path: Path) -> None:
    storage = storages.FolderStorage(tmp_path, "archive")
    key = "manifests/year=2026/month=11/day=20.json"
    write_new(storage, key, b"first", "application/json")
    write_new(storage, key, b"first", "application/json")
    with pytest.raises(ToolError, match="never overwritten"):
        write_new(storage, key, b"second", "application/json")
    assert [path.read_bytes() for path in (tmp_path / key).parent.iterdir()] == [b"first"]


@pytest.mark.usefixtures("s3")
def test_who_may_not_write_manifests_is_told_which_policy_is_missing() -> None:
    storage = storages.BucketStorage("nobodys-bucket", "us-east-1")
    with pytest.raises(ToolError, match=r"deploy/iam/seal\.json"):
        write_new(storage, "manifests/a", b"", "application/json")
