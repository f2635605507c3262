"""The options that the commands that ask Stripe have in common."""

import click

#: Requests a second. An endpoint of the API takes 25 of all of an account's keys together.
#: https://docs.stripe.com/rate-limits
_DEFAULT_RATE = 20.0


def rate_option(command: click.decorators.FC) -> click.decorators.FC:
    """Give a command `--rate`."""
    return click.option(
        "--rate",
        type=click.FloatRange(0.1, 100),
        default=_DEFAULT_RATE,
        show_default=True,
        help="Requests to Stripe a second; it takes 25, and others may need some of them.",
    )(command)


def stripe_options(command: click.decorators.FC) -> click.decorators.FC:
    """Give a command `--type`, passed on as `types`, `--rate`, and `--force`."""
    for option in (
        click.option(
            "--force",
            is_flag=True,
            help="Write also where the archive cannot be read as a whole or looks like another's.",
        ),
        rate_option,
        click.option(
            "--type",
            "types",
            multiple=True,
            callback=_types,
            metavar="TYPE",
            help="Only these, as in invoice.paid or charge.*. Can be given several times.",
        ),
    ):
        command = option(command)
    return command


def _types(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    if any(not name or "*" in name[:-1] for name in given):
        raise click.BadParameter("a * stands at the end only, as in charge.*", ctx, param)
    return tuple(sorted(set(given)))


def matches(event_type: str, types: tuple[str, ...]) -> bool:
    """Return whether a type is one of those that `--type` named; without any, all are."""
    return not types or any(
        event_type.startswith(name[:-1]) if name.endswith("*") else event_type == name
        for name in types
    )
