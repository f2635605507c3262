"""The form of the log: one line an event, JSON for machines or text for a terminal.

A message is a fixed phrase; what varies goes into fields: `extra={"fields": {...}}`. No payload,
secret or signature is ever handed to a logger; and of an exception only its type and where it was
raised are written, because its message may quote any of them.
"""

import functools
import json
import logging
import logging.config
import os
import select
import socket
import stat
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from io import TextIOWrapper
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import TextIO

import msgspec

from ..settings import Settings


def configuration(settings: Settings) -> dict[str, object]:
    """Return the configuration for `logging.config.dictConfig`, gunicorn's own lines included."""
    handlers: dict[str, dict[str, object]] = {
        "stdout": {"()": Stdout, "formatter": settings.log_format},
    }
    if settings.log_file:
        handlers["file"] = {
            "()": LogFile,
            "path": settings.log_file,
            "formatter": settings.log_format,
        }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonFormatter}, "text": {"()": TextFormatter}},
        "handlers": handlers | {"plain": {"class": "logging.StreamHandler"}},
        "root": {"level": settings.log_level, "handlers": list(handlers)},
        "loggers": {
            # below INFO gunicorn logs what clients have sent, signatures included
            "gunicorn.error": {
                "level": "INFO" if settings.log_level == "DEBUG" else settings.log_level,
                "handlers": [],
                "propagate": True,
            },
            # the development server says where it runs in lines and colours of its own
            "werkzeug": {"level": "INFO", "handlers": ["plain"], "propagate": False},
            # below WARNING they tell about every request to AWS, headers and bodies included
            "boto3": {"level": "WARNING"},
            "botocore": {"level": "WARNING"},
            "urllib3": {"level": "WARNING"},
        },
    }


def configure(settings: Settings) -> None:
    """Set up logging for this process.

    Raises:
        OSError: the log file cannot be written.
    """
    # a log that cannot be written is no reason to refuse a webhook, nor to fill standard error
    logging.raiseExceptions = False
    # no format of ours shows these, and collecting them took a tenth of a line's time
    # https://docs.python.org/3/howto/logging.html#optimization
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
    logging.config.dictConfig(configuration(settings))


class Stdout(logging.StreamHandler[TextIO]):
    """Standard output, without waiting for its reader.

    A platform's log collector that stops reading fills the pipe, and a write that blocks would
    stop the service with it. Lines that find no room are dropped; the next one that is written
    says how many.
    """

    def __init__(self) -> None:
        super().__init__(sys.stdout)
        self._dropped = 0
        self._send: Callable[[bytes], int] | None = None
        self._close: Callable[[], None] = lambda: None
        kind = os.fstat(1).st_mode
        if stat.S_ISFIFO(kind):
            self._send, self._close = _pipe_writer()
        elif stat.S_ISSOCK(kind):
            shared = socket.socket(fileno=os.dup(1))
            self._send = lambda line: shared.send(line, socket.MSG_DONTWAIT)
            self._close = shared.close

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line of a record, or drop it."""
        if self._send is None:
            super().emit(record)
            return
        try:
            if self._dropped:
                record.fields = _fields(record) | {"lines_dropped_before": self._dropped}
            # up to 4,096 bytes go into a pipe as a whole or not at all
            self._send(self.format(record).encode()[:4095] + b"\n")
            self._dropped = 0
        # every Exception: a log call with the wrong arguments must not raise into its caller
        except Exception:
            self._dropped += 1

    def close(self) -> None:
        """Close the descriptor that this handler has opened; `dictConfig` replaces handlers."""
        self._close()
        super().close()


def _pipe_writer() -> tuple[Callable[[bytes], int], Callable[[], None]]:
    """Return how to write to the pipe at descriptor 1 without waiting, and how to stop."""
    try:
        # opened again: the flag would otherwise hold for everyone who shares the pipe
        own = os.open("/proc/self/fd/1", os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        # not by this user, where another has made the pipe (supervisord, runit, gosu), and not
        # without /proc
        poll = select.poll()
        poll.register(1, select.POLLOUT)

        def write_if_ready(line: bytes) -> int:
            # a pipe is ready for writing while it has room for 4,096 bytes
            if not poll.poll(0):
                raise BlockingIOError
            return os.write(1, line)

        return write_if_ready, lambda: None
    return functools.partial(os.write, own), functools.partial(os.close, own)


class LogFile(WatchedFileHandler):
    """A log file that follows its name when logrotate moves the file away.

    Where it cannot be opened again, lines go nowhere, and each of them tries once more. It never
    raises: gunicorn, too, opens the files of the log again, in the process that starts the workers.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8")

    def _open(self) -> TextIOWrapper:
        path = Path(self.baseFilename)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("a", encoding="utf-8")
        except OSError:
            return Path(os.devnull).open("a", encoding="utf-8")

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line; drop it where the file cannot be looked at or written to."""
        try:
            super().emit(record)
        except OSError:
            self.handleError(record)


_encode = msgspec.json.Encoder(enc_hook=str).encode


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        line = {
            "time": _utc(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        } | _fields(record)
        # spaced as json.dumps does, at a third of its time
        text = msgspec.json.format(_encode(line), indent=0)
        # what is not ASCII is escaped: no line separator of Unicode splits a line
        return text.decode() if text.isascii() else json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """The same for people: time, level, message, then `name=value` for each field."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        fields = "  ".join(f"{name}={_word(value)}" for name, value in _fields(record).items())
        time = _utc(record).strftime("%H:%M:%S")
        return f"{time} {record.levelname:7} {_printable(record.getMessage())}  {fields}".rstrip()


def _utc(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields: dict[str, object] = dict(getattr(record, "fields", {}))
    if record.exc_info and record.exc_info[0]:
        kind, _, raised_at = record.exc_info
        frames = traceback.extract_tb(raised_at)
        fields["exception"] = kind.__name__
        fields["raised_at"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    return fields


def _word(value: object) -> str:
    return _printable(value) if isinstance(value, str) else str(value)


def _printable(text: str) -> str:
    """Keep a value on its line: no control character, no escape sequence reaches a terminal."""
    return text if text.isprintable() else json.dumps(text)
