"""The capabilities of the terminal, and a full-screen view that always restores the terminal."""

import contextlib
import os
import select
import shutil
import signal
import sys
import termios
import tty
from types import FrameType, TracebackType
from typing import Self

from monitord.cli.exit_status import EXIT_TERMINATED

DEFAULT_SIZE = os.terminal_size((80, 24))

# Without line wrapping: a wrapped line would scroll the first lines out of the screen.
_ENTER_FULL_SCREEN, _LEAVE_FULL_SCREEN = "\x1b[?1049h\x1b[?25l\x1b[?7l", "\x1b[?7h\x1b[?25h\x1b[?1049l"
_HOME, _ERASE_LINE_END, _ERASE_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"

_TERMINATING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)

_COLOURS = {
    "up": 32,
    "degraded": 33,
    "down": 31,
    "unreachable": 35,
    "unknown": 35,
    "pending": 36,
    "paused": 2,
    "pass": 32,
    "warn": 33,
    "fail": 31,
    "inconclusive": 35,
}


def wants_colour() -> bool:
    """Return whether the output is a terminal with colours, and NO_COLOR is not set (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and not is_dumb()


def is_dumb() -> bool:
    return os.environ.get("TERM", "dumb") == "dumb"


def paint(text: str, state: str, *, colour: bool) -> str:
    """Return the text in the colour of a state or a verdict."""
    code = _COLOURS.get(state)
    return f"\x1b[{code}m{text}\x1b[0m" if colour and code is not None else text


def columns() -> int:
    """Return the columns for charts, even if the output is not a terminal."""
    return size().columns


def max_columns() -> int | None:
    """Return the maximum width of a line; None if the output is not a terminal, where nothing is truncated."""
    return size().columns if sys.stdout.isatty() else None


def size() -> os.terminal_size:
    return shutil.get_terminal_size(DEFAULT_SIZE)


def can_print(text: str) -> bool:
    """Return whether the character encoding of the locale has these characters."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


class Screen:
    """Shows successive views in place on a suitable terminal, and below each other elsewhere.

    Signals that end the command raise SystemExit, so that `__exit__` always restores the terminal.
    """

    def __init__(self) -> None:
        self.is_full = sys.stdout.isatty() and not is_dumb()
        self._reads_keys = self.is_full and sys.stdin.isatty()
        self._attributes: list[object] | None = None
        self.is_empty = True

    def __enter__(self) -> Self:
        try:
            for number in _TERMINATING_SIGNALS:
                signal.signal(number, _exit)
            if self.is_full:
                signal.signal(signal.SIGTSTP, self._on_stop)
                self._enter()
        except BaseException:  # also for a signal that arrives here
            self._leave()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # No signal can interrupt the restoration of the terminal.
        for number in (*_TERMINATING_SIGNALS, signal.SIGINT, signal.SIGTSTP):
            signal.signal(number, signal.SIG_IGN)
        self._leave()

    def show(self, lines: list[str]) -> None:
        if self.is_full:
            shown = lines[: size().lines]
            text = _HOME + "\n".join(line + _ERASE_LINE_END for line in shown) + _ERASE_BELOW
        else:
            text = ("" if self.is_empty else "\n") + "\n".join(lines) + "\n"
        self.is_empty = False
        # Ctrl-Z is handled afterwards: its handler writes to the terminal as well.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTSTP})
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTSTP})

    def wait(self, seconds: float) -> str:
        """Wait for a key, and return it, or an empty text after this time. "q" if the terminal is gone."""
        if not self._reads_keys:
            select.select([], [], [], seconds)
            return ""
        ready, _, _ = select.select([sys.stdin], [], [], seconds)
        if not ready:
            return ""
        # End of file or an error: the terminal is gone.
        with contextlib.suppress(OSError):
            return os.read(sys.stdin.fileno(), 64).decode(errors="replace") or "q"
        return "q"

    def _enter(self) -> None:
        if self._reads_keys:
            self._attributes = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin)
        sys.stdout.write(_ENTER_FULL_SCREEN)
        sys.stdout.flush()

    def _leave(self) -> None:
        if not self.is_full:
            return
        # The terminal may be gone, because its window was closed.
        with contextlib.suppress(OSError, termios.error):
            if self._attributes is not None:
                termios.tcsetattr(sys.stdin, termios.TCSAFLUSH, self._attributes)  # type: ignore[arg-type]  # the value of tcgetattr
            sys.stdout.write(_LEAVE_FULL_SCREEN)
            sys.stdout.flush()

    def _on_stop(self, _: int, __: FrameType | None) -> None:
        """Restore the terminal for the shell at Ctrl-Z, and show the view again after `fg`."""
        self._leave()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._enter()


def _exit(_: int, __: FrameType | None) -> None:
    raise SystemExit(EXIT_TERMINATED)
