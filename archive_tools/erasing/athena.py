"""What was erased, taken out of the table that `flask archive compact` keeps of a bucket.

Iceberg deletes by a note beside the files. OPTIMIZE writes the files without the rows, and VACUUM
removes the files of before once the table keeps no snapshot that has them.
https://docs.aws.amazon.com/athena/latest/ug/querying-iceberg-data-optimization.html
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..errors import ToolError
from ..settings import ToolSettings
from ..storage import Storage, s3_client
from .erased import Erasure
from .objects import BucketObjects

if TYPE_CHECKING:
    from ..querying.athena_compaction import Athena

_PREFIX = "parquet/"
_TABLE = "stripe_events_compacted"

#: Hashes in one statement, which has 262,144 bytes at most.
_HASHES = 3000

_MORE_RUNS = "ICEBERG_VACUUM_MORE_RUNS_NEEDED"


class AthenaTable:
    """The compacted table of a bucket; of a folder there is none."""

    def __init__(
        self, storage: Storage, settings: ToolSettings, workgroup: str, database: str
    ) -> None:
        """Take an archive, and what Athena is asked by."""
        self._storage = storage
        self._settings = settings
        self._workgroup = workgroup
        self._database = database

    def erase(self, erasure: Erasure) -> None:
        """Delete the events of an erasure, with the files that had them.

        Raises:
            ToolError: Athena refused a statement; the erasure is not done, and goes on from there.
        """
        if not self._storage.bucket or not erasure.events or not self._has_files():
            return
        from ..querying.athena_engine import open_athena

        with open_athena(self._storage, self._settings, self._workgroup, self._database) as engine:
            for statement in statements(erasure.events):
                _execute(engine, statement)
        objects = BucketObjects(self._storage.bucket, self._settings.aws_region)
        objects.remove_old_versions_below(_PREFIX)

    def _has_files(self) -> bool:
        found = s3_client(self._settings.aws_region).list_objects_v2(
            Bucket=self._storage.bucket or "", Prefix=_PREFIX, MaxKeys=1
        )
        return bool(found.get("KeyCount"))


def _execute(engine: "Athena", statement: str) -> None:
    while True:
        try:
            engine.execute(statement)
        except ToolError as error:
            # VACUUM removes so many files a time
            if _MORE_RUNS not in error.message:
                raise
        else:
            return


def statements(hashes: list[str]) -> Iterator[str]:
    """Yield what Athena has to run, in order, for the hashes of event ids."""
    for n in range(0, len(hashes), _HASHES):
        some = ", ".join(f"'{one}'" for one in hashes[n : n + _HASHES])
        yield (
            f"DELETE FROM {_TABLE} WHERE lower(to_hex(sha256(to_utf8(id)))) IN ({some})"  # noqa: S608
        )
    yield f"OPTIMIZE {_TABLE} REWRITE DATA USING BIN_PACK"
    # the least age that there is, and back to the default
    yield f"ALTER TABLE {_TABLE} SET TBLPROPERTIES ('vacuum_max_snapshot_age_seconds' = '1')"
    yield f"VACUUM {_TABLE}"
    yield f"ALTER TABLE {_TABLE} SET TBLPROPERTIES ('vacuum_max_snapshot_age_seconds' = '432000')"
