"""A manifest as bytes: one form, of its own day, which names each object once."""

from datetime import date
from typing import Any

import msgspec
import pytest

from archive_tools.reading import BrokenError
from archive_tools.sealing.manifest import Manifest, SealedObject, manifest_day, parsed

DAY = date(2026, 11, 23)


def sealed(name: str, day: str = "23", prefix: str = "webhooks") -> SealedObject:
    key = f"{prefix}/year=2026/month=11/day={day}/{name}.json.gz"
    return SealedObject(key=key, records=1, sha256="00", size=1)


def manifest(**fields: Any) -> Manifest:
    whole = Manifest(
        day=str(DAY),
        event_ids_sha256="00",
        events=1,
        late=(sealed("late", "22"),),
        objects=(sealed("a"), sealed("a", prefix="erasures")),
        previous=None,
        records=1,
        sealed_at="2026-11-24T02:00:00Z",
    )
    return msgspec.structs.replace(whole, **fields)


def test_a_manifest_is_read_as_it_was_written() -> None:
    data = manifest().encoded()
    assert parsed(data, DAY) == manifest()
    assert data.endswith(b"}\n")
    assert data.count(b"\n") == 1


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"day": "2026-11-22"}, "of another day"),
        ({"objects": (sealed("a", "22"),)}, "not of its day"),
        ({"objects": (sealed("a", prefix="parquet"),)}, "not of its day"),
        ({"late": (sealed("b"),)}, "not of an earlier day"),
        ({"late": (sealed("b", "24"),)}, "not of an earlier day"),
        ({"late": (sealed("b", "22", "errors"),)}, "not of an earlier day"),
        ({"objects": (sealed("a"), sealed("a"))}, "an object twice"),
        ({"version": 2}, "of version 2"),
    ],
)
def test_one_that_contradicts_itself_is_broken(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(BrokenError, match=why):
        parsed(manifest(**fields).encoded(), DAY)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b",", b", "),
        (b"}\n", b"}"),
        (b'"version":1', b'"version":1,"version":1'),
        (b'"records":1,"sealed_at"', b'"records":1.0,"sealed_at"'),
        (b'"version"', b'"more":1,"version"'),
    ],
)
def test_there_is_one_form(old: bytes, new: bytes) -> None:
    data = manifest().encoded()
    assert old in data
    with pytest.raises(BrokenError):
        parsed(data.replace(old, new), DAY)


def test_a_key_tells_the_day() -> None:
    assert manifest_day("manifests/year=2026/month=11/day=23.json") == DAY
    for key in ("month=11/day=23.5be1.sig", "month=13/day=23.json", "month=11/day=23.json.bak"):
        assert manifest_day(f"manifests/year=2026/{key}") is None
