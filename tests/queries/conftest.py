"""The sample month, archived once a process, and what its events are, read without any SQL."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from archive_tools.querying.duckdb_engine import open_duckdb
from archive_tools.storage import FolderStorage
from examples import month
from webhook_app.events.record import Record
from webhook_app.storage.local import LocalArchive

Archived = Callable[..., Path]


def query(
    folder: Path, sql: str, today: date | None = None
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The names and the rows that a query of Athena's dialect has on an archive without faults."""
    with open_duckdb(FolderStorage(folder, str(folder)), today) as engine:
        result = engine.run(sql)
    assert not result.faults
    return result.names, result.rows


@dataclass(frozen=True)
class Event:
    """An event as Stripe made it, and when it arrived."""

    arrived: datetime
    body: bytes

    @cached_property
    def json(self) -> dict[str, Any]:
        event = json.loads(self.body)
        return event if isinstance(event, dict) else {}

    @cached_property
    def created(self) -> datetime:
        created = self.json["created"]
        if isinstance(created, int):
            return datetime.fromtimestamp(created, UTC)
        return datetime.fromisoformat(created)

    @property
    def id(self) -> str | None:
        return self.json.get("id")

    @property
    def type(self) -> str | None:
        return self.json.get("type")

    @property
    def object(self) -> dict[str, Any]:
        found: dict[str, Any] = self.json.get("data", {}).get("object", {})
        return found

    @property
    def customer(self) -> str | None:
        named = self.object.get("object") == "customer"
        customer: str | None = self.object.get("id" if named else "customer")
        return customer

    @property
    def received_at(self) -> str:
        return self.arrived.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True)
class Month:
    """The sample month: where it is archived, and what arrived in it."""

    folder: Path
    arrivals: list[Event]

    @cached_property
    def events(self) -> list[Event]:
        """Each event once, as it arrived first."""
        first: dict[str, Event] = {}
        for event in self.arrivals:
            if event.id:
                first.setdefault(event.id, event)
        return list(first.values())

    def of_types(self, *types: str) -> list[Event]:
        return [event for event in self.events if event.type in types]


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Month:
    folder = tmp_path_factory.mktemp("month")
    deliveries = month.deliveries()
    month.archive(folder, deliveries)
    earliest = min(delivery.arrives for delivery in deliveries).date()
    # every query that looks back 30 days sees all of it
    assert earliest >= month.TODAY - timedelta(days=30) == date(2026, 10, 24)
    return Month(folder, [Event(delivery.arrives, delivery.body) for delivery in deliveries])


@pytest.fixture
def archived(tmp_path: Path) -> Archived:
    """Put one record into an archive, whatever it holds, and return the archive's folder."""
    archive = LocalArchive(tmp_path / "archive")

    def put(
        payload: object = "", received_at: str = "2026-11-23T10:00:00.000000Z", **fields: Any
    ) -> Path:
        text = payload if isinstance(payload, str) else json.dumps(payload)
        record: dict[str, Any] = {"id": "evt_1", "type": "t", "created": 1_795_392_000}
        record |= {"object": "event", "livemode": True, "account": None, "api_version": None}
        record |= {"source": "webhook", "stripe_signature": None}
        archive.put(Record(**(record | fields), payload=text, received_at=received_at))
        return tmp_path / "archive"

    return put
