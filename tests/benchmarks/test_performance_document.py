"""docs/PERFORMANCE.md says what its results say, and its sizes are right."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.bench import performance, scenarios
from tests.bench.performance import DOCUMENT, PUBLISHED, RESULTS, digest, main
from tests.bench.pictures import PICTURES
from tests.bench.results import Results, read
from tests.bench.scenarios import memory_line
from tests.bench.sizing import PLATFORM_SIZES, PlatformSize, Rate, rate
from tests.bench.tables import renewed, table
from webhook_app.serving.capacity import worker_count


@pytest.fixture(scope="module")
def published() -> Results:
    return read(PUBLISHED / RESULTS)


def test_the_document_holds_what_its_results_say(published: Results) -> None:
    text = DOCUMENT.read_text()
    assert renewed(text, published) == text, "run `python -m tests.bench.performance --document`"
    with pytest.raises(ValueError, match="not enough values"):
        renewed(text.replace("<!-- /sizes -->", ""), published)


def test_the_pictures_show_these_results() -> None:
    assert {path.stem for path in PUBLISHED.glob("*.png")} == set(PICTURES)
    for name in PICTURES:
        picture = (PUBLISHED / f"{name}.png").read_bytes()
        assert digest(PUBLISHED / RESULTS).encode() in picture, name


def test_what_is_published_was_measured_in_full(published: Results) -> None:
    assert published.seconds >= 1
    assert published.errors == 0


def test_a_run_is_published_whole(
    published: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Into a copy: its results, its pictures, and the document's tables."""
    for name in ("LATEST", "PUBLISHED", "DOCUMENT"):
        monkeypatch.setattr(performance, name, tmp_path / name)
    monkeypatch.setattr(performance, "PROJECT", tmp_path)
    monkeypatch.setattr(scenarios, "measured", lambda *_: published)
    (tmp_path / "DOCUMENT").write_text(DOCUMENT.read_text().replace("| verify ", "| werify "))
    result = CliRunner().invoke(main, ["--publish"])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "DOCUMENT").read_text() == DOCUMENT.read_text()
    assert read(tmp_path / "PUBLISHED" / RESULTS) == published
    assert len(list((tmp_path / "PUBLISHED").glob("*.png"))) == len(PICTURES)


def test_a_run_with_errors_is_not_published(
    published: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LATEST", "PUBLISHED", "DOCUMENT"):
        monkeypatch.setattr(performance, name, tmp_path / name)
    monkeypatch.setattr(performance, "PROJECT", tmp_path)
    latency = replace(published.latency, served=replace(published.latency.served, errors=1))
    monkeypatch.setattr(scenarios, "measured", lambda *_: replace(published, latency=latency))
    assert CliRunner().invoke(main, ["--publish"]).exit_code == 1
    assert (tmp_path / "LATEST" / RESULTS).exists()
    assert not (tmp_path / "PUBLISHED").exists()


def test_a_size_takes_what_the_lesser_of_its_two_limits_allows(published: Results) -> None:
    known = replace(published, cpu=replace(published.cpu, us_per_event=500))
    workers = worker_count(512 * 2**20)
    # a core of 500 us an event takes 2,000 events a second
    assert rate(known, PlatformSize("", 512, 4), 100) == Rate(workers * 10, "workers")
    assert rate(known, PlatformSize("", 512, 1 / 16), 100) == Rate(125, "CPU")
    assert rate(known, PlatformSize("", 512, None), 50) == Rate(workers * 20, "workers, or less")


def test_the_documents_sizes_are_those_of_capacity_and_of_the_cpu_measured(
    published: Results,
) -> None:
    rows = {
        cells[0]: cells[1:]
        for line in DOCUMENT.read_text().splitlines()
        if len(cells := [cell.strip() for cell in line.strip("|").split("|")]) == 7
    }
    for size in PLATFORM_SIZES:
        memory, _, workers, cores_allow, *rates = rows[size.name]
        assert int(memory.replace(",", "")) == size.memory_mb
        assert int(workers) == worker_count(size.memory_mb * 2**20)
        for latency_s, cell in zip((0.05, 0.1), rates, strict=True):
            limits = [int(workers) / latency_s]
            if size.cores is not None:
                limits.append(size.cores / published.cpu.us_per_event * 1e6)
                assert float(cores_allow.replace(",", "")) == pytest.approx(limits[1], abs=1)
            figure = float(re.sub(r" \(.*", "", cell).replace(",", ""))
            assert figure == pytest.approx(min(limits), abs=1)


def test_the_memory_of_workers_is_read_off_a_straight_line(published: Results) -> None:
    one = published.throughput[0]
    rows = [replace(one, workers=count, pss_mb=70 + 9 * (count - 1)) for count in (1, 4, 16)]
    assert memory_line(rows) == (70, 9)


def test_figures_stand_at_the_right_and_words_at_the_left() -> None:
    assert table(["a", "events/s", "of"], [("x", "5", "y"), ("zz", "1,000", "?")]).splitlines() == [
        "| a  | events/s | of  |",
        "| -- | -------: | --- |",
        "| x  |        5 | y   |",
        "| zz |    1,000 | ?   |",
    ]
