"""What the terminal can do, and a full screen that leaves it as it was, however the command ends."""

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

from monitord.cli.exits import EXIT_TERMINATED

DEFAULT_SIZE = os.terminal_size((80, 24))

# The terminal cuts long lines off: one that went on in the next row would push the first ones off the screen.
_FULL, _NORMAL = "\x1b[?1049h\x1b[?25l\x1b[?7l", "\x1b[?7h\x1b[?25h\x1b[?1049l"
_HOME, _TO_LINE_END, _TO_END = "\x1b[H", "\x1b[K", "\x1b[J"

_ENDING = (signal.SIGTERM, signal.SIGHUP)

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
    """Colours are for terminals, and for people who have not said no (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and not is_dumb()


def is_dumb() -> bool:
    return os.environ.get("TERM", "dumb") == "dumb"


def paint(text: str, state: str, *, colour: bool) -> str:
    """The text in the colour of a health or a verdict."""
    code = _COLOURS.get(state)
    return f"\x1b[{code}m{text}\x1b[0m" if colour and code is not None else text


def width() -> int:
    """Columns for what is drawn, such as bars and charts, wherever it goes."""
    return size().columns


def room() -> int | None:
    """Columns that a line may take; None where the output is no terminal, so that nothing may be cut off."""
    return size().columns if sys.stdout.isatty() else None


def size() -> os.terminal_size:
    return shutil.get_terminal_size(DEFAULT_SIZE)


def can_print(text: str) -> bool:
    """Whether the locale has letters for it."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


class Screen:
    """Shows one view after another: in place on a terminal that can, and one below the other elsewhere.

    A signal that ends the command raises SystemExit in it, so that leaving is always the same: `__exit__`.
    """

    def __init__(self) -> None:
        self.is_full = sys.stdout.isatty() and not is_dumb()
        self._takes_keys = self.is_full and sys.stdin.isatty()
        self._before: list[object] | None = None
        self.is_empty = True

    def __enter__(self) -> Self:
        try:
            for number in _ENDING:
                signal.signal(number, _end)
            if self.is_full:
                signal.signal(signal.SIGTSTP, self._on_stop)
                self._enter()
        except BaseException:  # a signal may have come in the midst of it
            self._leave()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Whoever is impatient may not interrupt this: the command is at its end.
        for number in (*_ENDING, signal.SIGINT, signal.SIGTSTP):
            signal.signal(number, signal.SIG_IGN)
        self._leave()

    def show(self, lines: list[str]) -> None:
        if self.is_full:
            shown = lines[: size().lines]
            text = _HOME + "\n".join(line + _TO_LINE_END for line in shown) + _TO_END
        else:
            text = ("" if self.is_empty else "\n") + "\n".join(lines) + "\n"
        self.is_empty = False
        # Ctrl-Z waits for the end of it: what it has to write may not come into the midst of this.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTSTP})
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTSTP})

    def wait(self, seconds: float) -> str:
        """The key that was pressed meanwhile, or nothing."""
        if not self._takes_keys:
            select.select([], [], [], seconds)
            return ""
        ready, _, _ = select.select([sys.stdin], [], [], seconds)
        if not ready:
            return ""
        # Nothing to read although there is something, or an error: the terminal has gone.
        with contextlib.suppress(OSError):
            return os.read(sys.stdin.fileno(), 64).decode(errors="replace") or "q"
        return "q"

    def _enter(self) -> None:
        if self._takes_keys:
            self._before = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin)
        sys.stdout.write(_FULL)
        sys.stdout.flush()

    def _leave(self) -> None:
        if not self.is_full:
            return
        # A terminal that has gone, its window closed, needs nothing any more.
        with contextlib.suppress(OSError, termios.error):
            if self._before is not None:
                termios.tcsetattr(sys.stdin, termios.TCSAFLUSH, self._before)  # type: ignore[arg-type]  # as tcgetattr gave it
            sys.stdout.write(_NORMAL)
            sys.stdout.flush()

    def _on_stop(self, _: int, __: FrameType | None) -> None:
        """Ctrl-Z: the shell gets its terminal, and we have it again after `fg`."""
        self._leave()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._enter()


def _end(_: int, __: FrameType | None) -> None:
    raise SystemExit(EXIT_TERMINATED)
