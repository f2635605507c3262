"""`make demo`: what it says one can do next with the archive that it made is done here."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from examples.__main__ import NEXT
from examples.archive import records
from tests.support.service import PROJECT

LINES = [line.strip() for line in NEXT.splitlines() if line.startswith("    ")]


class Clone:
    """A folder with the environment of the project, in which the demo has run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / ".venv").symlink_to(Path(sys.prefix))

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        kept = {name: os.environ[name] for name in ("HOME", "LANG", "PATH") if name in os.environ}
        switches = {"PYTHON_DOTENV_DISABLED": "1", "FLASK_SKIP_DOTENV": "1"}
        export = LINES[0]
        assert export.startswith("export ARCHIVE_DIR=")
        return subprocess.run(
            ["sh", "-c", f"{export}; {command}"],
            cwd=self.folder,
            env=kept
            | switches
            | {"PYTHONPATH": str(PROJECT), "FLASK_APP": str(PROJECT / "wsgi.py")},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    clone = Clone(tmp_path_factory.mktemp("clone"))
    done = clone.run(".venv/bin/python -m examples")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(f"{NEXT}\n")
    assert "17 sent, 17 acknowledged, 17 archived, 17 byte-identical" in done.stdout
    return clone


@pytest.mark.parametrize("command", LINES[1:6])
def test_each_command_works_on_the_archive_that_was_made(clone: Clone, command: str) -> None:
    done = clone.run(command)
    assert done.returncode == 0, done.stdout + done.stderr
    seen = done.stdout + done.stderr
    # of the replay each event, without the redelivery that there is none of
    expected = {
        "verify": "17",
        "replay": "17 events would be sent",
        "report": "Nothing unusual.",
    }
    assert expected.get(command.split()[2], "") in seen


def test_a_new_archive_gets_what_stripe_has(clone: Clone) -> None:
    make, fill = LINES[8:]
    done = clone.run(f"{make} && {fill}")
    assert done.returncode == 0, done.stdout + done.stderr
    # all but the thin one, which the Events API does not have
    assert len(list(records(clone.folder / ".demo/new"))) == 16


def test_a_deleted_delivery_is_found_and_put_back(clone: Clone) -> None:
    # nobody waits here until the events are no longer in flight
    find, repair = (f"{line} --in-flight 0" for line in LINES[6:8])
    assert clone.run(find).returncode == 0
    archive = clone.folder / ".demo/archive"
    stored = {path: gzip.decompress(path.read_bytes()) for path in archive.rglob("*.json.gz")}
    path, line = next((p, text) for p, text in stored.items() if b'"type":"invoice.paid"' in text)
    lost = json.loads(line)
    path.unlink()
    found = clone.run(find)
    assert found.returncode == 1
    assert f"  {lost['id']}\n" in found.stdout
    repaired = clone.run(repair)
    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    (again,) = (r for r in records(archive) if r["id"] == lost["id"])
    assert (again["source"], again["stripe_signature"]) == ("events_api", None)
    assert json.loads(again["payload"]) == json.loads(lost["payload"])
    whole = clone.run(find)
    assert whole.returncode == 0
    assert len(whole.stdout.splitlines()) == 1
