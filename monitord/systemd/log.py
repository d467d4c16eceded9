"""`logging` to the journal, or to standard error where there is none.

A record may carry `extra={"fields": {"USER": "ada"}, "message_id": "…"}`: upper-case names that journalctl can
match, and the id of the kind of message that the journal's catalog explains. The journal gets them as fields;
on standard error the text stands alone. The arguments of a log call are never sent: they may hold secrets.
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
from .outlet import CLOSE_GRACE_S, MOST_ITEMS, Outlet
from .stderr import DescriptorTransport, LineStyle, encode_line, style_for

NOTICE = 25  # between INFO and WARNING: normal but significant (syslog(3))
logging.addLevelName(NOTICE, "NOTICE")

STDERR = 2
_WARNING_PRIORITY = 4
_MOST_KNOWN_NAMES = 1024

# What the handler says itself; a caller's field of that name would contradict it.
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
        "FIELDS_REFUSED",
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
    """The syslog priority of a `logging` level."""
    for least, priority in _PRIORITIES:
        if level >= least:
            return priority
    return 7


class OutletHandler(logging.Handler):
    """What both handlers share. A log call that cannot be put into words becomes an error line of its own.

    `is_strict`: a field name that the journal would refuse raises ValueError in the log call. Otherwise the
    record goes without that field and names it in FIELDS_REFUSED.
    """

    def __init__(self, outlet: Outlet, *, is_strict: bool = False) -> None:
        super().__init__()
        self._outlet = outlet
        self._is_strict = is_strict
        self._known_names: set[str] = set()

    def encode(self, record: logging.LogRecord) -> bytes:
        raise NotImplementedError

    def emit(self, record: logging.LogRecord) -> None:
        try:
            item = self.encode(record)
        except Exception as error:
            if self._is_strict:
                raise
            # Handler.handleError would print the arguments, secrets too, and wait for standard error.
            item = self.encode(_record_of_failure(record, error))
        self._outlet.put(item, is_urgent=record.levelno >= NOTICE)

    def fields_of(self, record: logging.LogRecord) -> Mapping[str, str]:
        fields: Mapping[str, str] = getattr(record, "fields", {})
        if self._known_names.issuperset(fields):
            return fields
        refused = [name for name in fields if not is_field_name(name) or name in OWN_FIELDS]
        if not refused:
            if len(self._known_names) < _MOST_KNOWN_NAMES:
                self._known_names.update(fields)
            return fields
        if self._is_strict:
            names = ", ".join(refused)
            raise ValueError(f"not usable as journal fields: {names}; write upper-case names such as USER_ID")
        kept = {name: value for name, value in fields.items() if name not in refused}
        return {**kept, "FIELDS_REFUSED": " ".join(refused)}


class JournalHandler(OutletHandler):
    """Records with all their fields, by the native protocol."""

    def __init__(self, outlet: Outlet, identifier: str, *, is_strict: bool = False) -> None:
        super().__init__(outlet, is_strict=is_strict)
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


class StderrHandler(OutletHandler):
    """Lines for people, or for the journal by way of standard error."""

    def __init__(self, outlet: Outlet, style: LineStyle, *, is_strict: bool = False) -> None:
        super().__init__(outlet, is_strict=is_strict)
        self._style = style

    def encode(self, record: logging.LogRecord) -> bytes:
        if self._is_strict:
            self.fields_of(record)
        when = time_text(self._style, record.created)
        return encode_line(self._style, priority_of(record.levelno), when, _text_of(record))


class Log:
    """An open log. `attach` it to the event loop, `detach` it there, `close` it last."""

    def __init__(
        self, destination: Destination, handler: OutletHandler, outlet: Outlet, logger: logging.Logger
    ) -> None:
        self.destination = destination
        self._handler = handler
        self._outlet = outlet
        self._logger = logger

    @property
    def lost_total(self) -> int:
        """Messages dropped since the start because journal or standard error took none."""
        return self._outlet.lost_total

    @property
    def kept(self) -> int:
        """Messages that wait to be taken."""
        return self._outlet.kept

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Until then a message that could not go out at once is tried again only with the next one."""
        self._outlet.attach(loop)

    def detach(self) -> None:
        self._outlet.detach()

    def close(self, grace_s: float = CLOSE_GRACE_S) -> None:
        """Wait up to `grace_s` for the last messages, with the loop ended. Twice is fine."""
        self._logger.removeHandler(self._handler)
        self._handler.close()
        self._outlet.close(grace_s)

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
    most_kept: int = MOST_ITEMS,
    is_strict: bool = sys.flags.dev_mode,
) -> Log:
    """Send what `logger` (the root by default) says at `level` and above to where this process's log belongs.

    That is the journal if standard error is its stream, by the native protocol if its socket can be reached and
    else by lines with `<N>` priorities; outside the journal it is readable lines on standard error.
    """
    target = logging.getLogger() if logger is None else logger
    name = identifier or PurePath(sys.argv[0]).name or "python"
    is_journal = _is_stream(descriptor, environment.journal_stream)
    handler: OutletHandler
    transport: JournalTransport | None = None
    if is_journal:
        with contextlib.suppress(OSError):
            transport = JournalTransport(journal_path)
    if transport is not None:
        outlet = Outlet(
            transport, lambda count: _lost_record(count, name, lost_message_id), most_items=most_kept
        )
        handler = JournalHandler(outlet, name, is_strict=is_strict)
        destination = Destination.JOURNAL
    else:
        no_color = bool((os.environ if environ is None else environ).get("NO_COLOR"))
        style = style_for(descriptor, is_journal=is_journal, no_color=no_color)
        outlet = Outlet(
            DescriptorTransport(descriptor), lambda count: _lost_line(count, style), most_items=most_kept
        )
        handler = StderrHandler(outlet, style, is_strict=is_strict)
        destination = Destination.STDERR
    target.addHandler(handler)
    target.setLevel(level)
    return Log(destination, handler, outlet, target)


def time_text(style: LineStyle, created: float) -> str:
    """On a terminal the local time of day; elsewhere the whole date in UTC, as such lines are kept."""
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


def _record_of_failure(record: logging.LogRecord, error: Exception) -> logging.LogRecord:
    text = f"a log call cannot be put into words: {type(error).__name__}"
    return logging.LogRecord(
        record.name, logging.ERROR, record.pathname, record.lineno, text, None, None, func=record.funcName
    )


def _is_stream(descriptor: int, stream: tuple[int, int] | None) -> bool:
    """Compared, because JOURNAL_STREAM is inherited also where standard error is not (systemd.exec(5))."""
    if stream is None:
        return False
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return (status.st_dev, status.st_ino) == stream


def _lost_text(count: int) -> str:
    return f"{count} log {'message' if count == 1 else 'messages'} lost: too many came while none could be written"


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


def _lost_line(count: int, style: LineStyle) -> bytes:
    return encode_line(style, _WARNING_PRIORITY, time_text(style, time.time()), _lost_text(count))
