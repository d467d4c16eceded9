"""`logging` to the journal, or to standard error without a journal.

A record can have `extra={"fields": {"USER": "ada"}, "message_id": "…"}`: upper-case names for journalctl matches, and
the ID of an entry of the journal's catalog. The journal receives them as fields; on standard error there is only the
text. The arguments of a log call are never sent, because they can contain secrets.
"""

import asyncio
import contextlib
import logging
import os
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from pathlib import PurePath
from typing import Self

from .environment import ServiceEnvironment
from .journal import SOCKET_PATH, JournalTransport, encode_record, is_field_name
from .output_queue import CLOSE_GRACE_S, MAX_ITEMS, OutputQueue
from .stderr import DescriptorTransport, LineStyle, encode_line, style_for

NOTICE = 25  # between INFO and WARNING: normal but significant (syslog(3))
logging.addLevelName(NOTICE, "NOTICE")

STDERR = 2
_WARNING_PRIORITY = 4
_MAX_KNOWN_NAMES = 1024

# Fields that the handler sets; log calls cannot use these names.
OWN_FIELDS = frozenset(
    {
        "MESSAGE",
        "MESSAGE_ID",
        "PRIORITY",
        "SYSLOG_IDENTIFIER",
        "LOGGER",
        "CODE_FILE",
        "CODE_LINE",
        "CODE_FUNC",
        "THREAD_NAME",
        "FIELDS_REJECTED",
        "LOG_MESSAGES_LOST",
    }
)

_PRIORITIES = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (NOTICE, 5),
    (logging.INFO, 6),
)


class Destination(Enum):
    JOURNAL = "journal"
    STDERR = "stderr"


def priority_of(level: int) -> int:
    """Return the syslog priority of a `logging` level."""
    for min_level, priority in _PRIORITIES:
        if level >= min_level:
            return priority
    return 7


class OutputQueueHandler(logging.Handler):
    """Base of both handlers. A log call that cannot be formatted becomes an error message.

    With `is_strict`, a field name that the journal would not accept raises ValueError in the log call. Otherwise the
    field is omitted and its name is added to FIELDS_REJECTED.
    """

    def __init__(self, output: OutputQueue, *, is_strict: bool = False) -> None:
        super().__init__()
        self._output = output
        self._is_strict = is_strict
        self._valid_names: set[str] = set()

    def encode(self, record: logging.LogRecord) -> bytes:
        raise NotImplementedError

    def emit(self, record: logging.LogRecord) -> None:
        try:
            item = self.encode(record)
        except Exception as error:
            if self._is_strict:
                raise
            # Handler.handleError would print the arguments, including secrets, and wait for standard error.
            text = f"a log message cannot be formatted: {type(error).__name__}"
            item = self.encode(
                logging.LogRecord(
                    record.name,
                    logging.ERROR,
                    record.pathname,
                    record.lineno,
                    text,
                    None,
                    None,
                    func=record.funcName,
                )
            )
        self._output.put(item, is_urgent=record.levelno >= NOTICE)

    def fields_of(self, record: logging.LogRecord) -> Mapping[str, str]:
        fields: Mapping[str, str] = getattr(record, "fields", {})
        if self._valid_names.issuperset(fields):
            return fields
        rejected = [name for name in fields if not is_field_name(name) or name in OWN_FIELDS]
        if not rejected:
            if len(self._valid_names) < _MAX_KNOWN_NAMES:
                self._valid_names.update(fields)
            return fields
        if self._is_strict:
            names = ", ".join(rejected)
            raise ValueError(
                f"invalid names of journal fields: {names}; use upper-case names such as USER_ID"
            )
        accepted = {name: value for name, value in fields.items() if name not in rejected}
        return {**accepted, "FIELDS_REJECTED": " ".join(rejected)}


class JournalHandler(OutputQueueHandler):
    """Sends records with all their fields by the native protocol."""

    def __init__(self, output: OutputQueue, identifier: str, *, is_strict: bool = False) -> None:
        super().__init__(output, is_strict=is_strict)
        self._identifier = identifier

    def encode(self, record: logging.LogRecord) -> bytes:
        fields = {
            "MESSAGE": _text_of(record),
            "PRIORITY": str(priority_of(record.levelno)),
            "SYSLOG_IDENTIFIER": self._identifier,
            "LOGGER": record.name,
            "CODE_FILE": record.pathname,
            "CODE_LINE": str(record.lineno),
            "CODE_FUNC": record.funcName or "",
            "THREAD_NAME": record.threadName or "",
        }
        message_id: str = getattr(record, "message_id", "")
        if message_id:
            fields["MESSAGE_ID"] = message_id
        fields.update(self.fields_of(record))
        return encode_record(fields)


class StderrHandler(OutputQueueHandler):
    """Handler that writes human-readable lines, or lines for the journal, to standard error."""

    def __init__(self, output: OutputQueue, style: LineStyle, *, is_strict: bool = False) -> None:
        super().__init__(output, is_strict=is_strict)
        self._style = style

    def encode(self, record: logging.LogRecord) -> bytes:
        if self._is_strict:
            self.fields_of(record)
        when = time_text(self._style, record.created)
        return encode_line(self._style, priority_of(record.levelno), when, _text_of(record))


class Log:
    """An open log. Call `attach` and `detach` in the event loop, and `close` after the loop has ended."""

    def __init__(
        self,
        destination: Destination,
        handler: OutputQueueHandler,
        output: OutputQueue,
        logger: logging.Logger,
    ) -> None:
        self.destination = destination
        self._handler = handler
        self._output = output
        self._logger = logger

    @property
    def lost_total(self) -> int:
        """The number of messages that were discarded because the journal or standard error accepted none."""
        return self._output.lost_total

    @property
    def queued(self) -> int:
        """The number of messages in the queue."""
        return self._output.queued

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Retry queued messages in `loop`. Without a loop, they are only retried with the next message."""
        self._output.attach(loop)

    def detach(self) -> None:
        self._output.detach()

    def close(self, grace_s: float = CLOSE_GRACE_S) -> None:
        """Wait up to `grace_s` for queued messages; blocks. A second call has no effect."""
        self._logger.removeHandler(self._handler)
        self._handler.close()
        self._output.close(grace_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_log(
    environment: ServiceEnvironment,
    level: int = logging.INFO,
    *,
    identifier: str = "",
    lost_message_id: str = "",
    environ: Mapping[str, str] | None = None,
    logger: logging.Logger | None = None,
    descriptor: int = STDERR,
    journal_path: str = SOCKET_PATH,
    max_queued: int = MAX_ITEMS,
    is_strict: bool = sys.flags.dev_mode,
) -> Log:
    """Send the records of `logger` (by default the root) at `level` and above to the log of this process.

    If standard error is a stream to the journal, this is the journal: by the native protocol, or with lines that have
    `<N>` priorities if its socket is not available. Otherwise it is standard error.
    """
    target = logging.getLogger() if logger is None else logger
    name = identifier or PurePath(sys.argv[0]).name or "python"
    is_journal = _is_stream(descriptor, environment.journal_stream)
    handler: OutputQueueHandler
    transport: JournalTransport | None = None
    if is_journal:
        with contextlib.suppress(OSError):
            transport = JournalTransport(journal_path)
    if transport is not None:
        output = OutputQueue(
            transport, lambda count: _lost_record(count, name, lost_message_id), max_items=max_queued
        )
        handler = JournalHandler(output, name, is_strict=is_strict)
        destination = Destination.JOURNAL
    else:
        no_color = bool((os.environ if environ is None else environ).get("NO_COLOR"))
        style = style_for(descriptor, is_journal=is_journal, no_color=no_color)
        output = OutputQueue(
            DescriptorTransport(descriptor),
            lambda count: encode_line(
                style, _WARNING_PRIORITY, time_text(style, time.time()), _lost_text(count)
            ),
            max_items=max_queued,
        )
        handler = StderrHandler(output, style, is_strict=is_strict)
        destination = Destination.STDERR
    target.addHandler(handler)
    target.setLevel(level)
    return Log(destination, handler, output, target)


def time_text(style: LineStyle, created: float) -> str:
    """Return the local time of day for a terminal, otherwise date and time in UTC."""
    if style is LineStyle.COLOURED:
        return time.strftime("%H:%M:%S", time.localtime(created))
    return datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _text_of(record: logging.LogRecord) -> str:
    text = record.getMessage()
    if record.exc_info and record.exc_info[0] is not None:
        text = f"{text}\n{_FORMATTER.formatException(record.exc_info)}"
    if record.stack_info:
        text = f"{text}\n{record.stack_info}"
    return text


_FORMATTER = logging.Formatter()


def _is_stream(descriptor: int, stream: tuple[int, int] | None) -> bool:
    """Return whether `descriptor` is `stream`. JOURNAL_STREAM is inherited even if standard error is redirected."""
    if stream is None:
        return False
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return (status.st_dev, status.st_ino) == stream


def _lost_text(count: int) -> str:
    return f"{count} log {'message' if count == 1 else 'messages'} lost: the queue was full while none could be written"


def _lost_record(count: int, identifier: str, message_id: str) -> bytes:
    fields = {
        "MESSAGE": _lost_text(count),
        "PRIORITY": str(_WARNING_PRIORITY),
        "SYSLOG_IDENTIFIER": identifier,
        "LOG_MESSAGES_LOST": str(count),
    }
    if message_id:
        fields["MESSAGE_ID"] = message_id
    return encode_record(fields)
