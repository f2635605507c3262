"""`python -m demo`: start the service, send it signed events, and look at what it archived."""

import secrets
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import click

from demo import archive, athena
from demo.service import PROJECT, running
from webhook_app.sender import Delivered, deliver, sign

SAMPLE_QUERY = """\
SELECT type, COUNT(*) AS count FROM stripe_webhooks
WHERE year = '{}' AND month = '{}' AND day = '{}' GROUP BY type ORDER BY count DESC"""


@click.command()
@click.option(
    "--events",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=PROJECT / "demo/events",
    help="A folder of event bodies, *.json, each sent as it is.",
)
def main(events: Path) -> None:
    """Send a folder of events through the service and show what became of them."""
    bodies = [path.read_bytes() for path in sorted(events.glob("*.json"))]
    if not bodies:
        raise click.ClickException(f"{events} has no file *.json")
    workspace = Path(".demo")
    shutil.rmtree(workspace, ignore_errors=True)
    workspace.mkdir()
    folder = workspace / "archive"

    answers = _send(bodies, folder, workspace / "service.log")
    click.echo("\n" + "\n".join(archive.tree(folder)))
    for day in archive.partitions(folder):
        sql = SAMPLE_QUERY.format(*day)
        click.echo(f"\n{sql}\n")
        _show(*athena.query(folder, sql))

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
        raise click.ClickException(f"these should be the same; see {workspace / 'service.log'}")


def _send(bodies: list[bytes], folder: Path, log: Path) -> list[Delivered]:
    secret = f"whsec_{secrets.token_hex(16)}"
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


def _show(names: list[str], rows: list[tuple[object, ...]]) -> None:
    table = [names, *([str(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo(f"    {'   '.join(cells)}".rstrip())


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


if __name__ == "__main__":
    main()
