"""A person goes out of a bucket with all old versions, and only what was read is replaced."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from archive_tools import storage as storages
from archive_tools.erasing import athena
from archive_tools.erasing import objects as objects_module
from tests.archive_tools.conftest import DAY_KEY, Run
from tests.archive_tools.test_erase import ANNA, BEN, line

BUCKET = "acme-stripe-webhooks"
VARIABLES = {"ARCHIVE_DIR": "", "ARCHIVE_BUCKET": BUCKET, "AWS_REGION": "eu-west-1"}
ERASE = ("erase", ANNA, "--reason", "r", "--by", "dpo", "--yes")


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        storages.s3_client.cache_clear()
        s3 = boto3.client("s3", region_name="eu-west-1")
        s3.create_bucket(
            Bucket=BUCKET,
            CreateBucketConfiguration={"LocationConstraint": "eu-west-1"},
            ObjectLockEnabledForBucket=True,
        )
        yield s3
    storages.s3_client.cache_clear()


def put(s3: Any, key: str, *lines: bytes) -> str:
    body = gzip.compress(b"".join(lines), mtime=0)
    put = s3.put_object(Bucket=BUCKET, Key=key, Body=body, ContentType="application/gzip")
    return str(put["VersionId"])


def versions(s3: Any) -> dict[str, list[bytes]]:
    """All that is left in the bucket, unpacked, by key; delete markers as nothing."""
    found: dict[str, list[bytes]] = {}
    listed = s3.list_object_versions(Bucket=BUCKET)
    for one in listed.get("Versions", []):
        key, version = one["Key"], one["VersionId"]
        data = s3.get_object(Bucket=BUCKET, Key=key, VersionId=version)["Body"].read()
        found.setdefault(key, []).append(gzip.decompress(data))
    for one in listed.get("DeleteMarkers", []):
        found.setdefault(one["Key"], []).append(b"")
    return found


def of_webhooks(s3: Any) -> dict[str, list[bytes]]:
    return {key: found for key, found in versions(s3).items() if key.startswith("webhooks/")}


def test_a_bucket_is_rewritten_and_keeps_no_old_version_of_her(run: Run, s3: Any) -> None:
    shared, hers, other = (f"{DAY_KEY}/{name}.json.gz" for name in "abc")
    put(s3, shared, line(1), line(2, ANNA), line(7, ANNA))
    put(s3, shared, line(1), line(2, ANNA))
    put(s3, hers, line(3, ANNA))
    put(s3, other, line(4))
    result = run(*ERASE, **VARIABLES)
    assert result.exit_code == 0, result.output
    assert of_webhooks(s3) == {shared: [line(1)], other: [line(4)]}
    assert s3.head_object(Bucket=BUCKET, Key=shared)["ContentType"] == "application/gzip"
    assert json.loads(run("verify", "--json", **VARIABLES).stdout)["erased"] == 3


def test_old_versions_of_what_is_gone_or_was_replaced_are_searched_too(run: Run, s3: Any) -> None:
    gone, replaced = f"{DAY_KEY}/a.json.gz", f"{DAY_KEY}/b.json.gz"
    put(s3, gone, line(1, ANNA))
    s3.delete_object(Bucket=BUCKET, Key=gone)
    put(s3, replaced, line(2), line(3, ANNA))
    put(s3, replaced, line(2))
    put(s3, f"{DAY_KEY}/c.json.gz", line(4))
    put(s3, f"{DAY_KEY}/c.json.gz", line(4), line(5))
    result = run(*ERASE, **VARIABLES)
    assert result.exit_code == 0, result.output
    left = of_webhooks(s3)
    assert not [text for texts in left.values() for text in texts if ANNA.encode() in text]
    assert left[replaced] == [line(2)]
    # an old version that does not name her is none of ours
    assert len(left[f"{DAY_KEY}/c.json.gz"]) == 2


def test_what_is_locked_is_left_and_said_and_done_when_the_lock_is_over(
    run: Run, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = f"{DAY_KEY}/a.json.gz"
    version = put(s3, key, line(1), line(2, ANNA))
    s3.put_object_retention(
        Bucket=BUCKET,
        Key=key,
        VersionId=version,
        Retention={"Mode": "COMPLIANCE", "RetainUntilDate": "2999-01-01T00:00:00Z"},
    )
    result = run(*ERASE, **VARIABLES)
    assert result.exit_code == 1
    assert "under Object Lock until 2999-01-01 00:00 UTC" in result.stdout
    assert of_webhooks(s3)[key][0] == line(1)
    monkeypatch.setattr(
        objects_module.BucketObjects,
        "remove_old_versions",
        lambda self, key: "",
    )
    monkeypatch.setattr(objects_module.BucketObjects, "remove_version", lambda self, old: "")
    assert run("erase", **VARIABLES).exit_code == 0
    assert "no erasure to go on with" in run("erase", **VARIABLES).stderr


def test_an_object_that_changes_under_it_is_not_overwritten(
    run: Run, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = f"{DAY_KEY}/a.json.gz"
    put(s3, key, line(1), line(2, ANNA))
    real = objects_module.BucketObjects.replace

    def late(self: Any, key: str, data: bytes, was: Any) -> None:
        put(s3, key, line(1), line(2, ANNA), line(6))
        real(self, key, data, was)

    monkeypatch.setattr(objects_module.BucketObjects, "replace", late)
    result = run(*ERASE, **VARIABLES)
    assert result.exit_code == 2
    assert "PreconditionFailed" in result.stderr
    monkeypatch.undo()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    # the first erasure cannot be ended any more, and the second one does it
    again = run(*ERASE, **VARIABLES)
    assert again.exit_code == 1
    assert of_webhooks(s3) == {key: [line(1) + line(6)]}


def test_athena_deletes_rewrites_and_forgets() -> None:
    delete, optimize, least, vacuum, usual = athena.statements(["ab", "cd"])
    assert delete == (
        "DELETE FROM stripe_events_compacted "
        "WHERE lower(to_hex(sha256(to_utf8(id)))) IN ('ab', 'cd')"
    )
    assert optimize.startswith("OPTIMIZE stripe_events_compacted REWRITE DATA")
    assert "'vacuum_max_snapshot_age_seconds' = '1'" in least
    assert vacuum == "VACUUM stripe_events_compacted"
    assert "'432000'" in usual
    many = list(athena.statements([f"{n:064x}" for n in range(3001)]))
    assert len(many) == 6
    assert max(map(len, many)) < 262_144
    assert BEN not in "".join(many)
