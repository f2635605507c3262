"""How many events a second a machine takes: the lesser of what its workers and its cores allow.

Workers are counted as the service counts them; what a core does was measured.
"""

from dataclasses import dataclass

from webhook_app.serving.capacity import worker_count

from .results import Results

#: Direct PUT requests a second and stream, in the regions with the highest quota.
#: https://docs.aws.amazon.com/firehose/latest/dev/limits.html
STREAM_REQUESTS_PER_S = 2_000


@dataclass(frozen=True)
class PlatformSize:
    """A size that a platform offers. As last known: check before you rely on one."""

    name: str
    memory_mb: int
    cores: float | None
    """What it has for good, of a core; None where the platform does not say it in cores."""

    @property
    def workers(self) -> int:
        """Return how many workers the service starts there."""
        return worker_count(self.memory_mb * 2**20)


#: https://devcenter.heroku.com/articles/dyno-types, https://render.com/pricing,
#: https://fly.io/docs/machines/cpu-performance: a shared CPU is 1/16 of a core, and more in bursts.
PLATFORM_SIZES = (
    PlatformSize("Heroku Basic, Standard-1X", 512, None),
    PlatformSize("Heroku Standard-2X", 1024, None),
    PlatformSize("Heroku Performance-M", 2560, None),
    PlatformSize("Render Starter", 512, 0.5),
    PlatformSize("Render Standard", 2048, 1),
    PlatformSize("Render Pro", 4096, 2),
    PlatformSize("Fly shared-cpu-1x, 256 MB", 256, 1 / 16),
    PlatformSize("Fly shared-cpu-1x, 512 MB", 512, 1 / 16),
    PlatformSize("Fly shared-cpu-1x, 1 GB", 1024, 1 / 16),
    PlatformSize("Fly shared-cpu-1x in a burst, 512 MB", 512, 1),
)


@dataclass(frozen=True)
class Rate:
    """Events a second, and what they end at."""

    events_per_s: float
    ends_at: str


def by_workers(workers: int, latency_ms: float) -> float:
    """Return the events a second of workers that each wait for one PutRecord at a time."""
    return workers / latency_ms * 1000


def by_cores(results: Results, cores: float) -> float:
    """Return the events a second of cores that do nothing else."""
    return cores * 1e6 / results.cpu.us_per_event


def rate(results: Results, size: PlatformSize, latency_ms: float) -> Rate:
    """Return what a size takes while Firehose takes that long."""
    of_workers = by_workers(size.workers, latency_ms)
    if size.cores is None:
        return Rate(of_workers, "workers, or less")
    of_cores = by_cores(results, size.cores)
    return Rate(of_workers, "workers") if of_workers <= of_cores else Rate(of_cores, "CPU")
