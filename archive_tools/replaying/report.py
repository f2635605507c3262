"""What a replay tells: beforehand, of its plan, and afterwards, of what came of it."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..output import cell, count_text, table
from ..reading import Fault
from .bookmark import Bookmark
from .destination import Destination
from .plan import Plan
from .sending import Sending

_MOST_LISTED = 20


def preview(plan: Plan, mark: Bookmark, to: Destination, missing: Sequence[str]) -> dict[str, Any]:
    """Return what would be sent, for a script."""
    ends = [asdict(end) for end in plan.ends()]
    return {
        "url": str(to),
        "planned": len(plan),
        "accepted_before": mark.accepted,
        "types": [{"type": kind, "events": count} for kind, count in plan.types().items()],
        "first": ends[0] if ends else None,
        "last": ends[-1] if ends else None,
        **_wrong(plan.faults, missing),
    }


def preview_text(told: dict[str, Any], faults: Sequence[Fault]) -> str:
    """Return a preview for people."""
    parts = [f"{count_text(told['planned'], 'event')} would be sent to {told['url']}"]
    if told["accepted_before"]:
        parts[0] += f", {told['accepted_before']:,} of them accepted before and left out"
    if told["planned"]:
        ends = [[name, *told[name].values()] for name in ("first", "last")]
        types = [list(row.values()) for row in told["types"]]
        parts += ["", table(["type", "events"], types)]
        parts += ["", table(["", "id", "type", "created", "received_at"], ends)]
    return "\n".join(parts + _wrong_lines(faults, told["missing"]))


def result(
    sending: Sending, plan: Plan, mark: Bookmark, to: Destination, missing: Sequence[str]
) -> dict[str, Any]:
    """Return what came of a replay, for a script."""
    told = sending.tally.as_dict()
    return {
        "url": str(to),
        "planned": len(plan),
        "accepted_before": mark.accepted - told["accepted"],
        **told,
        "left": len(plan) - mark.accepted,
        "stopped_by": sending.stopped_by,
        **_wrong(plan.faults, missing),
    }


def result_text(told: dict[str, Any], faults: Sequence[Fault]) -> str:
    """Return what came of a replay, for people."""
    words = f"{count_text(told['sent'], 'event')} sent to {told['url']} in {told['seconds']:,.1f} s"
    words += f", {told['events_per_second']:,} a second"
    parts = [words]
    if told["p50_ms"] is not None:
        parts.append(f"Answers: p50 {told['p50_ms']:,} ms, p99 {told['p99_ms']:,} ms")
    if told["accepted_before"]:
        parts.append(f"{told['accepted_before']:,} had been accepted before")
    if told["sent"]:
        rows = [[r["outcome"], r["status"] or r["cause"], r["events"]] for r in told["results"]]
        parts += ["", table(["outcome", "answer", "events"], rows)]
    if told["failures"]:
        rows = [
            [f["id"] or f"{f['key']} line {f['line']}", f["type"], f["status"] or f["cause"]]
            for f in told["failures"]
        ]
        parts += ["", table(["not accepted", "type", "answer"], rows)]
        parts += _more(told["refused"] + told["failed"] - len(rows))
    if told["stopped_by"]:
        parts += ["", f"Stopped: {told['stopped_by']}"]
    return "\n".join(parts + _wrong_lines(faults, told["missing"]))


def _wrong(faults: Sequence[Fault], missing: Sequence[str]) -> dict[str, Any]:
    return {"missing": list(missing), "faults": [asdict(fault) for fault in faults]}


def _wrong_lines(faults: Sequence[Fault], missing: Sequence[str]) -> list[str]:
    lines = []
    if missing:
        lines += ["", "Not among the selected:", *(f"  {cell(id_)}" for id_ in missing)]
    if faults:
        lines += ["", "Could not be read, and is left out:"]
        lines += [f"  {cell(fault)}" for fault in faults[:_MOST_LISTED]]
        lines += _more(len(faults) - _MOST_LISTED)
    return lines


def _more(count: int) -> list[str]:
    return [f"… and {count:,} more"] if count > 0 else []
