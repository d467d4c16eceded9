"""Lines on a descriptor, standard error as a rule, that may be a terminal, a pipe, a file or a socket.

A stopped terminal, a full pipe or a stalled connection must not stop the daemon. O_NONBLOCK cannot simply be set:
it belongs to the open file that we share with the shell and others. So a pipe or terminal is opened anew where
that is allowed, a socket is asked per message, and elsewhere poll(2) is asked before each write.
"""

import os
import select
import socket
import stat
from enum import Enum

LONGEST_LINE_BYTES = 32 * 1024


class DescriptorTransport:
    """Writes to what `descriptor` is open on; the descriptor itself stays the caller's."""

    def __init__(self, descriptor: int) -> None:
        mode = os.fstat(descriptor).st_mode
        self._socket: socket.socket | None = None
        self._must_ask = False
        self._descriptor = -1
        if stat.S_ISSOCK(mode):
            self._socket = socket.socket(fileno=os.dup(descriptor))
        elif stat.S_ISREG(mode):
            self._descriptor = os.dup(descriptor)
        else:
            self._descriptor = self._opened_anew(descriptor)

    def write(self, item: bytes) -> bytes:
        if self._socket is not None:
            return item[self._socket.send(item, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL) :]
        if self._must_ask:
            return self._write_asking(item)
        return item[os.write(self._descriptor, item) :]

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        else:
            os.close(self._descriptor)

    def _opened_anew(self, descriptor: int) -> int:
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        try:
            return os.open(f"/proc/self/fd/{descriptor}", flags)
        except OSError:  # it belongs to another user, as under `su`, or /proc is not there
            self._must_ask = True
            return os.dup(descriptor)

    def _write_asking(self, item: bytes) -> bytes:
        asked = select.poll()
        asked.register(self._descriptor, select.POLLOUT)
        if not asked.poll(0):
            raise BlockingIOError
        # A pipe that is ready takes so much without blocking (pipe(7)), unless another writer is faster.
        return item[os.write(self._descriptor, item[: select.PIPE_BUF]) :]


class LineStyle(Enum):
    """How a line begins."""

    PLAIN = "plain"  # time and level
    COLOURED = "coloured"  # the same for a terminal
    JOURNAL = "journal"  # <N>, which the journal takes as the priority of the line (sd-daemon(3))


_LEVEL_NAMES = ("emerg", "alert", "crit", "error", "warning", "notice", "info", "debug")
_COLOURS = ("\x1b[1;31m", "\x1b[1;31m", "\x1b[1;31m", "\x1b[31m", "\x1b[33m", "\x1b[1m", "", "\x1b[2m")
_COLOUR_END = "\x1b[0m"


def encode_line(style: LineStyle, priority: int, time_text: str, text: str) -> bytes:
    """One item for the outlet, newline included. Text of several lines keeps them, each under the same priority.

    Control characters are escaped, so that text from outside cannot control the terminal.
    """
    if len(text) > LONGEST_LINE_BYTES:
        text = f"{text[:LONGEST_LINE_BYTES]} [cut from {len(text)} characters]"
    lines = [_printable(line) for line in text.rstrip("\n").split("\n")]
    if style is LineStyle.JOURNAL:
        whole = "".join(f"<{priority}>{line}\n" for line in lines)
    else:
        begin = _COLOURS[priority] if style is LineStyle.COLOURED else ""
        end = _COLOUR_END if begin else ""
        joined = "\n    ".join(lines)
        whole = f"{time_text} {begin}{_LEVEL_NAMES[priority]:<7} {joined}{end}\n"
    return whole.encode("utf-8", "backslashreplace")


def _printable(line: str) -> str:
    if line.isprintable():
        return line
    return "".join(
        character if character.isprintable() or character == "\t" else repr(character)[1:-1]
        for character in line
    )


def style_for(descriptor: int, *, is_journal: bool, no_color: bool) -> LineStyle:
    """`no_color`: the user set NO_COLOR (no-color.org)."""
    if is_journal:
        return LineStyle.JOURNAL
    if os.isatty(descriptor) and not no_color:
        return LineStyle.COLOURED
    return LineStyle.PLAIN
