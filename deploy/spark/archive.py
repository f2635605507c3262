"""`flask archive verify` and `seal` on a Spark cluster: the same commands, their work spread.

    spark-submit deploy/spark/archive.py verify --sealed --archive s3://your-company-stripe-webhooks

What goes through objects one by one (`verify`, `verify --sealed`, `seal`, `reconcile`'s index) runs
as tasks of Spark, of some objects each. The driver lists the objects, adds up what the tasks return
in their order, and prints the same result to the byte as the command on one machine.
"""

import itertools
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from pyspark import SparkContext

from archive_tools import parallel
from archive_tools.cli import archive

T = TypeVar("T")
R = TypeVar("R")

#: Of a job of Spark. The driver holds the tasks and results of one job at a time.
_TASKS = 20_000


def over_cluster(work: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
    """Yield the result of each task in order, from the cluster's executors."""
    context = SparkContext.getOrCreate()
    waiting = iter(tasks)
    while chunk := list(itertools.islice(waiting, _TASKS)):
        # a few tasks for each core, and no partition without one
        slices = min(len(chunk), 4 * context.defaultParallelism)
        yield from context.parallelize(chunk, slices).map(work).collect()


def words_of(arguments: list[str]) -> list[str]:
    """Return the words of the command: all arguments, or those in `--words` among Glue's own."""
    if "--words" in arguments:
        return shlex.split(arguments[arguments.index("--words") + 1])
    return arguments


if __name__ == "__main__":
    with parallel.elsewhere(over_cluster):
        archive(words_of(sys.argv[1:]), prog_name="flask archive")
