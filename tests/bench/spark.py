"""The archive's tools on PySpark in local mode, against themselves without it: `make spark`.

`seal`, `verify --sealed` and `verify` run both ways on archives that are the same, one of them with
objects that were changed, removed and added. What they print and write has to be the same.
"""

import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import click

from tests.support.service import PROJECT

from . import sample

LAST = date(2026, 11, 20)

SPARK = (sys.executable, "-W", "ignore", "deploy/spark/archive.py")
COMMAND = (sys.executable, "-c", "from archive_tools.cli import archive; archive()")


def run(program: tuple[str, ...], *words: str) -> tuple[int, str]:
    """Return the status and the standard output of a tool."""
    environment = os.environ | {
        "ARCHIVE_BUCKET": "",
        "ARCHIVE_DIR": "",
        "PYTHONPATH": os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")]),
        "PYSPARK_PYTHON": sys.executable,
        "PYTHON_DOTENV_DISABLED": "1",
        "SPARK_LOCAL_IP": "127.0.0.1",
        "STRIPE_WEBHOOK_SECRET": sample.SECRET,
    }
    began = time.perf_counter()
    done = subprocess.run(
        [*program, *words], cwd=PROJECT, env=environment, capture_output=True, text=True
    )
    if done.returncode not in (0, 1):
        raise click.ClickException(done.stderr)
    name = "Spark" if program == SPARK else "command"
    click.echo(f"{name:<8} {' '.join(words[:2]):<22} {time.perf_counter() - began:5.1f} s")
    return done.returncode, done.stdout


def seals(folder: Path) -> list[object]:
    """Return the manifests of an archive, without the time and what hangs on it."""
    found = [json.loads(path.read_bytes()) for path in sorted(folder.glob("manifests/*/*/*.json"))]
    return [{**one, "sealed_at": None, "previous": None} for one in found]


def tamper(folder: Path) -> None:
    """Change an object, remove one and add one."""
    first, second, *_ = sorted(folder.glob("webhooks/*/*/*/*.gz"))
    shutil.copy(first, first.with_name("copy.json.gz"))
    first.write_bytes(gzip.compress(b"{}\n"))
    second.unlink()


def same(what: str, one: object, other: object) -> None:
    """Raise unless two results are the same."""
    if one != other:
        raise click.ClickException(f"{what} on Spark is not what the command gives")


@click.command()
@click.option("--events", default=20_000, show_default=True, help="In the archive.")
def main(events: int) -> None:
    """Run the tools with and without Spark, and compare."""
    with tempfile.TemporaryDirectory() as name:
        folder, copy = Path(name, "archive"), Path(name, "copy")
        sample.archive(folder, events, LAST)
        shutil.copytree(folder, copy)
        run(SPARK, "seal", "--archive", str(folder))
        run(COMMAND, "seal", "--archive", str(copy))
        same("seal", seals(folder), seals(copy))
        if len(seals(folder)) < 2:
            raise click.ClickException("nothing was sealed")
        for tampered in (False, True):
            if tampered:
                tamper(folder)
            for option in ("--sealed", "--last=36000"):
                words = ("verify", option, "--json", "--archive", str(folder))
                status, text = run(SPARK, *words)
                same(" ".join(words[:2]), (status, text), run(COMMAND, *words))
                if status != int(tampered) or '"' not in text:
                    raise click.ClickException(f"{words} ended with {status}")
    click.echo("The same to the byte, with Spark and without")


if __name__ == "__main__":
    main()
