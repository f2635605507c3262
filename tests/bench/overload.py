"""An archive that hangs under load and comes back: who waits how long, and how soon is all well?

`python -m tests.bench.overload` starts the real service with four workers, delivers at 60 % of what
they can archive, whether or not the deliveries before have been answered, and lets Firehose hang
for a while. It prints a table and fails unless every answer came within 10 s and each of `/health`
within one, 99 % of what was delivered from 5 s after the archive's return on was acknowledged, and
less than 1 % of what was then written was for nobody; `--publish` puts it into docs/RELIABILITY.md.
"""

import asyncio
import json
import time
from dataclasses import dataclass, field

import click

from tests.fakes.firehose import FakeFirehose

from .deliveries import event_body, request
from .faults import BUDGET_MS, DOCUMENT
from .load import deliver
from .rows import publisher, report
from .service import service, variables

WORKERS = 4
#: Seconds that Firehose takes, by the threads of each worker: more of them wait for longer, so that
#: the senders do not take the machine for themselves.
LATENCY_S = {1: 0.1, 8: 0.4}
LOAD = 0.6
HEALTHS_A_SECOND = 5
BEFORE_S, RECOVERY_S, AFTER_S = 2.0, 5.0, 5.0
HEALTH_MS = 1000


@dataclass
class Row:
    """What was seen."""

    threads: int
    rate: float
    hang_s: float
    answers: list[tuple[float, int, float]] = field(default_factory=list)
    """When each delivery was sent, in seconds since the archive's return; status; milliseconds."""
    slowest_health_ms: float = 0.0
    written: list[int] = field(default_factory=list)
    """The numbers of the events that were written after the archive's return."""

    @property
    def slowest_ms(self) -> float:
        """The longest that a delivery took."""
        return max(took_ms for _, _, took_ms in self.answers)

    @property
    def acknowledged(self) -> float:
        """The share of those sent from `RECOVERY_S` after the return on."""
        statuses = [status for sent_s, status, _ in self.answers if sent_s > RECOVERY_S]
        return statuses.count(200) / len(statuses)

    @property
    def for_nobody(self) -> float:
        """The share of what was written after the return whose sender got no 200."""
        unanswered = [n for n in self.written if self.answers[n][1] != 200]
        return len(unanswered) / len(self.written)

    @property
    def holds(self) -> bool:
        """Whether the service kept its word."""
        return (
            self.slowest_ms < BUDGET_MS
            and self.slowest_health_ms < HEALTH_MS
            and all(status in (200, 500) for _, status, _ in self.answers)
            and self.acknowledged >= 0.99
            and self.for_nobody < 0.01
        )

    def __str__(self) -> str:
        """Return the row of the table."""
        return (
            f"{WORKERS:>7} {self.threads:>7} {self.rate:>12.0f} {self.hang_s:>5.0f} "
            f"{len(self.answers):>10} {self.slowest_ms:>10.0f} {self.slowest_health_ms:>10.0f} "
            f"{self.acknowledged:>12.1%} {self.for_nobody:>10.1%}   "
            f"{'holds' if self.holds else 'BROKEN'}"
        )


HEADING = (
    f"{'workers':>7} {'threads':>7} {'deliveries/s':>12} {'hangs':>5} {'deliveries':>10} "
    f"{'slowest ms':>10} {'health ms':>10} {'acknowledged':>12} {'for nobody':>10}"
)


async def _measure(row: Row, port: int, firehose: FakeFirehose) -> None:
    began = time.monotonic()
    back = began + BEFORE_S + row.hang_s
    count = round((back - began + RECOVERY_S + AFTER_S) * row.rate)
    row.answers = [(0.0, 0, 0.0)] * count

    async def one(number: int, at: float) -> None:
        status, connection = await deliver(port, request(event_body(number)))
        if connection:
            connection.close()
        row.answers[number] = at - back, status, (time.monotonic() - at) * 1000

    async def ask() -> None:
        while True:
            at = time.monotonic()
            status, connection = await deliver(port, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            if connection:
                connection.close()
            took_ms = (time.monotonic() - at) * 1000 if status == 200 else float("inf")
            row.slowest_health_ms = max(row.slowest_health_ms, took_ms)
            await asyncio.sleep(1 / HEALTHS_A_SECOND)

    asking = asyncio.ensure_future(ask())
    tasks, stored = [], 0
    for number in range(count):
        at = began + number / row.rate
        await asyncio.sleep(max(0.0, at - time.monotonic()))
        hangs = began + BEFORE_S < at < back
        if firehose.behaviour == "hang" and not hangs:
            stored = len(firehose.records)
        firehose.behaviour = "hang" if hangs else "ok"
        tasks.append(asyncio.ensure_future(one(number, at)))
    await asyncio.gather(*tasks)
    asking.cancel()
    ids = [json.loads(json.loads(line)["payload"])["id"] for line in firehose.records[stored:]]
    row.written = [int(event_id.removeprefix("evt_1SBench")) for event_id in ids]


def measure(threads: int, seconds: float) -> Row:
    """Let Firehose hang for that long, in front of workers with so many threads each."""
    row = Row(threads, WORKERS * threads / LATENCY_S[threads] * LOAD, seconds)
    with FakeFirehose().serving() as firehose:
        firehose.latency_s = LATENCY_S[threads]
        environ = variables(firehose.url, WORKERS, threads) | {"LOG_LEVEL": "CRITICAL"}
        with service(environ) as one:
            asyncio.run(_measure(row, one.port, firehose))
    return row


@click.command()
@click.option("--seconds", default=20.0, show_default=True, help="How long Firehose hangs.")
@click.option("--publish", is_flag=True, help="Put the table into docs/RELIABILITY.md.")
def main(seconds: float, publish: bool) -> None:
    """Print the table, a row for each number of threads."""
    into = publisher(DOCUMENT, "overload", "python -m tests.bench.overload --publish")
    report(
        HEADING,
        LATENCY_S,
        lambda threads: measure(threads, seconds),
        seconds,
        into if publish else None,
    )


if __name__ == "__main__":
    main()
