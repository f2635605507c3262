"""What an archive is: the interface of the two kinds, their one error and their common layout.

The kinds are modules of their own, `firehose` and `local`; the factory `create_app` picks one.
"""

import secrets
from typing import Protocol

from ..events.record import Record


class ArchiveError(Exception):
    """The archive did not confirm the write. `str()` is for the log: no payload, no secret.

    Raised from the cause where there is one.
    """


class Archive(Protocol):
    """Where records go."""

    def put(self, record: Record, deadline: float) -> None:
        """Store the record; return only once it is confirmed.

        Args:
            record: what to store.
            deadline: the time of `time.monotonic()` by which this has returned or raised.

        Raises:
            ArchiveError: it was not confirmed. It may have been stored all the same.
        """


def object_key(record: Record) -> str:
    """Return a new key of the dated layout for one record, by its UTC time of arrival.

    The layout is the one Firehose is told to write:
    `webhooks/year=2026/month=11/day=23/<time>-<random>.json.gz`.
    """
    return dated_key("webhooks", record.received_at)


def dated_key(prefix: str, moment: str, name: str = "") -> str:
    """Return a new key of the dated layout below a prefix, with `name` behind the time.

    `moment` is UTC as in 2026-11-23T09:03:45.123456Z.
    """
    year, month, day = moment[:10].split("-")
    time = moment.replace(":", "-")
    unique = f"{name}-{secrets.token_hex(8)}"
    return f"{prefix}/year={year}/month={month}/day={day}/{time}{unique}.json.gz"
