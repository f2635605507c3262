"""`GET /metrics` for Prometheus, `GET /counter` for people and scripts: the totals since the boot.

The only module that knows Prometheus. It is imported only where deliveries are counted.
"""

import hmac
import itertools
from collections.abc import Iterator

from flask import Blueprint, Response, current_app, request
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from ..monitoring.counters import BUCKETS_S, Counters, Durations
from ..settings import Settings
from ..version import __version__
from .responses import error, json_response

bp = Blueprint("metrics", __name__)

_LAST = [*map(str, BUCKETS_S), "+Inf"]


@bp.before_request
def authorize() -> Response | None:
    """Answer 401 unless the request bears the token. A local archive can do without one."""
    settings: Settings = current_app.extensions["settings"]
    if settings.metrics_token is None:
        return None
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    same = hmac.compare_digest(token.strip().encode(), settings.metrics_token.encode())
    if same and scheme.lower() == "bearer":
        return None
    response = error(401, "Unauthorized")
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


@bp.get("/metrics")
def metrics() -> Response:
    """Return the totals in the format that the scraper asks for."""
    counters: Counters = current_app.extensions["counters"]
    settings: Settings = current_app.extensions["settings"]
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return Response(encode(_Exposition(counters, settings.threads)), content_type=content_type)


@bp.get("/counter")
def counter() -> Response:
    """Return the totals as plain JSON."""
    counters: Counters = current_app.extensions["counters"]
    totals = counters.totals()
    archived, refused = sum(totals.archived.values()), sum(totals.refused.values())
    return json_response(
        200,
        {
            "received": archived + totals.failed + refused,
            "archived": archived,
            "failed": totals.failed,
            "refused": refused,
            "refused_by_reason": {reason: n for reason, n in totals.refused.items() if n},
            "archived_by_type": totals.archived,
            "archived_bytes": totals.archived_bytes,
            "retries": totals.retries,
            "since": counters.since.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "version": __version__,
        },
    )


class _Exposition(Collector):
    """The metrics. docs/OPERATIONS.md has their table."""

    def __init__(self, counters: Counters, threads: int) -> None:
        self._counters = counters
        self._threads = threads

    def collect(self) -> Iterator[Metric]:
        totals = self._counters.totals()
        outcomes = {
            "archived": sum(totals.archived.values()),
            "failed": totals.failed,
            "refused": sum(totals.refused.values()),
        }
        yield _counted("deliveries", "Deliveries by how they ended", "outcome", outcomes)
        yield _counted("refusals", "Refused deliveries by reason", "reason", totals.refused)
        yield _counted("events_archived", "Archived events by type", "type", totals.archived)
        yield CounterMetricFamily(
            "stripe_webhook_archived_bytes",
            "Bytes of the bodies of archived events",
            totals.archived_bytes,
        )
        yield CounterMetricFamily(
            "stripe_webhook_archive_retries",
            "Tries of a write to the archive beyond its first",
            totals.retries,
        )
        yield _timed("archive", "Until the archive confirmed or failed", totals.archive)
        yield _timed("delivery", "From the request to its answer", totals.delivery)
        yield GaugeMetricFamily(
            "stripe_webhook_workers_busy", "Deliveries being worked on", totals.busy
        )
        yield GaugeMetricFamily(
            "stripe_webhook_workers",
            "Deliveries that can be worked on at once",
            totals.workers * self._threads,
        )
        yield GaugeMetricFamily(
            "stripe_webhook_start_time_seconds",
            "When the service began to count, in Unix seconds",
            self._counters.since.timestamp(),
        )
        build = {"version": __version__}
        yield InfoMetricFamily("stripe_webhook_build", "What is running", build)


def _counted(name: str, meaning: str, label: str, counts: dict[str, int]) -> Metric:
    family = CounterMetricFamily(f"stripe_webhook_{name}", meaning, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family


def _timed(name: str, meaning: str, durations: Durations) -> Metric:
    cumulative = itertools.accumulate(durations.buckets)
    return HistogramMetricFamily(
        f"stripe_webhook_{name}_duration_seconds",
        meaning,
        buckets=list(zip(_LAST, cumulative, strict=True)),
        sum_value=durations.sum_s,
    )
