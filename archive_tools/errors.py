"""The one way in which a tool says that it could not do what it was asked."""

import click

from .output import printable


class ToolError(click.ClickException):
    """A tool could not do its work: what was wrong, and the fix. The exit status is 2.

    No text ever holds a secret, a key or a payload.
    """

    exit_code = 2

    def __init__(self, wrong: str, fix: str = "") -> None:
        """Take what is wrong, and what heals it where that is known."""
        self.wrong, self.fix = wrong, fix
        super().__init__(printable(f"{wrong}\n  Fix: {fix}" if fix else wrong))
