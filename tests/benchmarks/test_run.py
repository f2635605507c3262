"""One short run of the benchmark, with everything in it but the length."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from tests.bench import scenarios, stages
from tests.bench.performance import RESULTS, keep
from tests.bench.pictures import PICTURES
from tests.bench.results import Results, read
from tests.bench.tables import TABLES


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Path]:
    """The results, and the folder that they and their pictures are in."""
    folder = tmp_path_factory.mktemp("bench")
    patch = pytest.MonkeyPatch()
    # 37 workers and 200 ms take their time, and show nothing that these do not
    patch.setattr(scenarios, "LATENCIES_MS", (20, 50))
    patch.setattr(scenarios, "THREADS", ((2, 1), (1, 2)))
    try:
        results = scenarios.measured(0.1, lambda words: None, workers=(1, 3))
    finally:
        patch.undo()
    keep(results, folder)
    return results, folder


def test_what_was_written_is_what_was_measured(run: tuple[Results, Path]) -> None:
    results, folder = run
    assert read(folder / RESULTS) == results
    written = json.loads((folder / RESULTS).read_text())
    assert set(written) == {field.name for field in fields(Results)}
    assert written["cpu"]["served"].keys() >= {
        "p50_ms",
        "p99_ms",
        "p999_ms",
        "events_per_s",
        "errors",
    }


def test_every_delivery_was_acknowledged(run: tuple[Results, Path]) -> None:
    assert run[0].errors == 0


def test_the_figures_are_plausible(run: tuple[Results, Path]) -> None:
    results = run[0]
    assert 50 < results.cpu.us_per_event < 5_000
    assert 0 <= results.cpu.system_us_per_event < results.cpu.us_per_event
    assert 0 < results.latency.added_p50_ms <= results.latency.added_p99_ms < 500
    assert all(0.1 < seconds < 20 for seconds in results.boot_s)
    assert 30 < results.first_worker_mb < 150
    assert 2 < results.next_worker_mb < 50
    assert all(30 < row.pss_mb < 300 for row in [*results.throughput, *results.threads])


def test_no_more_is_acknowledged_than_there_is_time_for(run: tuple[Results, Path]) -> None:
    results = run[0]
    for row in [*results.throughput, *results.threads]:
        assert 0.2 * row.ideal_per_s < row.served.events_per_s < 1.02 * row.ideal_per_s
        assert row.firehose_ms <= row.served.p50_ms


def test_stages_add_up_to_the_whole(run: tuple[Results, Path]) -> None:
    results = run[0]
    assert tuple(stage.name for stage in results.stages) == stages.NAMES
    assert all(stage.us_per_event > 0 for stage in results.stages[1:])
    together = sum(stage.us_per_event for stage in results.stages)
    assert together == pytest.approx(results.cpu.us_per_event, abs=1)


def test_pictures_are_pictures(run: tuple[Results, Path]) -> None:
    for name in PICTURES:
        picture = (run[1] / f"{name}.png").read_bytes()
        assert picture.startswith(b"\x89PNG\r\n\x1a\n")
        width, height = (int.from_bytes(picture[at : at + 4]) for at in (16, 20))
        assert 1000 <= width <= 1600
        assert 400 <= height <= 900
        assert 8_000 < len(picture) < 200_000


def test_every_table_has_its_lines(run: tuple[Results, Path]) -> None:
    for made in TABLES.values():
        assert made(run[0])
    assert TABLES["throughput"](run[0]).count("\n") == 3
    assert TABLES["threads"](run[0]).count("\n") == 3
