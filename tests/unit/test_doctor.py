import os
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskCliRunner

from webhook_app.cli import doctor
from webhook_app.cli.check import CheckResult, Mark, fault, ok, unknown
from webhook_app.cli.doctor import examine_service, summary
from webhook_app.settings import Settings

VARIABLES = (
    "STRIPE_WEBHOOK_SECRET",
    "ARCHIVE_DIR",
    "FIREHOSE_DELIVERY_STREAM_NAME",
    "AWS_REGION",
    "GUNICORN_CMD_ARGS",
)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON_DOTENV_DISABLED", "1")
    for name in VARIABLES:
        # set, so that what a check adds is taken away again after the test
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture
def aws_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhook_app.cli.doctor_aws.examine", lambda settings: iter([]))


def found(settings: Settings, check: str) -> CheckResult:
    (result,) = [result for result in examine_service(settings) if result.check == check]
    return result


def test_a_result_is_a_line_and_its_fix_another() -> None:
    assert str(ok("disk", "12 MB free")) == "ok     disk           12 MB free"
    line, fix = str(fault("disk", "1 MB free", "make room")).splitlines()
    assert line == "FAULT  disk           1 MB free"
    assert fix == f"{'':{line.index('1 MB')}}Fix: make room"
    line, fix = str(unknown("clock", "late", "ask")).splitlines()
    assert line == "?      clock          late"
    assert fix.strip() == "To be sure: ask"


@pytest.mark.parametrize(
    ("marks", "line", "status"),
    [
        ("ok ok", "All fine: 2 checks.", 0),
        ("ok ?", "No fault found; 1 of 2 checks could not be determined from here.", 2),
        ("ok FAULT", "1 fault to fix.", 1),
        ("FAULT ? FAULT", "2 faults to fix; 1 of 3 checks could not be determined from here.", 1),
    ],
)
def test_the_summary_names_the_worst(marks: str, line: str, status: int) -> None:
    results = [CheckResult(Mark(mark), "check", "found") for mark in marks.split()]
    assert summary(results) == (line, status)


def test_a_good_local_service_is_all_fine(settings: Settings, tmp_path: Path) -> None:
    results = list(examine_service(settings))
    assert {result.mark for result in results} == {Mark.OK}
    assert [result.check for result in results] == [
        "configuration",
        "secrets",
        "time budget",
        "folder",
        "disk",
        "clock",
    ]
    assert list(tmp_path.iterdir()) == []


def test_the_archive_is_named(firehose_settings: Settings, aws_asked: None) -> None:
    assert found(firehose_settings, "configuration").found.endswith(
        "stream events in eu-west-1 (from the environment)"
    )


def test_secrets_are_counted_and_not_shown(settings: Settings) -> None:
    assert found(settings, "secrets") == ok("secrets", "2 signing secrets, of the form whsec_…")
    one_old = replace(settings, webhook_secrets=("hidden_first",))
    told = found(one_old, "secrets")
    assert told.mark is Mark.FAULT
    assert told.found == "1 signing secret, 1 without the whsec_ that Stripe's begin with"
    assert "from the Stripe Dashboard" in told.fix


def test_the_time_budget_names_its_numbers(settings: Settings, firehose_settings: Settings) -> None:
    assert found(settings, "time budget").found.endswith("gunicorn ends a worker after 30 s")
    told = doctor.time_budget(firehose_settings)
    assert told.mark is Mark.OK
    assert "9.0 s at worst, of 10 s; gunicorn ends a worker after 30 s" in told.found


@pytest.mark.parametrize(
    ("arguments", "mark", "words"),
    [
        ("--timeout 9", Mark.FAULT, "gunicorn ends a worker after 9 s"),
        ("--timeout 10 --bind :3001", Mark.OK, "gunicorn ends a worker after 10 s"),
        ("-t 0", Mark.OK, "gunicorn never does"),
        ("--timeout soon", Mark.FAULT, "cannot be read"),
        ("--no-such-option", Mark.FAULT, "cannot be read"),
    ],
)
def test_gunicorns_time_out_must_be_above_the_budget(
    arguments: str,
    mark: Mark,
    words: str,
    firehose_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GUNICORN_CMD_ARGS", arguments)
    told = doctor.time_budget(firehose_settings)
    assert told.mark is mark
    assert words in told.found


@pytest.mark.parametrize("text", [None, "timeout = later()\n"])
def test_a_time_out_that_cannot_be_read_is_a_fault(
    text: str | None, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "PROJECT", tmp_path)
    if text:
        (tmp_path / "gunicorn.conf.py").write_text(text)
    told = found(settings, "time budget")
    assert told.mark is Mark.FAULT
    assert told.fix == "give it as a number of seconds, above 10"


def test_a_folder_is_written_to_and_left_as_it_was(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = settings.archive_dir
    assert folder is not None
    assert "is not there yet" in found(settings, "folder").found
    assert not folder.exists()
    folder.mkdir()
    (folder / "webhooks").mkdir()
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    assert found(settings, "folder") == ok(
        "folder", f"{folder}: a file was written, synced and removed"
    )
    assert len(synced) == 1
    assert [path.name for path in folder.iterdir()] == ["webhooks"]


def test_a_folder_that_cannot_be_written_to_is_a_fault(settings: Settings) -> None:
    told = found(replace(settings, archive_dir=Path("/proc/archive")), "folder")
    assert told.mark is Mark.FAULT
    assert told.found.startswith("/proc cannot be written to: ")


def test_a_disk_that_fails_to_sync_is_a_fault(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    told = found(settings, "folder")
    assert told.mark is Mark.FAULT
    assert "No space left on device" in told.found
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_is_a_fault(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found(settings, "disk").mark is Mark.OK
    monkeypatch.setattr(doctor, "LEAST_FREE_BYTES", 2**80)
    told = found(settings, "disk")
    assert told.mark is Mark.FAULT
    assert "MB free, less than" in told.found


def test_a_disk_that_cannot_be_looked_at_is_a_fault(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("shutil.disk_usage", refuse)
    told = found(settings, "disk")
    assert told.mark is Mark.FAULT
    assert told.found == "the room on it cannot be determined: Permission denied"


def test_the_command_tells_every_problem_of_the_configuration(
    runner: FlaskCliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", "sk_live_hidden")
    result = runner.invoke(args=["doctor"])
    assert result.exit_code == 1
    assert result.output.count("FAULT  configuration  ") == 2
    assert result.output.count("Fix: ") == 2
    assert result.output.endswith("\n\n2 faults to fix.\n")
    assert "hidden" not in result.output


def test_the_command_tells_that_all_is_fine(
    runner: FlaskCliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", "whsec_hidden, whsec_hidden_too")
    monkeypatch.setenv("ARCHIVE_DIR", str(tmp_path))
    result = runner.invoke(args=["doctor"])
    assert result.exit_code == 0
    assert result.output.endswith("\n\nAll fine: 6 checks.\n")
    assert "hidden" not in result.output


@pytest.mark.parametrize("command", ["doctor", "send-event"])
def test_the_help_has_an_example_on_a_line_of_its_own(runner: FlaskCliRunner, command: str) -> None:
    lines = runner.invoke(args=[command, "--help"]).output.splitlines()
    assert any(line.startswith(f"      flask {command} ") for line in lines)
    assert not any("\\b" in line for line in lines)
