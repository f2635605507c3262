"""Recurring revenue, against an oracle that walks over the same histories in plain Python."""

import os
import tempfile
from collections import defaultdict
from datetime import date
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.models import oracle
from tests.models.histories import History, archive, histories, told
from tests.queries.conftest import query

TODAY = date(2026, 9, 10)

#: For a long run: STRIPE_MODEL_EXAMPLES=200.
EXAMPLES = int(os.environ.get("STRIPE_MODEL_EXAMPLES", "4"))

Rows = list[dict[str, Any]]


def of_accounts(folder: Path, model: str) -> dict[str, Rows]:
    """The rows of a model by account, each without what is the same for all."""
    names, rows = query(folder, f"SELECT * FROM {model}", TODAY)
    found: dict[str, Rows] = defaultdict(list)
    for row in rows:
        of = dict(zip(names, row, strict=True))
        assert of.pop("livemode") is True
        of.pop("event_id", None)
        found[of.pop("account")].append(of)
    return found


def in_order(rows: Rows) -> Rows:
    return sorted(rows, key=lambda row: [str(value) for value in row.values()])


def assert_identities(changes: Rows, months: Rows) -> None:
    """What has to hold whatever the history is."""
    for row in months:
        moved = ("new", "reactivation", "expansion", "contraction", "churned")
        assert row["opening_mrr"] + sum(row[f"{name}_mrr"] for name in moved) == row["closing_mrr"]
        added = row["new_customers"] + row["reactivated_customers"] - row["churned_customers"]
        assert row["opening_customers"] + added == row["closing_customers"]
    for currency in {row["currency"] for row in months}:
        of = sorted((r for r in months if r["currency"] == currency), key=lambda r: r["month"])
        for before, after in pairwise(of):
            assert before["closing_mrr"] == after["opening_mrr"]
        total = sum(r["mrr_change"] for r in changes if r["currency"] == currency)
        assert of[-1]["closing_mrr"] == total


@given(
    st.lists(histories(), min_size=1, max_size=12),
    st.sampled_from([0.0, 0.4]),
    st.randoms(use_true_random=False),
)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    # a query takes half a second, and to shrink a history takes hundreds
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_the_models_give_the_figures_of_the_oracle(
    drawn: list[History], copies: float, random: Random
) -> None:
    accounts = {f"acct_{number}": history for number, history in enumerate(drawn)}
    with tempfile.TemporaryDirectory() as folder:
        archive(Path(folder), {name: told(of) for name, of in accounts.items()}, random, copies)
        changes = of_accounts(Path(folder), "subscription_item_changes")
        months = of_accounts(Path(folder), "mrr_by_month")
    for name, history in accounts.items():
        assert in_order(changes[name]) == in_order(oracle.changes(history.known))
        assert in_order(months[name]) == in_order(oracle.months(history.known, TODAY))
        assert_identities(changes[name], months[name])
        assert all(isinstance(row["arpa"], Decimal | None) for row in months[name])
