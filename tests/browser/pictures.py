"""`python -m tests.browser.pictures` renews the pictures of the report in docs/."""

import tempfile
from pathlib import Path

from examples import year
from tests.support.service import PROJECT

from .window import browser, report_of, window

#: Name, width and height in pixels.
_PICTURES = (("report-desktop", 1280, 1540), ("report-phone", 390, 1500))


def main() -> None:
    """Make the sample year, its report, and a picture of the report's beginning for each width."""
    with tempfile.TemporaryDirectory() as scratch, browser() as running:
        year.archive(Path(scratch) / "archive")
        report = report_of(Path(scratch), year.TODAY)
        for name, width, height in _PICTURES:
            with window(running, report, width, "light") as opened:
                clip = {"x": 0, "y": 0, "width": width, "height": height}
                target = PROJECT / f"docs/{name}.png"
                opened.page.screenshot(path=target, clip=clip, full_page=True)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
