"""The options with which a command is told how events are sent, and with which secret."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ..settings import REPLAY_SECRET
from .sending import Manner

_F = TypeVar("_F", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--rate",
        type=click.FloatRange(0),
        default=10.0,
        show_default=True,
        help="Events a second; 0 for no limit.",
    ),
    click.option(
        "--concurrency",
        type=click.IntRange(1, 64),
        default=4,
        show_default=True,
        help="Deliveries at a time; with 1 the order is kept to the letter.",
    ),
    click.option(
        "--retries",
        type=click.IntRange(0, 20),
        default=3,
        show_default=True,
        help="After no answer, 429 or 5xx, each after a longer wait.",
    ),
    click.option(
        "--timeout",
        "timeout_s",
        type=click.FloatRange(0.1, 600),
        default=30.0,
        show_default=True,
        help="Seconds to wait for an answer.",
    ),
    click.option(
        "--stop-after",
        type=click.IntRange(0),
        default=20,
        show_default=True,
        help="Stop when so many in a row are not accepted; 0 for never.",
    ),
)

_SECRET_OPTIONS = (
    click.option(
        "--secret-env",
        metavar="NAME",
        default=REPLAY_SECRET,
        show_default=True,
        help="The environment variable with the secret to sign with.",
    ),
    click.option(
        "--secret-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="A file with that secret, in place of the variable.",
    ),
)


def manner_options(command: _F) -> _F:
    """Give a command the options of speed and patience, and pass it one `manner: Manner`."""

    @functools.wraps(command)
    def wrapped(
        *args: Any,
        rate: float,
        concurrency: int,
        retries: int,
        timeout_s: float,
        stop_after: int,
        **rest: Any,
    ) -> Any:
        manner = Manner(
            rate=rate,
            concurrency=concurrency,
            retries=retries,
            timeout_s=timeout_s,
            stop_after=stop_after,
        )
        return command(*args, manner=manner, **rest)

    for option in reversed(_OPTIONS):
        option(wrapped)
    return wrapped  # type: ignore[return-value]


def secret_options(command: _F) -> _F:
    """Give a command `--secret-env` and `--secret-file`, passed on by these names."""
    for option in reversed(_SECRET_OPTIONS):
        command = option(command)
    return command
