"""The sample year's revenue, with which `make demo` ends: `python -m examples.revenue`."""

import shlex
import shutil

import click
import duckdb

from archive_tools import cli
from examples import year
from examples.__main__ import WORKSPACE, show

_YEAR, _DATABASE, _REPORT = (
    WORKSPACE / name for name in ("year", "analytics.duckdb", "report.html")
)

_COMMANDS = (
    f"build --archive {_YEAR} --output {_DATABASE} --today {year.TODAY}",
    f"report --archive {_YEAR} --output {_REPORT} --today {year.TODAY}",
)

_QUERY = """\
SELECT month, round(opening_mrr, 2) AS opening, round(new_mrr, 2) AS new,
  round(reactivation_mrr, 2) AS reactivation, round(expansion_mrr, 2) AS expansion,
  round(contraction_mrr, 2) AS contraction, round(churned_mrr, 2) AS churned,
  round(closing_mrr, 2) AS closing, closing_customers AS customers
FROM mrr_by_month WHERE currency = 'eur' ORDER BY month"""

_MADE = f"""
The year is in {_YEAR}, its report in {_REPORT}, and its tables in {_DATABASE}, for DuckDB and
what reads its files. They are there until the next demo. Ask the year more (docs/ANALYTICS.md):

    .venv/bin/flask archive query --archive {_YEAR} mrr_by_month"""


@click.command()
def main() -> None:
    """Archive the year of a sample shop; build its models, show its revenue, make its report."""
    click.echo("The year of a shop that sells subscriptions:")
    shutil.rmtree(_YEAR, ignore_errors=True)
    year.archive(_YEAR)
    for words in _COMMANDS:
        click.echo(f"\n$ flask archive {words}")
        if status := cli.archive.main(shlex.split(words), standalone_mode=False):
            raise click.ClickException(f"this ended with {status}")
    click.echo(f"\n{_QUERY}\n")
    with duckdb.connect(str(_DATABASE), read_only=True) as database:
        result = database.execute(_QUERY)
        show([name for name, *_ in result.description or ()], result.fetchall())
    click.echo(_MADE)


if __name__ == "__main__":
    main()
