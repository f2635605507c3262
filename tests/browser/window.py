"""A headless Chromium that opens files and nothing else, and what it requested and logged."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Literal, cast

from click.testing import CliRunner
from playwright.sync_api import Browser, Page, sync_playwright

from archive_tools.cli import archive
from examples import month

CHROMIUM = Path("/usr/bin/chromium")

_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass
class Window:
    """An open page, with every request that it made and every message of its console."""

    page: Page
    requests: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)


@contextmanager
def browser() -> Iterator[Browser]:
    """Run the machine's Chromium, without a screen."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=[*_ARGUMENTS])
        try:
            yield running
        finally:
            running.close()


@contextmanager
def window(running: Browser, path: Path, width: int, scheme: str) -> Iterator[Window]:
    """Open a file in a window of so many pixels, in the `light` or the `dark`, offline."""
    context = running.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=cast('Literal["light", "dark"]', scheme),
        offline=True,
    )
    try:
        opened = Window(context.new_page())
        opened.page.on("request", lambda request: opened.requests.append(request.url))
        opened.page.on("console", lambda message: opened.messages.append(message.text))
        opened.page.on("pageerror", lambda error: opened.messages.append(str(error)))
        opened.page.goto(path.as_uri())
        yield opened
    finally:
        context.close()


def month_report(folder: Path, deliveries: list[month.Delivery]) -> Path:
    """Archive the sample month to a folder, and return the page that the command makes of it."""
    month.archive(folder / "archive", deliveries)
    return report_of(folder, month.TODAY)


def report_of(folder: Path, today: date) -> Path:
    """Return the page that the command makes of the `archive` in a folder, as on a day."""
    here = Path.cwd()
    # the page names the archive as it was given
    os.chdir(folder)
    try:
        arguments = ["report", "--archive", "archive", "--output", "report.html"]
        arguments += ["--today", str(today)]
        result = CliRunner(env={"PYTHON_DOTENV_DISABLED": "1"}).invoke(archive, arguments)
    finally:
        os.chdir(here)
    if result.exit_code:
        raise RuntimeError(result.output)
    return folder / "report.html"
