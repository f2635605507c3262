"""`flask archive subject`: all that the archive has of a person, for a request for access."""

import html
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from .cli import archive_option
from .erasing.finding import Found, Match, find
from .erasing.people import decoded, people
from .erasing.tables import MonthTables
from .output import count_text, note
from .settings import ToolSettings
from .storage import Storage

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "summary{cursor:pointer;padding:.3rem 0}pre{white-space:pre-wrap;overflow-wrap:anywhere;"
    "background:#8881;padding:1rem}time{color:#767676;margin-right:1rem}"
)


@click.command("subject")
@click.argument("who", nargs=-1)
@archive_option
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write NDJSON there; left out, to standard output.",
)
@click.option(
    "--html",
    "page",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write one page for people instead.",
)
def command(
    who: tuple[str, ...],
    storage: Storage,
    settings: ToolSettings,
    output: Path | None,
    page: Path | None,
) -> None:
    """Give everything that the archive has of a person: the records that erase would take out.

    WHO is as for erase. Each line is one record, with `others` besides: the other customers and
    e-mail addresses that it names. Look at these before you hand it out.

    \b
    The exit status says how it ended:
        0  this is all
        1  something could not be read, and is named
        2  it could not be done

    \b
    Example:
        flask archive subject cus_QWERTY12345678 anna@example.com --html anna.html
    """  # noqa: D301 - click wants the character itself
    if not who:
        raise click.UsageError("Give WHO: a customer's id, another id, or an e-mail address.")
    whom = people(who)
    found = find(storage, whom, MonthTables(storage).event_ids(whom))
    if page:
        _write(page, _page(found, who))
    if output or not page:
        text = "".join(
            json.dumps(_record(match), ensure_ascii=False) + "\n" for match in found.matches
        )
        if output:
            _write(output, text)
        else:
            sys.stdout.write(text)
    shared = sum(bool(match.others) for match in found.matches)
    note(
        f"{count_text(len(found.matches), 'record')}, {shared:,} of them with other customers or "
        "e-mail addresses"
    )
    for fault in found.faults.first:
        note(f"Cannot be read: {fault}")
    raise click.exceptions.Exit(int(bool(found.faults.count)))


def _write(path: Path, text: str) -> None:
    # what it holds is for nobody else on this machine
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def _record(match: Match) -> dict[str, Any]:
    record = decoded(match.text)
    record = record if isinstance(record, dict) else {"text": str(record)}
    return {"key": match.key, "line": match.line, **record, "others": list(match.others)}


def _page(found: Found, who: tuple[str, ...]) -> str:
    """Return a page that needs nothing else, with every text escaped."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        '<meta name=viewport content="width=device-width">',
        f"<title>{html.escape(', '.join(who))}</title><style>{_STYLE}</style>",
        f"<h1>{html.escape(', '.join(who))}</h1>",
        f"<p>{count_text(len(found.matches), 'record')} in the archive of Stripe's events.</p>",
    ]
    for match in sorted(found.matches, key=_moment):
        record = _record(match)
        payload = decoded(str(record.get("payload", "")).encode(errors="surrogatepass"))
        text = json.dumps(payload, indent=2, ensure_ascii=False)
        title = html.escape(f"{match.type} {match.id}")
        parts.append(
            f"<details><summary><time>{html.escape(_moment(match))}</time>{title}</summary>"
            f"<pre>{html.escape(text)}</pre></details>"
        )
    return "\n".join([*parts, "</html>", ""]).encode(errors="backslashreplace").decode()


def _moment(match: Match) -> str:
    """Return when it happened, or when it arrived where it does not say."""
    record = _record(match)
    created = record.get("created")
    if isinstance(created, int) and 0 <= created < 253_402_300_800:
        return f"{datetime.fromtimestamp(created, UTC):%Y-%m-%d %H:%M:%S}"
    return str(record.get("received_at") or record.get("snapshot_at") or "")[:19]
