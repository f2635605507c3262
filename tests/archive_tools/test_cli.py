"""The command group: found everywhere, imported late, ended with a status that means something."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from archive_tools import verify
from archive_tools.cli import COMMANDS, archive
from tests.archive_tools.conftest import Run, signed_record, store
from tests.support.service import PROJECT


def environment(**variables: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "PATH") if name in os.environ}
    return {**kept, "PYTHON_DOTENV_DISABLED": "1", "FLASK_SKIP_DOTENV": "1", **variables}


def called(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        cwd=PROJECT,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("words", [("flask", "--app", "wsgi", "archive"), ("stripe-archive",)])
def test_the_tools_need_no_configuration_of_a_service(words: tuple[str, ...], folder: Path) -> None:
    store(folder, signed_record().line())
    helped = called(*words, "--help")
    assert helped.returncode == 0
    assert [name for name in COMMANDS if f"\n  {name} " in helped.stdout] == list(COMMANDS)
    done = called(*words, "verify", "--archive", str(folder), STRIPE_WEBHOOK_SECRET="whsec_first")
    assert (done.returncode, done.stderr) == (0, f"Archive: {folder} (--archive)\n")
    assert "records" in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str) -> None:
    helped = CliRunner().invoke(archive, [name, "--help"])
    assert helped.exit_code == 0
    assert "Example" in helped.output
    assert f"flask archive {name}" in helped.output


def test_the_service_loads_none_of_the_tools(tmp_path: Path) -> None:
    code = (
        "import sys, wsgi; "
        "print([m for m in sys.modules if m.startswith(('archive_tools', 'duckdb', 'sqlglot'))])"
    )
    done = called(
        sys.executable,
        "-c",
        code,
        STRIPE_WEBHOOK_SECRET="whsec_x",
        ARCHIVE_DIR=str(tmp_path / "none"),
    )
    assert done.stdout == "[]\n", done.stderr


def test_the_help_needs_neither_duckdb_nor_sqlglot() -> None:
    code = (
        "import sys; sys.modules['duckdb'] = sys.modules['sqlglot'] = None\n"
        "from archive_tools.cli import archive; archive(['--help'])"
    )
    done = called(sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr


def test_an_unknown_command_cannot_be_done(run: Run) -> None:
    result = run("prove")
    assert result.exit_code == 2
    assert "No such command 'prove'" in result.output


def test_a_wrong_setting_cannot_be_done_and_names_its_cure(run: Run) -> None:
    result = run("verify", STRIPE_API_KEY="pk_public")
    assert result.exit_code == 2
    assert "STRIPE_API_KEY is not a secret or restricted API key" in result.output
    assert "pk_public" not in result.output


def test_a_fault_of_a_tool_is_no_finding_and_quotes_nothing(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*_: object) -> None:
        raise ValueError("payload".upper())

    monkeypatch.setattr(verify, "verified", wrong)
    result = run("verify")
    assert result.exit_code == 2
    assert "ValueError, a fault of this tool" in result.output
    assert "test_cli.py" in result.output
    assert "PAYLOAD" not in result.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_in_order(
    run: Run, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def interrupted(*_: object) -> None:
        os.kill(os.getpid(), number)
        time.sleep(5)

    monkeypatch.setattr(verify, "verified", interrupted)
    before = signal.getsignal(signal.SIGTERM)
    result = run("verify")
    assert result.exit_code == 2
    assert "Interrupted" in result.output
    assert signal.getsignal(signal.SIGTERM) is before


#: Sends the signal as soon as the second process of the pool is there, and has not read its task.
WHILE_STARTING = """
    from multiprocessing import util
    spawn, started = util.spawnv_passfds, []
    def spawn_and_interrupt(path, arguments, descriptors):
        number = spawn(path, arguments, descriptors)
        if "--multiprocessing-fork" in map(os.fsdecode, arguments):
            started.append(number)
            if len(started) == 2:
                os.kill(os.getpid(), signal.SIGTERM)
        return number
    util.spawnv_passfds = spawn_and_interrupt
"""


@pytest.mark.parametrize("at_start", ["", WHILE_STARTING], ids=["at work", "while starting"])
def test_an_interrupted_command_leaves_no_process_behind(folder: Path, at_start: str) -> None:
    for n in range(40):
        record = signed_record(b'{"id": "evt_1", "n": "%s"}' % (b"x" * 200_000)).line()
        store(folder, *[record] * 20, name=f"{n}.json.gz")
    code = (
        "import os, signal\n"
        "from archive_tools import parallel\n"
        "parallel._BATCH_OBJECTS = 1; parallel.ALONE_S = 0; parallel.cores = lambda: 2\n"
        "from archive_tools.cli import archive\n"
        f"if __name__ == '__main__':\n    pass{at_start}\n    archive()"
    )
    script = folder.parent / "run.py"
    script.write_text(code)
    process = subprocess.Popen(
        [sys.executable, str(script), "verify", "--archive", str(folder)],
        env=environment(STRIPE_WEBHOOK_SECRET="whsec_first", PYTHONPATH=str(PROJECT)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 30
    # with the tracker of multiprocessing
    while len(members(process.pid)) < 4 and not at_start and time.monotonic() < deadline:
        time.sleep(0.02)
    if not at_start:
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, output) == (2, "")
    _, _, told = errors.partition("\n")
    assert told == "Error: Interrupted. Nothing is left half-done.\n"
    # multiprocessing's own helper ends when it notices that nobody is left
    while members(process.pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert members(process.pid) == []


def members(session: int) -> list[int]:
    """The processes of a session."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except OSError:
            continue
        state, _, _, of_session = text.rpartition(")")[2].split()[:4]
        if int(of_session) == session and state != "Z":
            found.append(int(path.parent.name))
    return found


def test_a_reader_that_goes_away_is_no_error(folder: Path) -> None:
    store(folder, signed_record().line())
    command = f"{sys.executable} -m flask --app wsgi archive verify --archive {folder} | true"
    done = called("bash", "-c", command, STRIPE_WEBHOOK_SECRET="whsec_first")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_first_which_archive_it_is(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = {
        "query": ["arrivals"],
        "replay": ["http://localhost:9/", "--dry-run"],
        "export": ["--output", "export"],
    }
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("ARCHIVE_DIR", folder.name)
    for words, named in (
        ([], "ARCHIVE_DIR from the environment"),
        (["--archive", str(folder)], "--archive"),
    ):
        result = CliRunner().invoke(archive, [name, *needed.get(name, []), *words])
        assert result.stderr.startswith(f"Archive: {folder} ({named})\n"), result.output
        assert "Archive:" not in result.stdout


def test_a_command_that_lacks_a_package_says_what_to_install(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(*_: object) -> None:
        raise ModuleNotFoundError(name="duckdb")

    monkeypatch.setattr(verify, "verified", lacking)
    result = run("verify")
    assert result.exit_code == 2
    assert "duckdb is not installed, and this command needs it" in result.output
    assert "Fix: install requirements/tools.txt" in result.output


def test_results_go_to_standard_output_and_nothing_else_does(folder: Path, run: Run) -> None:
    store(folder, signed_record().line())
    result = run("verify", "--json")
    assert result.stderr == ""
    assert result.stdout.startswith("{")


def test_a_tool_error_is_a_click_exception() -> None:
    from archive_tools.errors import ToolError

    error = ToolError("It broke", "mend it")
    assert isinstance(error, click.ClickException)
    assert (error.exit_code, error.message) == (2, "It broke\n  Fix: mend it")
