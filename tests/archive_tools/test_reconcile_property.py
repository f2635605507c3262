"""Whatever was delivered, lost and delivered again: reconcile names the losses, and only those."""

import json
import tempfile
import time
from pathlib import Path

from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from archive_tools.cli import archive
from tests.fakes.stripe import ENDPOINT, FakeStripe, delivered, event
from webhook_app.storage.local import LocalArchive

HOUR = 3600

#: Of each event: how long ago, how often it was delivered, and how late.
EVENTS = st.lists(
    st.tuples(
        st.integers(HOUR, 40 * HOUR) | st.sampled_from([HOUR, 24 * HOUR]),
        st.integers(0, 3),
        st.integers(0, 50 * HOUR),
    ),
    max_size=12,
)


@settings(max_examples=20, deadline=None)
@given(EVENTS)
def test_exactly_the_losses_are_named_and_put_back_once(
    planned: list[tuple[int, int, int]],
) -> None:
    now = int(time.time())
    events = [event(n, now - ago) for n, (ago, _, _) in enumerate(planned)]
    with FakeStripe(events).serving() as stripe, tempfile.TemporaryDirectory() as name:
        stripe.endpoints = [ENDPOINT]
        folder = Path(name)
        local = LocalArchive(folder)
        for one, (ago, times, late) in zip(events, planned, strict=True):
            for turn in range(times):
                local.put(delivered(one, min(late + turn, ago)))

        def reconcile(*arguments: str) -> tuple[int, dict[str, object]]:
            words = ["reconcile", "--archive", name, "--last", "3", "--rate", "100", "--json"]
            variables = {**stripe.variables(), "PYTHON_DOTENV_DISABLED": "1"}
            result = CliRunner().invoke(archive, [*words, *arguments], env=variables)
            return result.exit_code, json.loads(result.stdout)

        lost = {e["id"] for e, (_, times, _) in zip(events, planned, strict=True) if not times}
        copies = [times for _, times, _ in planned if times > 1]
        status, told = reconcile()
        assert {one["id"] for one in told["missing"]} == lost  # type: ignore[attr-defined]
        assert told["archived"] == len(events) - len(lost)
        assert told["unknown"] == told["faults"] == []
        assert told["duplicates"] == {
            "events": len(copies),
            "extra_copies": sum(copies) - len(copies),
        }
        assert status == bool(lost)

        status, told = reconcile("--repair")
        assert (status, told["missing"]) == (0, [])
        assert {one["id"] for one in told["repaired"]} == lost  # type: ignore[attr-defined]
        files = set(folder.rglob("*.gz"))
        status, told = reconcile("--repair")
        assert (status, told["missing"], told["repaired"]) == (0, [], [])
        assert set(folder.rglob("*.gz")) == files
