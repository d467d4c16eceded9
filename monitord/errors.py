"""The errors that monitord raises on purpose.

    MonitordError                 anything below; carries an optional hint: what to do about it
    ├── ConfigError               the configuration is refused; holds every diagnostic, not the first one only
    ├── ControlError              monitorctl could not do what was asked (the daemon said no, or is not there)
    ├── HistoryError              what was kept cannot be read now
    └── StartError                the daemon cannot open what it needs (a socket, a directory)

    InvalidValueError             a ValueError: a value from outside is not valid; carries the problem and the hint

A failed check is not an error: it is an observation with a reason (`model.Reason`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable


class InvalidValueError(ValueError):
    """A value from outside is not valid.

    The problem is worded to follow the value, the hint says what to write instead:
    "5 min" is not a duration; write "5m"
    """

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(problem, hint)
        self.problem = problem
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.problem}; {self.hint}" if self.hint else self.problem


@runtime_checkable
class _Explained(Protocol):
    # `systemd` knows nothing of this module: its errors have the same attributes and another base class.
    problem: str
    hint: str


def problem_and_hint(error: Exception) -> tuple[str, str]:
    """Return what is wrong and what to write instead; the hint is "" if the error carries none."""
    if isinstance(error, _Explained):
        return error.problem, error.hint
    return str(error), ""


class MonitordError(Exception):
    """Says what is wrong; `hint`, where there is one, says what to write or do instead."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing wrong in one place. `line` and `column` count from 1; None: the file as a whole.

    `key` is the text of `path`, the keys and indices that lead there.
    """

    file: str
    line: int | None
    key: str
    problem: str
    hint: str = ""
    column: int | None = None
    path: tuple[str | int, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        where = self.file
        if self.line is not None:
            where += f":{self.line}"
            if self.column is not None:
                where += f":{self.column}"
        subject = f"{self.key}: " if self.key else ""
        text = f"{where}: {subject}{self.problem}"
        return f"{text}; {self.hint}" if self.hint else text

    def as_warning(self) -> str:
        """The text of something that is not wrong, but does not work on this host."""
        return str(replace(self, problem=f"warning: {self.problem}"))


class ConfigError(MonitordError):
    """The configuration is refused. `diagnostics` holds all of them, in the order of files and lines."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n".join(str(diagnostic) for diagnostic in self.diagnostics))


class ControlError(MonitordError):
    """A request to the running daemon failed."""


class HistoryError(MonitordError):
    """What was kept cannot be read now: the storage fails, or too much was asked for at once."""


class StartError(MonitordError):
    """The daemon cannot open something it needs."""
