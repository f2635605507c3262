"""What a month of the archive costs: `python -m deploy.costs --events 1000000 --bytes 5000`.

Knows AWS's list prices and what is billed of an archive as deploy/ makes it, and of the service on
ECS as docs/DEPLOYMENT.md runs it. Of the service it uses the record alone, to measure how much
larger than an event that is. It also writes the tables of docs/COSTS.md.
"""

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import click

from webhook_app.events.record import webhook_record

PROJECT = Path(__file__).resolve().parent.parent

#: AWS's GB and TB are binary, as in the example of Firehose's page: 1,048,576 KB a GB.
GB = 2**30
TB = 2**40

_FIREHOSE_PAGE = "https://aws.amazon.com/firehose/pricing/"
_S3_PAGE = "https://aws.amazon.com/s3/pricing/"
_ATHENA_PAGE = "https://aws.amazon.com/athena/pricing/"
_CLOUDWATCH_PAGE = "https://aws.amazon.com/cloudwatch/pricing/"
_FARGATE_PAGE = "https://aws.amazon.com/fargate/pricing/"
_BALANCER_PAGE = "https://aws.amazon.com/elasticloadbalancing/pricing/"
_VPC_PAGE = "https://aws.amazon.com/vpc/pricing/"


@dataclass(frozen=True)
class Price:
    """A price in tiers: so many units at so many USD each, then the next."""

    tiers: tuple[tuple[float, float], ...]
    unit: str
    source: str

    def of(self, units: float) -> float:
        """Return USD for a month's units."""
        usd = 0.0
        for size, each in self.tiers:
            usd += min(units, size) * each
            units = max(0.0, units - size)
        return usd


@dataclass(frozen=True, kw_only=True)
class Prices:
    """List prices of us-east-1, without tax, discounts and free tiers.

    As last known, not read off the pages as they are today. Check before you rely on one.
    """

    as_of: str = "November 2026"

    firehose_gb: Price = Price(
        ((500 * 1024, 0.029), (1536 * 1024, 0.025), (math.inf, 0.020)),
        "GB of records through Direct PUT, each rounded up to 5 KB (5,120 bytes)",
        _FIREHOSE_PAGE,
    )
    s3_put: Price = Price(((math.inf, 0.005 / 1000),), "PUT or LIST request", _S3_PAGE)
    s3_get: Price = Price(((math.inf, 0.0004 / 1000),), "GET request", _S3_PAGE)
    s3_gb_month: Price = Price(
        ((50 * 1024, 0.023), (450 * 1024, 0.022), (math.inf, 0.021)),
        "GB in S3 Standard for a month",
        _S3_PAGE,
    )
    athena_tb: Price = Price(((math.inf, 5.0),), "TB scanned, at least 10 MB a query", _ATHENA_PAGE)
    alarm_metric: Price = Price(((math.inf, 0.10),), "metric of an alarm", _CLOUDWATCH_PAGE)
    dashboard: Price = Price(((math.inf, 3.00),), "dashboard", _CLOUDWATCH_PAGE)
    custom_metric: Price = Price(((10_000, 0.30),), "metric of a log filter", _CLOUDWATCH_PAGE)
    log_gb: Price = Price(((math.inf, 0.50),), "GB of log taken in", _CLOUDWATCH_PAGE)
    vcpu_hour: Price = Price(((math.inf, 0.04048),), "hour of a Fargate vCPU", _FARGATE_PAGE)
    memory_gb_hour: Price = Price(
        ((math.inf, 0.004445),), "hour of a GB of Fargate's memory", _FARGATE_PAGE
    )
    balancer_hour: Price = Price(((math.inf, 0.0225),), "hour of a load balancer", _BALANCER_PAGE)
    capacity_hour: Price = Price(
        ((math.inf, 0.008),),
        "hour of a capacity unit: 25 new connections a second, or 1 GB an hour",
        _BALANCER_PAGE,
    )
    address_hour: Price = Price(((math.inf, 0.005),), "hour of a public address", _VPC_PAGE)


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """What is known of the archive besides its events."""

    prices: Prices = Prices()
    seconds_a_month: int = 30 * 86_400
    rounding_bytes: int = 5_120
    buffer_s: int = 300
    buffer_bytes: int = 5 * 2**20
    """Before compression. Firehose takes both as hints, and at high volume it may fill several
    buffers side by side: the objects are then more and smaller."""
    gzip_ratio: float = 7.5
    """Measured, by tests/unit/test_costs.py: a full buffer of the demo's events, with ids, times
    and amounts drawn anew. Buffers with a few events only come to 5."""
    parquet_payload_ratio: float = 11.5
    """Payloads in Parquet with zstd, measured by the same test on the same events."""
    parquet_columns_bytes: float = 50.0
    """Of an event, all columns of `stripe_events` but the payload, measured there too."""
    parquet_ids_bytes: float = 23.0
    """Of an event, `id` and `received_at`, of which a MERGE reads those of two months."""
    merged_days: float = 2 * 3.2
    """The days that `compact` reads each day: three and the night, for their times, then merged."""
    days_on_top: float = 1.7
    """On average since the run of each night, which the view reads from the objects."""
    parquet_request_bytes: float = 8 * 2**20
    """That Athena gets in one request of a large file; assumed."""
    athena_least_bytes: int = 10 * 2**20
    partitions_a_year: int = 12 * 31
    """Months and days are projected apart from each other, 31 February included."""
    years_projected_before: int = 1
    """The table's range of years begins before the archive."""
    scan_limit_bytes: int = 100 * 2**30
    """The workgroup's, at which Athena stops a query."""
    log_line_bytes: int = 355
    """Measured, by tests/unit/test_costs.py: the line of a delivery, and the 26 bytes that
    CloudWatch adds to each."""
    task_vcpu: float = 0.25
    task_gb: float = 0.5
    zones: int = 2
    """The load balancer has a public address in each, and so has each task."""
    ecs_alarm_metrics: int = 5
    ecs_filters: int = 3


@dataclass(frozen=True)
class Usage:
    """What is archived and asked in a month."""

    events: int = 1_000_000
    event_bytes: int = 5_000
    """On average, as Stripe sends them."""
    months: int = 12
    """For how long by now: all of it is kept."""
    day_queries: int = 100
    """Queries with year, month and day in their WHERE."""
    archive_queries: int = 10
    """Queries of the view stripe_events, which reads every day there is."""
    alarm_metrics: int = 10
    """Of the stream."""
    dashboards: int = 1
    tasks: int = 2
    """Of the service, on ECS."""
    host_usd: float | None = None
    """What another host costs, in place of ECS with its log and alarms."""


@dataclass(frozen=True)
class Line:
    """One line of the bill: USD a month, and what for."""

    name: str
    usd: float
    what_for: str


@dataclass(frozen=True)
class Bill:
    """A month's bill."""

    usage: Usage
    aws: tuple[Line, ...]
    host: tuple[Line, ...]

    @property
    def aws_usd(self) -> float:
        """The sum of the archive, without what the service runs on."""
        return sum(line.usd for line in self.aws)

    @property
    def total_usd(self) -> float:
        """The sum."""
        return self.aws_usd + sum(line.usd for line in self.host)

    @property
    def usd_a_million(self) -> float:
        """The sum for each million of the month's events."""
        return self.total_usd / self.usage.events * 1e6


@dataclass(frozen=True)
class RecordShape:
    """How records follow from events, measured on examples/events with the service's `Record`."""

    spread: tuple[float, ...]
    """Each event's size as a part of their mean: rounding up hits small and large alike."""
    escaping: float
    """Bytes that a byte of an event takes as a JSON string."""
    columns_bytes: float
    """What else is in a record: columns, signature, names, newline."""

    def sizes(self, event_bytes: float) -> list[float]:
        """Return the bytes of records, of events with that mean and the demo's spread."""
        return [self.columns_bytes + self.escaping * event_bytes * part for part in self.spread]


@cache
def record_shape() -> RecordShape:
    """Return the shape of records, measured now."""
    events = [path.read_bytes() for path in sorted((PROJECT / "examples/events").glob("*.json"))]
    payloads = [len(json.dumps(event.decode(), ensure_ascii=False).encode()) for event in events]
    signature = f"t=1795000000,v1={'0' * 64}"
    moment = datetime(2026, 11, 23, tzinfo=UTC)
    records = [len(webhook_record(event, signature, moment).line()) for event in events]
    total = sum(map(len, events))
    return RecordShape(
        spread=tuple(len(event) * len(events) / total for event in events),
        # without the quotes around it
        escaping=(sum(payloads) - 2 * len(events)) / total,
        columns_bytes=(sum(records) - sum(payloads) + 2 * len(events)) / len(events),
    )


def billed_bytes(records: Iterable[float], rounding_bytes: int) -> float:
    """Return what Firehose bills a record of these on average, each rounded up by itself."""
    blocks = [math.ceil(size / rounding_bytes) for size in records]
    return sum(blocks) / len(blocks) * rounding_bytes


def bill(usage: Usage, given: Assumptions = Assumptions()) -> Bill:
    """Return what month number `usage.months` costs."""
    prices = given.prices
    sizes = record_shape().sizes(usage.event_bytes)
    record_bytes = sum(sizes) / len(sizes)
    firehose_gb = usage.events * billed_bytes(sizes, given.rounding_bytes) / GB
    data_bytes = usage.events * record_bytes
    objects = min(
        usage.events,
        max(given.seconds_a_month / given.buffer_s, math.ceil(data_bytes / given.buffer_bytes)),
    )
    stored_bytes = data_bytes / given.gzip_ratio
    kept_bytes = stored_bytes * usage.months
    kept_gb = kept_bytes / GB
    years = math.ceil(usage.months / 12) + given.years_projected_before
    lists = years * given.partitions_a_year
    a_day = _query(given, stored_bytes / 30, 1, objects / 30)
    all_days = _query(given, kept_bytes, lists, objects * usage.months)
    aws = (
        Line(
            "Firehose",
            prices.firehose_gb.of(firehose_gb),
            f"{firehose_gb:,.1f} GB: records of {record_bytes:,.0f} bytes, rounded up to 5 KB each",
        ),
        Line("S3 PUT", prices.s3_put.of(objects), f"{objects:,.0f} objects"),
        Line(
            "S3 storage",
            prices.s3_gb_month.of(kept_gb),
            f"{kept_gb:,.1f} GB of gzip, all that was ever archived",
        ),
        Line(
            "CloudWatch alarms",
            prices.alarm_metric.of(usage.alarm_metrics),
            f"{usage.alarm_metrics} x a metric",
        ),
        Line(
            "CloudWatch dashboard", prices.dashboard.of(usage.dashboards), f"{usage.dashboards} x"
        ),
        Line(
            "Athena, by day",
            usage.day_queries * a_day,
            f"{usage.day_queries} x a day's folder",
        ),
        Line(
            "Athena, everything",
            usage.archive_queries * all_days,
            f"{usage.archive_queries} x the view: {kept_gb:,.1f} GB, {lists:,} LIST, "
            f"{objects * usage.months:,.0f} GET each",
        ),
        Line("all else", 0.0, "versions, encryption, transfer in, e-mail alarms, error log"),
    )
    return Bill(usage, aws, _host(usage, given))


def _host(usage: Usage, given: Assumptions) -> tuple[Line, ...]:
    """Return the lines of where the service runs: ECS, or one line of another host's."""
    if usage.host_usd is not None:
        return (Line("host", usage.host_usd, "where the service itself runs"),)
    prices = given.prices
    hours = given.seconds_a_month / 3600
    task_hour = prices.vcpu_hour.of(given.task_vcpu) + prices.memory_gb_hour.of(given.task_gb)
    gb_hour = usage.events * usage.event_bytes / GB / hours
    capacity = max(usage.events / given.seconds_a_month / 25, gb_hour)
    addresses = usage.tasks + given.zones
    log_gb = usage.events * given.log_line_bytes / GB
    return (
        Line(
            "Fargate",
            usage.tasks * hours * task_hour,
            f"{usage.tasks} tasks of {given.task_vcpu} vCPU and {given.task_gb} GB",
        ),
        Line(
            "load balancer",
            prices.balancer_hour.of(hours) + prices.capacity_hour.of(hours * capacity),
            f"one, and {capacity:,.2f} capacity units",
        ),
        Line(
            "public addresses",
            prices.address_hour.of(hours * addresses),
            f"{addresses}: of the tasks, and of the load balancer in {given.zones} zones",
        ),
        Line("log", prices.log_gb.of(log_gb), f"{log_gb:,.1f} GB, a line for each event"),
        Line(
            "alarms on ECS",
            prices.alarm_metric.of(given.ecs_alarm_metrics)
            + prices.custom_metric.of(given.ecs_filters),
            f"{given.ecs_alarm_metrics} x a metric, {given.ecs_filters} x a log filter",
        ),
    )


def month_of_the_scan_limit(events: int, given: Assumptions = Assumptions()) -> int:
    """Return the first month in which the workgroup's limit stops a query of the view."""
    sizes = record_shape().sizes(Usage().event_bytes)
    kept_a_month = events * sum(sizes) / len(sizes) / given.gzip_ratio
    return math.floor(given.scan_limit_bytes / kept_a_month) + 1


def compacted_month_of_the_scan_limit(
    events: int, with_payload: bool, given: Assumptions = Assumptions()
) -> int:
    """Return the first month in which it stops one of all other columns, or of all, compacted."""
    sizes = record_shape().sizes(Usage().event_bytes)
    on_top = events * sum(sizes) / len(sizes) / given.gzip_ratio / 30 * given.days_on_top
    payload = Usage().event_bytes / given.parquet_payload_ratio if with_payload else 0.0
    kept_a_month = events * (given.parquet_columns_bytes + payload)
    return math.floor((given.scan_limit_bytes - on_top) / kept_a_month) + 1


@dataclass(frozen=True)
class Compaction:
    """What an archive costs with `flask archive compact` once a day, in USD."""

    objects_query: float
    """A query of `stripe_events` without it, whatever the query reads."""
    payload_query: float
    """A query of it with it, that reads payloads, as the models do."""
    columns_query: float
    """A query of it with it, that reads every other column."""
    merges_a_month: float
    """The runs of a month."""
    stored_a_month: float
    """The table, in S3 for a month."""

    @property
    def pays_from(self) -> int:
        """Queries a month of columns alone from which it costs less than it saves."""
        saved = self.objects_query - self.columns_query
        return math.ceil((self.merges_a_month + self.stored_a_month) / saved)


def compaction(usage: Usage, given: Assumptions = Assumptions()) -> Compaction:
    """Return what compaction costs and saves in month number `usage.months`."""
    sizes = record_shape().sizes(usage.event_bytes)
    data_bytes = usage.events * sum(sizes) / len(sizes)
    objects = min(
        usage.events,
        max(given.seconds_a_month / given.buffer_s, math.ceil(data_bytes / given.buffer_bytes)),
    )
    stored = data_bytes / given.gzip_ratio
    kept_events = usage.events * usage.months
    columns = kept_events * given.parquet_columns_bytes
    table = columns + kept_events * usage.event_bytes / given.parquet_payload_ratio
    years = math.ceil(usage.months / 12) + given.years_projected_before
    on_top, gets_on_top = stored / 30 * given.days_on_top, objects / 30 * given.days_on_top

    def over_table(size: float) -> float:
        gets = size / given.parquet_request_bytes + gets_on_top
        return _query(given, size + on_top, given.days_on_top, gets)

    ids = usage.events * min(2, usage.months) * given.parquet_ids_bytes
    run = _query(
        given,
        stored / 30 * given.merged_days + ids,
        given.merged_days,
        objects / 30 * given.merged_days,
    )
    return Compaction(
        objects_query=_query(
            given,
            stored * usage.months,
            years * given.partitions_a_year,
            objects * usage.months,
        ),
        payload_query=over_table(table),
        columns_query=over_table(columns),
        merges_a_month=30 * run,
        stored_a_month=given.prices.s3_gb_month.of(table / GB),
    )


def _query(given: Assumptions, scanned_bytes: float, lists: float, gets: float) -> float:
    """Return USD for one query of Athena, S3's requests included."""
    prices = given.prices
    billed_tb = max(scanned_bytes, given.athena_least_bytes) / TB
    return prices.athena_tb.of(billed_tb) + prices.s3_put.of(lists) + prices.s3_get.of(gets)


def as_text(a_bill: Bill) -> str:
    """Return a bill as a table for people."""
    usage = a_bill.usage
    each = f"{usage.events:,} events of {usage.event_bytes:,} bytes a month, month {usage.months}"
    sums = [
        Line("total", a_bill.total_usd, ""),
        Line("a million events", a_bill.usd_a_million, ""),
    ]
    lines = [*a_bill.aws, Line("the archive", a_bill.aws_usd, ""), *a_bill.host, *sums]
    rows = [f"{line.name:<22} {line.usd:>12,.2f}   {line.what_for}".rstrip() for line in lines]
    return "\n".join([f"{each}; USD, list prices of us-east-1", "", *rows])


def as_json(a_bill: Bill) -> str:
    """Return a bill as a JSON object."""
    sums = {"aws_usd": a_bill.aws_usd, "total_usd": a_bill.total_usd}
    return json.dumps(asdict(a_bill) | sums | {"usd_a_million": a_bill.usd_a_million}, indent=2)


def example_table() -> str:
    """Return the bill of a million events a month, in Markdown."""
    return f"```text\n{as_text(bill(Usage()))}\n```"


def growth_table() -> str:
    """Return the bills of a million events a month to a billion, in Markdown."""
    steps = {"1 million": 10**6, "10 million": 10**7, "100 million": 10**8, "1 billion": 10**9}
    bills = [bill(Usage(events=events)) for events in steps.values()]

    def rows_of(part: str) -> list[list[str]]:
        lines = zip(*(getattr(one, part) for one in bills), strict=True)
        return [
            [row[0].name, *(f"{line.usd:,.2f}" for line in row)]
            for row in lines
            if row[0].name != "all else"
        ]

    rows = rows_of("aws")
    rows.append(["**the archive, month 12**", *(f"**{one.aws_usd:,.2f}**" for one in bills)])
    for months in (1, 36):
        others = [bill(Usage(events, months=months)) for events in steps.values()]
        rows.append([f"the archive, month {months}", *(f"{one.aws_usd:,.2f}" for one in others)])
    rows += rows_of("host")
    rows.append(["**total, month 12**", *(f"**{one.total_usd:,.2f}**" for one in bills)])
    rows.append(["a million events", *(f"{one.usd_a_million:,.2f}" for one in bills)])
    limits = [f"{month_of_the_scan_limit(events):,}" for events in steps.values()]
    rows.append(["a query of the view is stopped from month", *limits])
    return _markdown(["USD a month", *steps], rows)


def compaction_table() -> str:
    """Return what queries cost with and without compaction, in Markdown."""
    steps = {"1 million": 10**6, "100 million": 10**8, "1 billion": 10**9}
    found = [compaction(Usage(events=events)) for events in steps.values()]
    names = {
        "objects_query": "a query of `stripe_events`, without",
        "payload_query": "with, one that reads payloads, as the models do",
        "columns_query": "with, one that reads all other columns",
        "merges_a_month": "`compact` every day, a month",
        "stored_a_month": "the table in S3, a month",
    }
    rows = [
        [text, *(f"{getattr(one, name):,.4f}" for one in found)] for name, text in names.items()
    ]
    rows.append(
        [
            "cheaper from so many queries of columns a month",
            *(f"{one.pays_from:,}" for one in found),
        ]
    )
    return _markdown(["USD, month 12", *steps], rows)


def prices_table() -> str:
    """Return the prices, their units and sources, in Markdown."""
    prices = [getattr(Prices(), field.name) for field in fields(Prices)]
    rows = [
        [price.unit, _tiers(price), f"<{price.source}>"]
        for price in prices
        if isinstance(price, Price)
    ]
    return _markdown(["for each", f"USD, {Prices.as_of}", "source"], rows)


def _tiers(price: Price) -> str:
    steps, reached = [], 0.0
    for size, usd in price.tiers:
        reached += size
        upto = f" up to {reached:,.0f}" if reached < math.inf else ""
        steps.append(f"{usd:.7f}".rstrip("0").rstrip(".") + upto)
    return ", then ".join(steps)


def _markdown(heading: list[str], rows: list[list[str]]) -> str:
    right = ["---", *["---:"] * (len(heading) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [heading, right, *rows])


TABLES: dict[str, Callable[[], str]] = {
    "example": example_table,
    "growth": growth_table,
    "compaction": compaction_table,
    "prices": prices_table,
}


def renewed(text: str) -> str:
    """Return a document with each table between its marks as it should be now.

    Raises:
        ValueError: a mark is missing, or there twice.
    """
    for name, table in TABLES.items():
        begin, end = f"<!-- {name}: python -m deploy.costs --document -->\n", f"<!-- /{name} -->"
        before, rest = text.split(begin)
        _, after = rest.split(end)
        text = f"{before}{begin}{table()}\n{end}{after}"
    return text


@click.command()
@click.option("--events", type=click.IntRange(1), default=1_000_000, help="Events a month.")
@click.option(
    "--bytes",
    "event_bytes",
    type=click.IntRange(1, 500_000),
    default=5_000,
    help="Bytes of an event, on average.",
)
@click.option("--months", type=click.IntRange(1), default=12, help="Months kept by then.")
@click.option("--day-queries", type=click.IntRange(0), default=100, help="Athena, of a day each.")
@click.option(
    "--archive-queries", type=click.IntRange(0), default=10, help="Athena, of the whole archive."
)
@click.option(
    "--alarms",
    type=click.IntRange(0),
    default=10,
    help="The stream's metrics with an alarm; 0 while the account's first ten are free.",
)
@click.option(
    "--dashboards",
    type=click.IntRange(0),
    default=1,
    help="0 while the account's first three are free.",
)
@click.option("--tasks", type=click.IntRange(1), default=2, help="Tasks of the service on ECS.")
@click.option(
    "--host",
    type=click.FloatRange(0),
    help="USD a month for another host, in place of ECS with its log and alarms.",
)
@click.option("--json", "in_json", is_flag=True, help="Print JSON.")
@click.option("--document", is_flag=True, help="Write the tables of docs/COSTS.md instead.")
def main(
    events: int,
    event_bytes: int,
    months: int,
    day_queries: int,
    archive_queries: int,
    alarms: int,
    dashboards: int,
    tasks: int,
    host: float | None,
    in_json: bool,
    document: bool,
) -> None:
    """Print what a month of the archive costs, line by line. Every default is shown in it.

    \b
    Example:
        python -m deploy.costs --events 1000000 --bytes 5000 --months 12
    """  # noqa: D301 - click wants the character itself
    if document:
        path = PROJECT / "docs/COSTS.md"
        path.write_text(renewed(path.read_text()))
        return
    usage = Usage(
        events, event_bytes, months, day_queries, archive_queries, alarms, dashboards, tasks, host
    )
    click.echo(as_json(bill(usage)) if in_json else as_text(bill(usage)))


if __name__ == "__main__":
    main()
