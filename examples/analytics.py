"""What docs/ANALYTICS.md has of the code: `python -m examples.analytics docs/ANALYTICS.md`.

The answers to its questions on the sample year, and the dictionary of the models.
"""

import re
import tempfile
from pathlib import Path

import click

from archive_tools.querying.building import build, built_by_default
from archive_tools.querying.database import open_database
from archive_tools.querying.models import Model, known_relations, models
from archive_tools.querying.result import Result
from archive_tools.querying.translation import translated
from archive_tools.querying.types import text_literal
from archive_tools.storage import FolderStorage
from examples import year
from examples.athena import markdown, renewed

_ANSWERS = "<!-- the answers: generated -->", "<!-- end of the answers -->"
_DICTIONARY = "<!-- the dictionary: generated -->", "<!-- end of the dictionary -->"

#: What people ask first, and the query that answers it.
QUESTIONS = {
    "How much recurring revenue is there, and how did it come about?": """\
SELECT month, opening_mrr, new_mrr, reactivation_mrr, expansion_mrr, contraction_mrr, churned_mrr,
  closing_mrr
FROM mrr_by_month
WHERE livemode AND currency = 'eur'
ORDER BY month DESC""",
    "Which changes of which subscriptions were that?": """\
SELECT changed_at, customer, subscription_item, kind, mrr_before, mrr_after, event_id
FROM subscription_item_changes
WHERE livemode AND currency = 'eur' AND changed_at >= TIMESTAMP '2026-08-01 00:00:00'
ORDER BY changed_at, subscription_item""",
    "How many customers stayed, and how much of their money?": """\
SELECT month, opening_customers, churned_customers, customer_churn_rate, gross_revenue_retention,
  net_revenue_retention, arpa
FROM mrr_by_month
WHERE livemode AND currency = 'eur'
ORDER BY month DESC""",
    "Which subscriptions are past due, of whom and for what?": """\
SELECT s.id, s.status, c.email, i.price, i.quantity, s.current_period_end_at
FROM subscriptions AS s
JOIN subscription_items AS i ON i.subscription = s.id
LEFT JOIN customers AS c ON c.id = s.customer
WHERE s.livemode AND s.status IN ('past_due', 'unpaid')
ORDER BY s.id""",
    "Which invoices are not paid?": """\
SELECT id, customer, status, amount_remaining, currency, created_at
FROM invoices
WHERE livemode AND status IN ('open', 'uncollectible')
ORDER BY created_at""",
    "How much was charged, refunded and disputed?": """\
SELECT currency, count(*) AS charges, sum(amount) AS amount, sum(amount_refunded) AS refunded,
  count_if(disputed) AS disputed
FROM charges
WHERE livemode AND status = 'succeeded'
GROUP BY currency
ORDER BY currency""",
}


def answers(built: Path) -> str:
    """Return a section for each question, with its query and its result on a built database."""
    sections = []
    with open_database(built.parent) as database:
        database.rows(f"ATTACH {text_literal(str(built))} AS built (READ_ONLY)")
        for name in built_by_default():
            database.rows(f"CREATE TEMP VIEW {name} AS FROM built.main.{name}")
        for question, sql in QUESTIONS.items():
            query = translated(sql, known_relations(sql), year.TODAY)
            rows = database.rows(query.sql)
            table = markdown(Result([name for name, _ in query.columns], rows))
            sections.append(f"### {question}\n\n```sql\n{sql}\n```\n\n{table}\n")
    return "".join(sections)


def dictionary() -> str:
    """Return a section for each model: its question, its rules, and its columns."""
    found = sorted(models(), key=lambda model: model.name)
    names = ", ".join(f"[`{model.name}`](#{model.name})" for model in found)
    return "\n".join([f"{names}\n", *map(_section, found)]) + "\n"


def _section(model: Model) -> str:
    # a line that is set in is an item of a list
    rules = re.sub(r"(?m)^  (?=\S)", "- ", model.rules)
    head = f"### {model.name}\n\n{model.question}\n\n{rules}\n\n"
    rows = [
        f"| `{name}` | {type_} | {model.meanings.get(name, '')} |\n"
        for name, type_ in model.columns.items()
    ]
    return f"{head}| column | type | |\n|---|---|---|\n{''.join(rows)}"


def renewed_document(text: str, built: Path) -> str:
    """Return the document with what the code gives now."""
    return renewed(renewed(text, _ANSWERS, answers(built)), _DICTIONARY, dictionary())


@click.command()
@click.argument("document", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(document: Path) -> None:
    """Renew the answers and the dictionary in DOCUMENT."""
    with tempfile.TemporaryDirectory() as scratch:
        year.archive(Path(scratch, "archive"))
        built = Path(scratch, "analytics.duckdb")
        storage = FolderStorage(Path(scratch, "archive"), "archive")
        build(storage, built_by_default(), built, is_database=True, today=year.TODAY)
        document.write_text(renewed_document(document.read_text(), built))


if __name__ == "__main__":
    main()
