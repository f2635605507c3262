"""A run of `snapshot`: the lists one after the other, and the report of what came of it."""

import http.client
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ..erasing.erased import Erased
from ..output import Progress, cell, count_text, table
from ..reconciling.checkpoint import Checkpoint
from ..reconciling.listing import listing
from ..reconciling.pages import Listed, StripeObject
from ..reconciling.stripe_api import PERMISSIONS, RefusedError, StripeApi
from ..storage import Storage
from .lists import BALANCE_TRANSACTIONS, LISTS, ObjectList, remaining
from .writing import Put, SnapshotWriter, listed_until, snapshot_records

#: Seconds of the run before that are listed again: for the difference of the clocks, and for what
#: Stripe lists late.
_OVERLAP_S = 3600

#: Nothing of Stripe's is older; the bar of progress begins here.
_STRIPE_BEGAN = int(datetime(2010, 1, 1, tzinfo=UTC).timestamp())


@dataclass
class Run:
    """A run, and what came of it."""

    api: StripeApi
    storage: Storage
    put: Put
    checkpoint: Checkpoint
    now: int
    """Unix seconds at which it began."""
    erased: Erased
    """What was erased, and is not written."""
    left_out: int = 0
    """Objects that were erased."""
    counts: dict[str, int] = field(default_factory=dict)
    """Objects by list, as far as the key may read it."""
    refused: dict[str, RefusedError] = field(default_factory=dict)
    cut: list[str] = field(default_factory=list)
    """Subscriptions that have their first ten items alone."""
    keys: int = 0
    """Objects of the archive that were written."""
    since: int | None = None
    """Unix seconds from which on the balance transactions were listed; None for all."""

    def add(self, name: str, full_name: str, bar: Progress) -> None:
        """List and write one kind of objects; what the key may not read is noted.

        Raises:
            ToolError: Stripe refused or did not answer, or the archive did not take something.
        """
        first, until = 0, None
        if name == BALANCE_TRANSACTIONS:
            until, before = self.now, listed_until(self.storage, full_name)
            if before is not None:
                first = self.since = max(0, before - _OVERLAP_S)
        writer = SnapshotWriter(self.put, full_name)
        self.counts[name] = 0
        done: list[str] = []
        try:
            for address in LISTS[name]:
                self._list(name, ObjectList(self.api, address), first, writer, done, bar)
        except RefusedError as refused:
            if refused.status != http.client.FORBIDDEN:
                raise
            self.refused[name] = refused
            del self.counts[name]
            return
        writer.flush(until)
        self.checkpoint.add(*done)
        self.keys += writer.objects

    def _list(
        self,
        name: str,
        listed: ObjectList,
        first: int,
        writer: SnapshotWriter,
        done: list[str],
        bar: Progress,
    ) -> None:
        windows = remaining(first, self.now, _ranges(listed.address, self.checkpoint.done))
        # of what is left out, in whichever way, the bar is told first
        bar.update(length(0, self.now) - sum(length(w.first, w.last) for w in windows))
        for fetched in listing(listed.fetch, windows, lambda: bar.update(0)):
            kept = [one for one in fetched.page.items if not self._is_erased(one)]
            self.left_out += len(fetched.page.items) - len(kept)
            records = snapshot_records(fetched.page._replace(items=kept), self.api.livemode)
            if records and writer.is_full:
                writer.flush()
                self.checkpoint.add(*done)
                done.clear()
            writer.add(records)
            self.counts[name] += len(records)
            finished = fetched.finished
            if finished.seconds:
                done.append(f"{listed.address} {finished.first} {finished.last}")
            bar.update(length(finished.first, finished.last))
        self.cut += listed.cut

    def _is_erased(self, one: Listed[StripeObject]) -> bool:
        return self.erased.covers(one.payload, one.columns.created)

    def text(self) -> str:
        """Return what people read."""
        mode = "live" if self.api.livemode else "test"
        lines = [table(("list", "objects"), list(self.counts.items())), ""]
        lines += [f"Not listed: {name}. {cell(one.message)}" for name, one in self.refused.items()]
        if self.cut:
            lines.append(
                f"{count_text(len(self.cut), 'subscription')} with the first ten items alone, as "
                f"the rest could not be read: {', '.join(map(cell, self.cut[:30]))}"
            )
        if self.left_out:
            lines.append(f"{count_text(self.left_out, 'object')} were erased here, and left out.")
        total = count_text(sum(self.counts.values()), "object")
        since = ""
        if self.since is not None:
            moment = datetime.fromtimestamp(self.since, UTC)
            since = f"; balance transactions since {moment:%Y-%m-%d %H:%M} UTC"
        lines.append(f"Wrote {total} of {mode} mode to snapshots/{since}.")
        return "\n".join(lines)

    def as_json(self) -> dict[str, object]:
        """Return what scripts read."""
        return {
            "archive": self.storage.name,
            "livemode": self.api.livemode,
            "at": self.now,
            "objects": self.counts,
            "written": self.keys,
            "erased": self.left_out,
            "not_readable": [
                {"list": name, "permission": PERMISSIONS[f"/v1/{name}"], "error": one.message}
                for name, one in self.refused.items()
            ],
            "subscriptions_cut": self.cut,
            "balance_transactions_since": self.since,
        }


def _ranges(address: str, done: Iterable[str]) -> list[tuple[int, int]]:
    """Return the seconds of a list that a checkpoint names; half a line is none of them."""
    lines = (line.split(" ") for line in done)
    return [
        (int(line[1]), int(line[2]))
        for line in lines
        if len(line) == 3 and line[0] == address and line[1].isdigit() and line[2].isdigit()
    ]


def length(first: int, last: int) -> int:
    """Return how many seconds of a range the bar shows."""
    return max(0, last - max(first, _STRIPE_BEGAN) + 1)
