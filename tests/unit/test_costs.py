import gzip
import json
import random
import re
import shlex
import string
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from archive_tools.querying.compacting import compact
from archive_tools.querying.duckdb_engine import open_duckdb
from archive_tools.storage import FolderStorage
from deploy.costs import (
    GB,
    PROJECT,
    Assumptions,
    Bill,
    Prices,
    Usage,
    as_text,
    bill,
    billed_bytes,
    compacted_month_of_the_scan_limit,
    compaction,
    main,
    month_of_the_scan_limit,
    record_shape,
    renewed,
)
from tests.deployment import ecs, targets
from tests.support.service import running
from tests.support.stripe_client import SECRET, deliver
from webhook_app.events.record import webhook_record

DOCUMENT = PROJECT / "docs/COSTS.md"
PRICES = Prices()
ROUNDING = Assumptions().rounding_bytes


def usd(a_bill: Bill, name: str) -> float:
    (line,) = [line for line in a_bill.aws if line.name == name]
    return line.usd


def what_for(a_bill: Bill, name: str) -> str:
    (line,) = [line for line in a_bill.aws if line.name == name]
    return line.what_for


@pytest.mark.parametrize(
    ("size", "billed"),
    [(1, 5), (3 * 1024, 5), (5120, 5), (5121, 10), (12 * 1024, 15), (42 * 1024, 45)],
)
def test_a_record_is_billed_in_steps_of_5_kb(size: int, billed: int) -> None:
    """3, 12 and 42 KB are the examples of AWS's own page."""
    assert billed_bytes([size], ROUNDING) == billed * 1024


def test_each_record_is_rounded_up_by_itself() -> None:
    assert billed_bytes([1, 1, 5121], ROUNDING) == pytest.approx((5120 + 5120 + 10240) / 3)


def test_a_price_in_tiers_charges_each_part_at_its_own() -> None:
    assert PRICES.firehose_gb.of(0) == 0
    assert PRICES.firehose_gb.of(512_000) == pytest.approx(512_000 * 0.029)
    assert PRICES.firehose_gb.of(512_001) == pytest.approx(512_000 * 0.029 + 0.025)
    all_tiers = 512_000 * 0.029 + 1_572_864 * 0.025 + 100 * 0.020
    assert PRICES.firehose_gb.of(512_000 + 1_572_864 + 100) == pytest.approx(all_tiers)
    assert PRICES.s3_gb_month.of(51_201) == pytest.approx(51_200 * 0.023 + 0.022)


def test_every_price_has_a_unit_and_a_page_of_aws() -> None:
    prices = [price for name, price in vars(PRICES).items() if name != "as_of"]
    assert len(prices) == 14
    for price in prices:
        assert price.unit
        assert price.source.startswith("https://aws.amazon.com/")


def test_a_million_records_of_5_kb_cost_what_is_known_of_the_field() -> None:
    """Firehose $0.14 where all fit exactly, $0.21 with half a step lost on each."""
    exactly = billed_bytes([5120], ROUNDING) * 1e6 / GB
    assert PRICES.firehose_gb.of(exactly) == pytest.approx(0.14, abs=0.005)
    spread = billed_bytes([5120 - 2560, 5120 + 2560], ROUNDING) * 1e6 / GB
    assert PRICES.firehose_gb.of(spread) == pytest.approx(0.21, abs=0.005)


def test_a_million_events_of_5_kb_cost_a_little_more_than_records_of_5_kb() -> None:
    first = bill(Usage(events=1_000_000, event_bytes=5_000, months=1))
    assert 0.21 < usd(first, "Firehose") < 0.28
    assert usd(first, "S3 PUT") == pytest.approx(0.045, abs=0.002)
    assert 0.01 < usd(first, "S3 storage") < 0.025


def test_storage_grows_with_every_month_and_ingestion_does_not() -> None:
    first, third = (bill(Usage(months=months)) for months in (1, 3))
    assert usd(third, "S3 storage") == pytest.approx(3 * usd(first, "S3 storage"))
    for name in ("Firehose", "S3 PUT", "Athena, by day"):
        assert usd(third, name) == usd(first, name)


@pytest.mark.parametrize(
    ("events", "objects"),
    [
        (100, "100 objects"),
        (1_000_000, "8,640 objects"),
        (10_000_000, "11,500 objects"),
    ],
)
def test_an_object_is_written_by_whichever_hint_comes_first(events: int, objects: str) -> None:
    assert what_for(bill(Usage(events=events)), "S3 PUT") == objects


def test_a_query_is_billed_10_mb_at_least() -> None:
    one = bill(Usage(events=1, day_queries=1, archive_queries=0))
    requests = 0.005 / 1000 + 0.0004 / 1000 / 30
    assert usd(one, "Athena, by day") == pytest.approx(5 * 10 * 2**20 / 2**40 + requests)


def test_a_query_of_everything_scans_lists_and_gets_all_there_is() -> None:
    one = bill(Usage(months=24, archive_queries=1))
    kept_tb = usd(one, "S3 storage") / 0.023 / 1024
    lists, gets = 3 * 372, 24 * 8640
    assert usd(one, "Athena, everything") == pytest.approx(
        5 * kept_tb + lists * 0.005 / 1000 + gets * 0.0004 / 1000
    )


def test_partitions_are_counted_as_the_table_projects_them() -> None:
    ddl = (PROJECT / "deploy/athena/stripe_webhooks.sql").read_text()
    ranges = dict(re.findall(r"'projection\.(\w+)\.range' = '([^']+)'", ddl))
    assert ranges == {"year": "2025,NOW", "month": "1,12", "day": "1,31"}
    assert Assumptions().partitions_a_year == 12 * 31


def test_the_buffer_is_the_one_that_the_stream_has() -> None:
    template = (PROJECT / "deploy/cloudformation.yaml").read_text()
    for name, default in (("BufferIntervalSeconds", "300"), ("BufferSizeMegabytes", "5")):
        block = template[template.index(f"\n  {name}:") :]
        assert re.search(r"\bDefault: (\d+)", block)[1] == default  # type: ignore[index]
    assert (Assumptions().buffer_s, Assumptions().buffer_bytes) == (300, 5 * 2**20)


def test_alarms_and_dashboard_fall_away_where_they_are_free() -> None:
    with_both, without = bill(Usage()), bill(Usage(alarm_metrics=0, dashboards=0))
    assert with_both.aws_usd - without.aws_usd == pytest.approx(4.00)


def test_another_host_is_a_line_of_its_own() -> None:
    one = bill(Usage(host_usd=7))
    assert one.total_usd == pytest.approx(one.aws_usd + 7)
    assert one.usd_a_million == pytest.approx(one.total_usd)
    ten = bill(Usage(events=10_000_000, host_usd=7))
    assert ten.usd_a_million == pytest.approx(ten.total_usd / 10)
    assert bill(Usage(host_usd=0)).total_usd == one.aws_usd


def host(name: str, **usage: int) -> float:
    (line,) = [line for line in bill(Usage(**usage)).host if line.name == name]
    return line.usd


def test_the_service_on_ecs_costs_what_its_parts_do() -> None:
    hours = 720
    task = 0.25 * 0.04048 + 0.5 * 0.004445
    assert host("Fargate") == pytest.approx(2 * hours * task)
    assert host("Fargate", tasks=4) == pytest.approx(4 * hours * task)
    assert host("public addresses") == pytest.approx(4 * hours * 0.005)
    # 386 connections a second are more of a capacity unit than 6.5 GB an hour
    units = 10**9 / (30 * 86_400) / 25
    balancer = hours * (0.0225 + 0.008 * units)
    assert host("load balancer", events=10**9) == pytest.approx(balancer)
    # with larger events the bytes are
    large = bill(Usage(events=10**9, event_bytes=50_000)).host[1].usd
    assert large == pytest.approx(hours * 0.0225 + 0.008 * 10**9 * 50_000 / GB)
    assert host("alarms on ECS") == pytest.approx(5 * 0.10 + 3 * 0.30)
    assert host("log", events=10**9) == pytest.approx(355e9 / GB * 0.50)


def test_what_ecs_has_is_what_its_template_makes() -> None:
    stack = ecs.Stack(**ecs.GIVEN, **ecs.SERVING)
    task, given = stack.task("ServiceTask"), Assumptions()
    assert (int(task["cpu"]) / 1024, int(task["memory"]) / 1024) == (given.task_vcpu, given.task_gb)
    assert len(stack.of("AWS::Logs::MetricFilter")) == given.ecs_filters
    metrics = 0
    for alarm in stack.of("AWS::CloudWatch::Alarm").values():
        metrics += sum("MetricStat" in each for each in alarm.get("Metrics", [{"MetricStat": 1}]))
    assert metrics == given.ecs_alarm_metrics
    assert Usage().tasks == targets.express_service()["scalingTarget"]["minTaskCount"]


def test_a_line_of_the_log_is_as_long_as_is_assumed(tmp_path: Path) -> None:
    variables = {"STRIPE_WEBHOOK_SECRET": SECRET, "ARCHIVE_DIR": str(tmp_path / "archive")}
    with running({**variables, "WEB_WORKERS": "1"}, tmp_path / "log") as service:
        for event in sorted((PROJECT / "examples/events").glob("*.json")):
            assert deliver(service.port, event.read_bytes()).status == 200
        lines = [line for line in service.log.read_text().splitlines() if '"archived"' in line]
    assert len(lines) == 17
    mean = sum(map(len, lines)) / len(lines)
    assert mean + 26 == pytest.approx(Assumptions().log_line_bytes, rel=0.05)
    assert "some 330 bytes" in DOCUMENT.read_text()


def test_the_workgroups_limit_is_reached_when_the_document_says() -> None:
    template = (PROJECT / "deploy/cloudformation.yaml").read_text()
    block = template[template.index("\n  ScanLimitBytes:") :]
    limit = int(re.search(r"\bDefault: (\d+)", block)[1])  # type: ignore[index]
    assert limit == Assumptions().scan_limit_bytes
    for events in (10**6, 10**7, 10**8, 10**9):
        month = month_of_the_scan_limit(events)
        kept = [bill(Usage(events, months=at)).aws[2].what_for for at in (max(1, month - 1), month)]
        before, then = (float(text.split()[0].replace(",", "")) for text in kept)
        assert then >= 100
        assert before < 100 or month == 1
    assert month_of_the_scan_limit(10**8) == 2


def test_the_shape_of_records_gives_back_their_bytes() -> None:
    events = [path.read_bytes() for path in (PROJECT / "examples/events").glob("*.json")]
    mean = sum(map(len, events)) / len(events)
    signature = f"t=1795000000,v1={'0' * 64}"
    now = datetime(2026, 11, 23, tzinfo=UTC)
    records = [len(webhook_record(event, signature, now).line()) for event in events]
    assert sum(record_shape().sizes(mean)) == pytest.approx(sum(records))
    assert sum(record_shape().spread) == pytest.approx(len(events))


def test_a_buffer_of_events_becomes_as_much_smaller_as_is_assumed(tmp_path: Path) -> None:
    """Each event is one of the demo's with every id, time and amount drawn anew.

    The demo's own 17 over and over would be found again by gzip, and look 100 times smaller.
    """
    chance = random.Random(7)
    letters = string.ascii_letters + string.digits

    def drawn(word: re.Match[str]) -> str:
        head, separator, tail = word[0].rpartition("_")
        if word[0].isdigit() and len(word[0]) > 1:
            return str(chance.randrange(10 ** (len(word[0]) - 1), 10 ** len(word[0])))
        if len(tail) >= 8 and re.search(r"\d", tail) and re.search(r"[a-zA-Z]", tail):
            return head + separator + "".join(chance.choices(letters, k=len(tail)))
        return word[0]

    events = [path.read_text() for path in sorted((PROJECT / "examples/events").glob("*.json"))]
    arrival = datetime(2026, 11, 23, tzinfo=UTC)
    buffer = bytearray()
    while len(buffer) < Assumptions().buffer_bytes:
        arrival += timedelta(microseconds=chance.randrange(10**6))
        body = re.sub(r"\w+", drawn, chance.choice(events))
        signature = f"t={int(arrival.timestamp())},v1={chance.randbytes(32).hex()}"
        buffer += webhook_record(body.encode(), signature, arrival).line()
    packed = gzip.compress(buffer, 6)
    assert len(buffer) / len(packed) == pytest.approx(Assumptions().gzip_ratio, rel=0.1)
    _check_parquet(packed, tmp_path)


def _check_parquet(packed: bytes, folder: Path) -> None:
    """The same buffer, compacted: what each column takes."""
    path = folder / "webhooks/year=2026/month=11/day=23/one.json.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(packed)
    with open_duckdb(FolderStorage(folder, "archive")) as engine:
        summary, faults = compact(engine)
        assert not faults
        sizes: dict[str, int] = dict(
            engine.database.rows(
                "SELECT path_in_schema, sum(total_compressed_size) "
                f"FROM parquet_metadata('{folder}/parquet/*/*/*.parquet') GROUP BY 1"
            )
        )
        ((payloads,),) = engine.database.rows(
            f"SELECT sum(strlen(payload)) FROM '{folder}/parquet/*/*/*.parquet'"
        )
    given, events = Assumptions(), summary.events
    assert payloads / sizes["payload"] == pytest.approx(given.parquet_payload_ratio, rel=0.1)
    others = sum(sizes.values()) - sizes["payload"]
    assert others / events == pytest.approx(given.parquet_columns_bytes, rel=0.1)
    ids = sizes["id"] + sizes["received_at"]
    assert ids / events == pytest.approx(given.parquet_ids_bytes, rel=0.1)


def test_the_document_holds_what_the_calculator_says_now() -> None:
    text = DOCUMENT.read_text()
    assert renewed(text) == text, "run `python -m deploy.costs --document`"
    with pytest.raises(ValueError, match="not enough values"):
        renewed(text.replace("<!-- /growth -->", ""))


def test_the_documents_words_name_the_calculators_figures() -> None:
    text = DOCUMENT.read_text()
    shape = record_shape()
    sizes = shape.sizes(5_000)
    first = bill(Usage(months=1))
    billion = Usage(events=10**9)
    large_buffers = bill(billion, Assumptions(buffer_bytes=128 * 2**20))
    mean = sum(sizes) / len(sizes)

    def gzip_bytes(events: int) -> float:
        return events * mean / Assumptions().gzip_ratio

    for words in (
        f"Firehose ${usd(first, 'Firehose'):.2f} and S3's PUTs ${usd(first, 'S3 PUT'):.2f}",
        f"and ${usd(first, 'S3 storage'):.2f} more each month",
        f"{shape.escaping:.2f} times",
        f"another {shape.columns_bytes:.0f}",
        f"records of {mean:,.0f} on average",
        f"billed as {billed_bytes(sizes, ROUNDING):,.0f}",
        f"PUTs cost ${usd(bill(billion), 'S3 PUT'):.2f}, with 128 MiB "
        f"${usd(large_buffers, 'S3 PUT'):.2f}",
        f"gzip makes them {Assumptions().gzip_ratio} times smaller",
        f"some {gzip_bytes(10**6) / 8640 / 1e3:.0f} KB each",
        f"some {gzip_bytes(10**7) / 11500 / 1e6:.1f} MB of gzip",
        f"| {sum(line.usd for line in first.host):.2f} | Fargate",
        f"| {sum(line.usd for line in bill(Usage(tasks=1)).host):.2f} | the same with one",
        f"${usd(first, 'CloudWatch alarms') + usd(first, 'CloudWatch dashboard'):.2f}, are zero",
        f"${host('log', events=10**9):.0f} a month at a billion",
        f"full after {5 * 2**20 * 2_592_000 / (10**8 * mean):.0f} s",
        f"and {10**9 * mean / 2_592_000 / 2**20:.1f} MiB/s on average",
    ):
        assert words in " ".join(text.split()), words


def test_requests_are_half_of_what_a_query_of_everything_costs() -> None:
    one = bill(Usage(archive_queries=1))
    scanned = usd(one, "S3 storage") / 0.023 / 1024 * 5
    assert scanned / usd(one, "Athena, everything") == pytest.approx(0.5, abs=0.05)


def test_of_a_hundred_million_events_queries_of_everything_cost_most() -> None:
    one = bill(Usage(events=10**8))
    assert usd(one, "Athena, everything") > one.aws_usd / 2 > 0


def test_every_command_of_the_document_runs() -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines()]
    assert commands
    for command in commands:
        assert command.startswith("python -m deploy.costs ")
        result = CliRunner().invoke(main, shlex.split(command)[3:])
        assert result.exit_code == 0
        assert result.output == as_text(bill(Usage())) + "\n"


def test_json_has_the_same_lines_and_sums() -> None:
    arguments = ["--events", "5000000", "--bytes", "2000", "--months", "3", "--host", "0", "--json"]
    result = CliRunner().invoke(main, [*arguments, "--alarms", "0", "--dashboards", "0"])
    told = json.loads(result.output)
    expected = bill(Usage(5_000_000, 2_000, months=3, host_usd=0, alarm_metrics=0, dashboards=0))
    assert [line["name"] for line in told["aws"]] == [line.name for line in expected.aws]
    assert told["total_usd"] == pytest.approx(sum(line["usd"] for line in told["aws"]))
    assert told["aws_usd"] == pytest.approx(expected.aws_usd)
    assert told["usage"]["events"] == 5_000_000


def test_the_document_is_written_where_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docs").mkdir()
    copy = tmp_path / "docs/COSTS.md"
    text = DOCUMENT.read_text()
    copy.write_text(text.replace("| S3 PUT |", "| S3 POT |"))
    # measured before the folder with the demo's events is out of reach
    record_shape()
    monkeypatch.setattr("deploy.costs.PROJECT", tmp_path)
    assert CliRunner().invoke(main, ["--document"]).exit_code == 0
    assert copy.read_text() == text


def test_nonsense_is_refused() -> None:
    for arguments in (["--events", "0"], ["--bytes", "0"], ["--months", "-1"], ["--host", "x"]):
        assert CliRunner().invoke(main, arguments).exit_code == 2


def test_compaction_is_cheaper_by_what_a_query_does_not_read() -> None:
    one, ten = (compaction(Usage(events=events)) for events in (10**8, 10**9))
    assert one.columns_query < one.payload_query < one.objects_query
    assert ten.columns_query == pytest.approx(10 * one.columns_query, rel=0.01)
    # from so many queries on, and not before, it pays
    spent = one.merges_a_month + one.stored_a_month
    saved = one.objects_query - one.columns_query
    assert (one.pays_from - 1) * saved < spent <= one.pays_from * saved
    text = " ".join(DOCUMENT.read_text().split())
    payload = Usage().event_bytes / Assumptions().parquet_payload_ratio
    sizes = record_shape().sizes(Usage().event_bytes)
    packed = sum(sizes) / len(sizes) / Assumptions().gzip_ratio
    assert f"{payload:.0f} bytes of 5,000, to gzip's {packed:.0f}" in text
    assert f"some {Assumptions().parquet_columns_bytes:.0f} bytes an event" in text
    assert packed / Assumptions().parquet_columns_bytes == pytest.approx(16, abs=0.5)
    whole = payload + Assumptions().parquet_columns_bytes
    assert whole / packed == pytest.approx(3 / 5, abs=0.02)


def test_the_scaling_guide_names_the_months_with_compaction() -> None:
    text = (PROJECT / "docs/SCALING.md").read_text()
    for name, events in {"1 million": 10**6, "10 million": 10**7, "100 million": 10**8,
                         "1 billion": 10**9}.items():  # fmt: skip
        months = (
            month_of_the_scan_limit(events),
            compacted_month_of_the_scan_limit(events, True),
            compacted_month_of_the_scan_limit(events, False),
        )
        assert f"| {name} | {' | '.join(f'{month:,}' for month in months)} |" in text


def test_the_scaling_guide_names_the_same_months() -> None:
    text = (PROJECT / "docs/SCALING.md").read_text()
    assert "100 GiB" in text
    assert f"at 10 million events a month that is in month {month_of_the_scan_limit(10**7)}" in text
    assert month_of_the_scan_limit(10**8) == 2
    assert "at 100 million in the second" in text
