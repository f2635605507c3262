"""`python -m examples`: start the service, send it signed events, and look at what it archived."""

import secrets
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import click

from archive_tools.querying.duckdb_engine import open_duckdb
from archive_tools.storage import FolderStorage
from examples import archive
from tests.support.service import running
from webhook_app.cli.sender import SAMPLES, Delivered, body_of, deliver
from webhook_app.events.signature import sign

WORKSPACE = Path(".demo")

SAMPLE_QUERY = """\
SELECT type, COUNT(*) AS count FROM stripe_webhooks
WHERE year = '{}' AND month = '{}' AND day = '{}' GROUP BY type ORDER BY count DESC"""

#: What can be done with the archive that was made; a test runs these lines.
NEXT = """
The archive of these events is in .demo/archive, until the next demo. Put it to use
(docs/ARCHIVE_TOOLS.md):

    export ARCHIVE_DIR=.demo/archive REPLAY_SECRET=whsec_of_your_endpoint
    .venv/bin/flask archive query arrivals
    .venv/bin/flask archive verify --secrets .demo/secret.txt
    .venv/bin/flask archive report --only deliveries --output .demo/deliveries.html
    .venv/bin/flask archive export --output .demo/export
    .venv/bin/flask archive replay http://localhost:8000/webhook --dry-run

After a minute, when its events are no longer in flight, delete a file of it. It is found, and put
back, with a Stripe that is played here:

    .venv/bin/python -m examples.stripe .demo/stripe .venv/bin/flask archive reconcile
    .venv/bin/python -m examples.stripe .demo/stripe .venv/bin/flask archive reconcile --repair

A new archive gets what that Stripe still has:

    mkdir .demo/new && export ARCHIVE_DIR=.demo/new
    .venv/bin/python -m examples.stripe .demo/stripe .venv/bin/flask archive backfill"""


@click.command()
@click.option(
    "--events",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder of event bodies, *.json, sent as `flask send-event` does; else the samples.",
)
def main(events: Path | None) -> None:
    """Send a folder of events through the service and show what became of them."""
    files = sorted((events or SAMPLES).glob("*.json"))
    if not files:
        raise click.ClickException(f"{events} has no file *.json")
    bodies = [body_of(str(path), path.read_bytes()) for path in files]
    shutil.rmtree(WORKSPACE, ignore_errors=True)
    WORKSPACE.mkdir()
    folder = WORKSPACE / "archive"
    _keep(bodies, WORKSPACE / "stripe")

    secret = f"whsec_{secrets.token_hex(16)}"
    (WORKSPACE / "secret.txt").write_text(f"{secret}\n")
    answers = _send(bodies, secret, folder, WORKSPACE / "service.log")
    click.echo("\n" + "\n".join(archive.tree(folder)))
    for day in archive.partitions(folder):
        sql = SAMPLE_QUERY.format(*day)
        click.echo(f"\n{sql}\n")
        with open_duckdb(FolderStorage(folder.absolute(), str(folder))) as engine:
            found = engine.run(sql)
        show(found.names, found.rows)

    payloads = Counter(record["payload"].encode() for record in archive.records(folder))
    acknowledged = sum(answer.status == 200 for answer in answers)
    identical = (Counter(bodies) & payloads).total()
    times = sorted(answer.milliseconds for answer in answers)
    click.echo(
        f"\n{len(bodies)} sent, {acknowledged} acknowledged, {payloads.total()} archived, "
        f"{identical} byte-identical"
        f"\np50 {_quantile(times, 0.5):.1f} ms, p99 {_quantile(times, 0.99):.1f} ms"
    )
    if {acknowledged, payloads.total(), identical} != {len(bodies)}:
        raise click.ClickException(f"these should be the same; see {WORKSPACE / 'service.log'}")
    click.echo(NEXT)


def _keep(bodies: list[bytes], folder: Path) -> None:
    """Keep what was sent as Stripe keeps it, for `python -m examples.stripe`."""
    folder.mkdir()
    for n, body in enumerate(bodies):
        (folder / f"{n}.json").write_bytes(body)


def _send(bodies: list[bytes], secret: str, folder: Path, log: Path) -> list[Delivered]:
    variables = {
        "STRIPE_WEBHOOK_SECRET": secret,
        "ARCHIVE_DIR": str(folder.absolute()),
        "WEB_WORKERS": "4",
    }
    with running(variables, log) as service, ThreadPoolExecutor(4) as pool:
        click.echo(f"The service is up at {service.url}, its log in {log}")
        sent = [pool.submit(deliver, body, sign(body, secret), service.url) for body in bodies]
        label = f"Sending {len(bodies)} signed events"
        with click.progressbar(as_completed(sent), length=len(sent), label=label) as finished:
            return [delivery.result() for delivery in finished]


def show(names: list[str], rows: list[tuple[object, ...]]) -> None:
    """Print rows as a table."""
    table = [names, *([str(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo(f"    {'   '.join(cells)}".rstrip())


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


if __name__ == "__main__":
    main()
