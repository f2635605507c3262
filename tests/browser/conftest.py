"""The report of the sample month, and a browser that can reach nothing but files."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from examples import month
from tests.support.needs import needed

from .window import CHROMIUM, Window, browser, month_report, window

Open = Callable[..., AbstractContextManager[Window]]


@pytest.fixture(scope="session")
def deliveries() -> list[month.Delivery]:
    return month.deliveries()


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory, deliveries: list[month.Delivery]) -> Path:
    folder = tmp_path_factory.mktemp("report")
    return month_report(folder, deliveries)


# of a module: while it runs, Playwright's event loop keeps asyncio.run from every other test
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    needed("chromium", CHROMIUM.exists())
    with browser() as running:
        yield running


@pytest.fixture
def show(chromium: Browser, report: Path) -> Open:
    """Show the report in a window of some width, in the light or the dark."""

    def opened(
        width: int = 1280, scheme: str = "light", path: Path = report
    ) -> AbstractContextManager[Window]:
        return window(chromium, path, width, scheme)

    return opened
