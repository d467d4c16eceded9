"""Lines on standard error, which can be a terminal, a pipe, a file or a socket.

A stopped terminal, a full pipe or a stalled connection must not block the daemon. O_NONBLOCK cannot be set, because it
belongs to the open file, which other processes share. Therefore a pipe or terminal is opened again where permitted,
MSG_DONTWAIT is used for a socket, and otherwise poll(2) is called before each write.
"""

import os
import select
import socket
import stat
from enum import Enum

MAX_LINE_CHARACTERS = 32 * 1024


class DescriptorTransport:
    """Writes to the file of `descriptor` without waiting. The descriptor remains open."""

    def __init__(self, descriptor: int) -> None:
        mode = os.fstat(descriptor).st_mode
        self._socket: socket.socket | None = None
        self._must_poll = False
        self._descriptor = -1
        if stat.S_ISSOCK(mode):
            self._socket = socket.socket(fileno=os.dup(descriptor))
        elif stat.S_ISREG(mode):
            self._descriptor = os.dup(descriptor)
        else:
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            try:
                self._descriptor = os.open(f"/proc/self/fd/{descriptor}", flags)
            except OSError:  # of another user, as under su(1), or without /proc
                self._must_poll = True
                self._descriptor = os.dup(descriptor)

    def write(self, item: bytes) -> bytes:
        if self._socket is not None:
            return item[self._socket.send(item, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL) :]
        if self._must_poll:
            poll = select.poll()
            poll.register(self._descriptor, select.POLLOUT)
            if not poll.poll(0):
                raise BlockingIOError
            # A ready pipe accepts PIPE_BUF bytes without blocking (pipe(7)), unless another process writes first.
            return item[os.write(self._descriptor, item[: select.PIPE_BUF]) :]
        return item[os.write(self._descriptor, item) :]

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        else:
            os.close(self._descriptor)


class LineStyle(Enum):
    """The prefix of a line."""

    PLAIN = "plain"  # time and level
    COLOURED = "coloured"  # time and level for a terminal
    JOURNAL = "journal"  # <N>, the priority for the journal (sd-daemon(3))


_LEVEL_NAMES = ("emerg", "alert", "crit", "error", "warning", "notice", "info", "debug")
_COLOURS = ("\x1b[1;31m", "\x1b[1;31m", "\x1b[1;31m", "\x1b[31m", "\x1b[33m", "\x1b[1m", "", "\x1b[2m")
_COLOUR_END = "\x1b[0m"


def encode_line(style: LineStyle, priority: int, time_text: str, text: str) -> bytes:
    """Return the text with its prefix and a newline. Each of several lines has the same priority.

    Control characters are escaped, so that text from elsewhere cannot control the terminal.
    """
    if len(text) > MAX_LINE_CHARACTERS:
        text = f"{text[:MAX_LINE_CHARACTERS]} [truncated from {len(text)} characters]"
    lines = [_printable(line) for line in text.rstrip("\n").split("\n")]
    if style is LineStyle.JOURNAL:
        output = "".join(f"<{priority}>{line}\n" for line in lines)
    else:
        begin = _COLOURS[priority] if style is LineStyle.COLOURED else ""
        end = _COLOUR_END if begin else ""
        joined = "\n    ".join(lines)
        output = f"{time_text} {begin}{_LEVEL_NAMES[priority]:<7} {joined}{end}\n"
    return output.encode("utf-8", "backslashreplace")


def _printable(line: str) -> str:
    if line.isprintable():
        return line
    return "".join(
        character if character.isprintable() or character == "\t" else repr(character)[1:-1]
        for character in line
    )


def style_for(descriptor: int, *, is_journal: bool, no_color: bool) -> LineStyle:
    """Return the style for a descriptor. `no_color` is true if NO_COLOR is set (no-color.org)."""
    if is_journal:
        return LineStyle.JOURNAL
    if os.isatty(descriptor) and not no_color:
        return LineStyle.COLOURED
    return LineStyle.PLAIN
