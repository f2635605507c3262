"""Payloads by where they lie, byte for byte. Knows records; does not know who wants them.

Neighbours in time are neighbours in an object, so the last few objects are kept unpacked.
"""

import threading
from collections import OrderedDict
from concurrent.futures import Future

import msgspec

from webhook_app.events.record import Record

from ..reading import DamageError, lines
from ..storage import Storage

#: Unpacked objects in memory. One of Firehose's holds 5 MB in our template; one that is larger
#: than all of this is kept by itself.
KEPT_BYTES = 128_000_000

#: What Python needs for an object besides its lines; a local archive has one for every event.
_OBJECT_BYTES = 1500

_decode = msgspec.json.Decoder(Record).decode


class PayloadError(Exception):
    """What was there before cannot be read any more. `str()` says why, without any of it."""


class Payloads:
    """The payloads of an archive, for any number of threads; each object is read by one of them."""

    def __init__(self, storage: Storage) -> None:
        """Read from a place."""
        self._storage = storage
        self._lock = threading.Lock()
        self._objects: dict[str, Future[dict[int, bytes]]] = {}
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._kept = 0

    def body(self, key: str, line: int) -> bytes:
        """Return the payload of the record on a line of an object.

        Raises:
            PayloadError: it cannot be read.
        """
        with self._lock:
            reading = self._objects.get(key)
            mine = reading is None
            if reading is None:
                reading = self._objects[key] = Future()
            elif key in self._sizes:
                self._sizes.move_to_end(key)
        if mine:
            self._read(key, reading)
        try:
            return _decode(reading.result()[line]).payload.encode()
        except (KeyError, msgspec.DecodeError, UnicodeDecodeError):
            raise PayloadError("its object can no longer be read") from None

    def _read(self, key: str, reading: Future[dict[int, bytes]]) -> None:
        found: dict[int, bytes] = {}
        try:
            # one by one: the lines before a damage are kept
            for number, line in lines(self._storage, key):
                found[number] = line
        except DamageError:
            pass
        except BaseException as error:
            # nobody is to wait for it for ever
            reading.set_exception(error)
            raise
        reading.set_result(found)
        self._keep(key, _OBJECT_BYTES + sum(map(len, found.values())))

    def _keep(self, key: str, size: int) -> None:
        with self._lock:
            self._sizes[key] = size
            self._kept += size
            while self._kept > KEPT_BYTES and len(self._sizes) > 1:
                oldest, its_size = self._sizes.popitem(last=False)
                self._kept -= its_size
                del self._objects[oldest]
