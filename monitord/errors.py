"""Exceptions of monitord.

    MonitordError                 base class; carries an optional hint: what to do about the error
    ├── ClusterError          the database of the cluster does not respond, or cannot be used
    ├── ConfigError               the configuration is rejected; holds all errors, not only the first
    ├── ControlError              a request of monitorctl failed (rejected by the daemon, or no daemon)
    ├── HistoryError              the history cannot be read now
    └── StartError                the daemon cannot open a resource (a socket, a directory)

    InvalidValueError             a ValueError: an external value is invalid; carries problem and hint

A failed check is not an exception: it is an observation with a reason (`model.Reason`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable


class InvalidValueError(ValueError):
    """An external value is invalid.

    `problem` is worded to follow the value, `hint` is the correction:
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
    # The errors of `systemd/` have the same attributes, but cannot import this module.
    problem: str
    hint: str


def problem_and_hint(error: Exception) -> tuple[str, str]:
    """Return the problem and the hint, which is "" if the error has none."""
    if isinstance(error, _Explained):
        return error.problem, error.hint
    return str(error), ""


def bug_text(error: BaseException) -> str:
    """Return the type of an unexpected exception and where it was raised: "KeyError in display.py:12".

    Without its text, which may contain a secret.
    """
    frame = error.__traceback__
    if frame is None:
        return type(error).__name__
    while frame.tb_next is not None:
        frame = frame.tb_next
    file = frame.tb_frame.f_code.co_filename.rpartition("/")[2]
    return f"{type(error).__name__} in {file}:{frame.tb_lineno}"


class MonitordError(Exception):
    """An error with an optional `hint`: what to write or do instead."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """An error or warning of the configuration. `line` and `column` count from 1; None: the whole file.

    `path`: keys and indices that lead to the value. `key`: its text.
    """

    file: str
    line: int | None
    key: str
    problem: str
    hint: str = ""
    column: int | None = None
    path: tuple[str | int, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        location = self.file
        if self.line is not None:
            location += f":{self.line}"
            if self.column is not None:
                location += f":{self.column}"
        subject = f"{self.key}: " if self.key else ""
        text = f"{location}: {subject}{self.problem}"
        return f"{text}; {self.hint}" if self.hint else text

    def as_warning(self) -> str:
        """Return the text of a warning."""
        return str(replace(self, problem=f"warning: {self.problem}"))


class ClusterError(MonitordError):
    """The database of the cluster does not respond, or cannot be used as it is."""


class NotMemberError(ClusterError):
    """This node cannot take part in the cluster, in which others do."""


class NodeNameError(NotMemberError):
    """Another daemon takes part in the cluster under the name of this node."""


class ConfigError(MonitordError):
    """The configuration is rejected. `diagnostics`: all errors, in the order of files and lines."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n".join(str(diagnostic) for diagnostic in self.diagnostics))


class ControlError(MonitordError):
    """A request to the running daemon failed."""


class HistoryError(MonitordError):
    """The history cannot be read now: the storage fails, or there are too many queries at once."""


class StartError(MonitordError):
    """The daemon cannot open a resource that it needs."""
