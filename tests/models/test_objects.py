"""Which state of an object is the latest, whatever the order of the deliveries.

The cases lie in one archive, each with objects of its own, since a query costs more than its rows.
"""

from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.models.objects_support import TEN, Row, archive, event, rows, snapshot

LATEST = """
    SELECT account, livemode, object, id, as_of, event_id, is_deleted, source,
      json_extract_scalar(data, '$.name') AS name, json_extract_scalar(data, '$.note') AS note, data
    FROM object_states WHERE is_latest
"""
LAST = "SELECT id, as_of, event_id FROM object_states WHERE is_last"


def customer(id_: str, name: str | None, **values: object) -> dict[str, Any]:
    return {"id": id_, "object": "customer", "created": TEN, "name": name, **values}


def updates(id_: str, *names: str, **fields: Any) -> list[bytes]:
    """Updates of one second, each of the name that the one before gave."""
    return [
        event(f"evt_{id_}_{n}", "customer.updated", customer(id_, new), {"name": old}, **fields)
        for n, (old, new) in enumerate(pairwise(names))
    ]  # fmt: skip


def items(quantity: int) -> dict[str, Any]:
    """A list of one item, as a subscription carries it."""
    item = {"id": "si_1", "quantity": quantity, "price": {"id": "price_1"}}
    return {"object": "list", "data": [item], "has_more": False}


def deliveries() -> list[bytes]:
    made = [
        event("evt_later", "customer.updated", customer("cus_time", "later"), created=TEN + 1),
        event("evt_sooner", "customer.updated", customer("cus_time", "sooner"), arrived="10:09:00"),
        # created, updated and deleted in one second
        event("evt_made", "customer.created", customer("cus_all", "new"), arrived="10:09:00"),
        event("evt_gone", "customer.deleted", customer("cus_all", "b", deleted=True)),
        *updates("cus_all", "new", "b", arrived="10:10:00"),
        event("evt_new", "customer.created", customer("cus_new", "new"), arrived="10:09:00"),
        event("evt_old", "customer.updated", customer("cus_new", "newer")),
        # a deletion that says nothing but the id, and one of what was never seen before
        event("evt_last", "customer.updated", customer("cus_thin", "last"), created=TEN - 60),
        event("evt_thin", "customer.deleted",
              {"id": "cus_thin", "object": "customer", "deleted": True}),
        event("evt_bare", "customer.deleted",
              {"id": "cus_bare", "object": "customer", "deleted": True}),
        event("evt_sub", "customer.subscription.deleted",
              {"id": "sub_1", "object": "subscription", "status": "canceled"}),
        # independent changes: neither has what the other changed from
        event("evt_note", "customer.updated", customer("cus_both", "x", note="2"), {"note": "1"}),
        event("evt_name", "customer.updated", customer("cus_both", "y", note="2"), {"name": "x"},
              arrived="10:00:01"),
        # what was added was null before
        event("evt_added", "customer.updated",
              customer("cus_added", "x", metadata={"a": "1", "b": "2"}), {"metadata": {"b": None}},
              arrived="10:00:01"),
        event("evt_first", "customer.updated", customer("cus_added", "x", metadata={"a": "1"}),
              {"metadata": {"a": "0"}}),
        # a value where there was an object, and null where there is one
        event("evt_object", "customer.updated", customer("cus_kind", "1", note={"a": "1"}),
              {"note": None}),
        event("evt_scalar", "customer.updated", customer("cus_kind", "2", note="t"),
              {"note": {"a": "1"}}, arrived="10:00:01"),
        # an event without previous_attributes between others
        event("evt_plain", "customer.weighed", customer("cus_plain", "b"), arrived="10:09:00"),
        *updates("cus_plain", "a", "b", "c"),
        # each after the other tells nothing: the later arrival, then the greater id
        *updates("cus_swap", "a", "b", "a", arrived="10:00:01"),
        # … also where others of the second are in order
        *updates("cus_four", "a", "b", arrived="10:00:09"),
        event("evt_four_back", "customer.updated", customer("cus_four", "a"), {"name": "b"},
              arrived="10:00:08"),
        *(
            event(f"evt_four_{n}", "customer.updated", customer("cus_four", "z", note=n),
                  {"note": n - 1})
            for n in (1, 2)
        ),
        # a list that grows holds what it held before
        *(
            event(f"evt_grow_{n}", "customer.subscription.updated",
                  {"id": "sub_grow", "object": "subscription", "name": str(n),
                   "items": {"data": items(1)["data"] * n}},
                  {"items": {"data": items(1)["data"] * (n - 1)}}, arrived=f"10:00:0{9 - n}")
            for n in (2, 3)
        ),
        event("evt_exact", "customer.updated", customer("cus_exact", "event")),
        event("evt_tie_a", "customer.updated", customer("cus_tie", "a")),
        event("evt_tie_b", "customer.updated", customer("cus_tie", "b")),
        event("evt_late_a", "customer.updated", customer("cus_late", "a"), arrived="10:00:09"),
        event("evt_late_b", "customer.updated", customer("cus_late", "b")),
        # one id in two accounts and in both modes
        *(event(f"evt_of_{account}_{livemode}", "coupon.created",
                {"id": "SAVE", "object": "coupon", "name": f"{account} {livemode}"},
                account=account, livemode=livemode)
          for account in (None, "acct_1") for livemode in (True, False)),
        # neither is a state
        event("evt_draft", "invoice.upcoming", {"id": "in_1", "object": "invoice"}),
        event("evt_other", "radar.thing", {"id": "x_1", "object": "radar.thing"}),
        event("evt_none", "customer.updated", {"object": "customer"}),
    ]  # fmt: skip
    for way in (1, -1):
        names = ["a", "b", "c", "d"]
        id_ = f"cus_chain{way}"
        chain = [
            event(f"evt_{way}_{n}", "customer.updated", customer(id_, new), {"name": old},
                  arrived=f"10:00:{30 + n * way}")
            for n, (old, new) in enumerate(pairwise(names))
        ]  # fmt: skip
        made += chain
        made += [
            event(f"evt_{way}_{n}_s", "customer.subscription.updated",
                  {"id": f"sub_chain{way}", "object": "subscription", "name": str(n), "items": new},
                  {"items": {"data": old}}, arrived=f"10:00:{30 + n * way}")
            for n, (old, new) in enumerate([
                # the whole list, some of an item, and a list that is shorter than it was
                (items(1)["data"], items(2)),
                ([{"quantity": 2}], items(3)),
                (items(3)["data"], {"data": items(3)["data"] * 2}),
                (items(3)["data"] * 2, {"data": []}),
            ])
        ]  # fmt: skip
    return made


def snapshots() -> list[bytes]:
    return [
        # before, in the second of, and after an event
        snapshot(customer("cus_time", "snapshot"), "10:00:00.500000"),
        snapshot(customer("cus_chain1", "snapshot"), "10:00:00.900000"),
        snapshot(customer("cus_exact", "snapshot"), "10:00:00.000000"),
        # of no time
        snapshot(customer("cus_time", "broken"), "noon"),
        # a deletion of the same second is the last
        snapshot(customer("cus_all", "snapshot"), "10:00:00.700000"),
        # two of one second, and objects that have no event
        snapshot(customer("cus_listed", "first"), "08:00:00.100000"),
        snapshot(customer("cus_listed", "second"), "08:00:00.200000"),
        snapshot({"id": "txn_1", "object": "balance_transaction", "name": "t"}, "08:00:00.000000"),
        *(
            snapshot({"id": "SAVE", "object": "coupon", "name": "listed"}, at, account=account)
            for account, at in [("acct_2", "08:00:00.000000"), ("acct_1", "11:00:00.000000")]
        ),
    ]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return archive(tmp_path_factory.mktemp("archive"), deliveries(), snapshots())


@pytest.fixture(scope="module")
def found(written: Path) -> list[list[Row]]:
    return list(rows(written, LATEST, LAST))


Latest = Callable[[str], Row]


@pytest.fixture
def latest(found: list[list[Row]]) -> Latest:
    def of(id_: str) -> Row:
        (row,) = (row for row in found[0] if row["id"] == id_)
        return row

    return of


def test_the_state_of_the_latest_second_is_the_latest(latest: Latest) -> None:
    row = latest("cus_time")
    assert (row["name"], row["event_id"], row["source"]) == ("later", "evt_later", "webhook")
    assert row["as_of"] == datetime(2026, 11, 23, 10, 0, 1)


@pytest.mark.parametrize("way", [1, -1])
def test_updates_of_one_second_are_in_the_order_of_their_previous_attributes(
    latest: Latest, found: list[list[Row]], way: int
) -> None:
    chain = [row["event_id"] for row in found[1] if row["id"] == f"cus_chain{way}"]
    if way == 1:
        assert latest("cus_chain1")["name"] == "snapshot"
        assert chain == [None]
    else:
        assert latest("cus_chain-1")["name"] == "d"
        assert chain == ["evt_-1_2"]


@pytest.mark.parametrize("way", [1, -1])
def test_a_changed_list_is_compared_value_by_value_and_by_its_length(
    latest: Latest, way: int
) -> None:
    assert latest(f"sub_chain{way}")["name"] == "3"


@pytest.mark.parametrize(
    ("id_", "name"),
    [
        ("cus_both", "y"),
        ("cus_kind", "2"),
        ("cus_plain", "c"),
        ("cus_swap", "a"),
        ("cus_four", "b"),
        ("sub_grow", "3"),
        ("cus_exact", "snapshot"),
        ("cus_tie", "b"),
        ("cus_late", "a"),
        ("cus_new", "newer"),
        ("cus_listed", "second"),
        ("txn_1", "t"),
    ],
)
def test_the_last_state_of_a_second(latest: Latest, id_: str, name: str) -> None:
    assert latest(id_)["name"] == name


def test_what_was_added_had_no_value_before(latest: Latest) -> None:
    assert latest("cus_added")["event_id"] == "evt_added"


def test_created_is_the_first_and_deleted_the_last_of_a_second(latest: Latest) -> None:
    row = latest("cus_all")
    assert (row["is_deleted"], row["event_id"], row["name"]) == (True, "evt_gone", "b")


def test_a_deletion_of_an_id_alone_keeps_what_was_known(latest: Latest) -> None:
    row = latest("cus_thin")
    assert (row["is_deleted"], row["event_id"], row["name"]) == (True, "evt_thin", "last")
    bare = latest("cus_bare")
    assert (bare["is_deleted"], bare["name"]) == (True, None)


def test_a_cancelled_subscription_is_not_deleted(latest: Latest) -> None:
    assert latest("sub_1")["is_deleted"] is False


def test_accounts_and_modes_are_apart(found: list[list[Row]]) -> None:
    names = {
        (row["account"], row["livemode"]): row["name"] for row in found[0] if row["id"] == "SAVE"
    }
    assert names == {
        (None, True): "None True",
        (None, False): "None False",
        ("acct_1", True): "listed",
        ("acct_1", False): "acct_1 False",
        ("acct_2", True): "listed",
    }


def test_previews_and_other_objects_are_no_states(found: list[list[Row]]) -> None:
    assert {row["id"] for row in found[0]}.isdisjoint({"in_1", "x_1", None})


def test_each_second_of_an_object_has_one_last_state(found: list[list[Row]]) -> None:
    seconds = [(row["id"], row["as_of"].replace(microsecond=0)) for row in found[1]]
    assert len(seconds) == len(set(seconds)) + len(["SAVE"] * 3)  # of four accounts and modes


@pytest.fixture(params=range(3))
def shuffled(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The same deliveries in another order, some of them more than once."""
    random = Random(request.param)
    events, listed = deliveries(), snapshots()
    again = random.choices(events, k=20) + random.choices(listed, k=5)
    events += again[:20]
    listed += again[20:]
    random.shuffle(events)
    random.shuffle(listed)
    return archive(tmp_path, events, listed)


def test_order_and_number_of_deliveries_change_nothing(
    shuffled: Path, found: list[list[Row]]
) -> None:
    def in_order(of: list[Row]) -> list[Row]:
        return sorted(of, key=lambda row: tuple(map(str, row.values())))

    (again,) = rows(shuffled, LATEST)
    assert in_order(again) == in_order(found[0])
