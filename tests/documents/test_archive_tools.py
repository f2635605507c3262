"""docs/ARCHIVE_TOOLS.md: its sessions are what the tools print, and its commands are taken."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from archive_tools.cli import COMMANDS, archive
from examples import month, sessions
from tests.bench import scale
from tests.support.service import PROJECT

DOCUMENTS = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]


def steady(text: str) -> str:
    """Without sizes: what gzip and Parquet leave of something depends on their versions."""
    return re.sub(r"\b[\d.]+ (KB|MB)", "some KB", text)


def test_the_sessions_are_what_the_tools_print() -> None:
    text = sessions.DOCUMENT.read_text()
    assert steady(sessions.renewed(text)) == steady(text)


def test_a_session_that_went_another_way_is_seen(tmp_path: Path) -> None:
    text = "```console\n$ flask archive verify\nAll is well.\n$ echo $?\n1\n```\n"
    document = tmp_path / "sessions.md"
    document.write_text(text)
    result = CliRunner().invoke(sessions.main, [str(document)])
    assert result.exit_code == 0, result.output
    assert "All is well" not in document.read_text()
    assert document.read_text().endswith("$ echo $?\n0\n```\n")


def test_every_command_has_a_session_and_a_chapter() -> None:
    text = sessions.DOCUMENT.read_text()
    for name in COMMANDS:
        assert f"\n## {name}\n" in text
        assert re.search(rf"^\$ flask archive {name}\b", text, re.MULTILINE)


def called(text: str) -> list[list[str]]:
    """The words behind `flask archive` in the shell blocks and the words of a text."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    inline = re.findall(r"`(flask archive[^`\n]+)`", text)
    found = [line.partition("archive ")[2] for line in [*lines, *inline] if "archive " in line]
    # a command within quotation marks ends with them
    found = [words if words.count('"') % 2 == 0 else words.rstrip('"') for words in found]
    return [shlex.split(words) for words in found if words.split()[0] in COMMANDS]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_of_the_guides_is_taken(document: Path) -> None:
    for words in called(document.read_text()):
        command = archive.get_command(click.Context(archive), words[0])
        assert command
        context = click.Context(command)
        known = {option for p in command.params for option in (*p.opts, *p.secondary_opts)}
        used = [word for word in words[1:] if word.startswith("--")]
        assert set(used) <= known, words
        assert len(words) == 1 or command.make_parser(context)


def test_an_auditor_with_an_archive_and_the_secrets_alone_is_led_through(tmp_path: Path) -> None:
    """The commands of docs/AUDIT.md but Stripe's, of which there is a session, on a folder."""
    text = (PROJECT / "docs/AUDIT.md").read_text()
    keep, _, steps = text.partition("\n## Ten steps\n")
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```$", steps, re.MULTILINE | re.DOTALL)
    commands = [re.sub(r"^ +", "", block, flags=re.M) for block in blocks]
    _, sealed, stamp, _, verify, sent_by_api, reconcile, money, _ = commands
    assert reconcile == "flask archive reconcile\n"
    assert stamp.startswith("openssl ts -verify")
    (seal,) = re.findall(r"^flask archive seal \| .*$", keep, re.MULTILINE)
    month.archive(tmp_path / "archive", month.deliveries())
    (tmp_path / "secrets.txt").write_text("whsec_retired\nwhsec_month\n")
    environment = {
        "PATH": f"{PROJECT / '.venv/bin'}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "PYTHON_DOTENV_DISABLED": "1",
        "ARCHIVE_DIR": str(tmp_path / "archive"),
    }

    def told(script: str) -> str:
        # the folder stands in for the bucket
        script = re.sub(r"^export .*\n", "", script).replace(
            "secrets.txt", f"{tmp_path}/secrets.txt"
        )
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=PROJECT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    told(seal.replace("head.txt", f"{tmp_path}/head.txt"))
    proved = told(sealed.replace("head.txt", f"{tmp_path}/head.txt"))
    assert proved.splitlines()[-1].startswith("Proved: of what was sealed up to")
    found = dict(re.findall(r"^(\S.*?)  +(\d+)$", told(verify), re.MULTILINE))
    assert found["genuine, by secrets.txt, line 2"] == found["records"]
    assert "id" in told(sent_by_api)
    assert "INTERVAL '400' DAY" in told(money.partition(" | ")[0])
    days = set(re.findall(r"^\d{4}-\d\d-\d\d", told(money), re.MULTILINE))
    assert len(days) >= 30


def test_the_table_of_scale_has_every_tool() -> None:
    text = sessions.DOCUMENT.read_text()
    table = text.partition(scale.MARKERS[0])[2].partition(scale.MARKERS[1])[0]
    for tool in scale.TOOLS:
        assert f"| {tool.what} |" in table


def test_publishing_renews_the_table_alone() -> None:
    small = scale.Measured(what="verify", events=10, seconds=0.5, peak_mb=90)
    large = scale.Measured(what="verify", events=100, seconds=1, peak_mb=100)
    text = f"before {scale.MARKERS[0]} old {scale.MARKERS[1]} after"
    renewed = scale.published([small, large], text)
    assert renewed.startswith("before ")
    assert renewed.endswith(" after")
    assert "| verify | 100 | 1.0 s | 100 | 100 MB | 0.5 s | 90 MB |" in renewed
    assert "old" not in renewed
