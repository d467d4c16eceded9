"""The last checks of every monitor, kept at hand: what the overview draws for hundreds of monitors at once.

A sink of the pipeline: it appends a few words for each check, and that is all it costs.
"""

from array import array
from collections import deque
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isnan, nan

from monitord.dispatch import Sink, Watched
from monitord.history import StoredResult
from monitord.model import Result, Verdict

KEPT = 40
"""Checks of each monitor."""

KEPT_FAILURES = 5

STORED_WITHIN = timedelta(milliseconds=1)
"""The history keeps whole milliseconds."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One check in a bar. `verdict` is its word; `response_s`, how long the answer took; None when there was none."""

    at: datetime
    verdict: str
    response_s: float | None


class _Marks:
    """Up to KEPT marks, packed: as objects those of a thousand monitors would take ten megabytes."""

    __slots__ = ("_codes", "_count", "_responses_s", "_times")

    def __init__(self) -> None:
        # At their full length at once: memory does not grow with the first checks.
        self._times = array("d", bytes(8 * KEPT))
        self._responses_s = array("d", bytes(8 * KEPT))
        self._codes = bytearray(KEPT)
        self._count = 0

    def __len__(self) -> int:
        return min(self._count, KEPT)

    def append(self, mark: Mark) -> None:
        place = self._count % KEPT
        self._times[place] = mark.at.timestamp()
        self._responses_s[place] = nan if mark.response_s is None else mark.response_s
        self._codes[place] = _CODES[mark.verdict]
        self._count += 1

    def unpacked(self) -> list[Mark]:
        return [self._mark(number % KEPT) for number in range(self._count - len(self), self._count)]

    def _mark(self, place: int) -> Mark:
        taken_s = self._responses_s[place]
        at = datetime.fromtimestamp(self._times[place], UTC)
        return Mark(at, _VERDICTS[self._codes[place]], None if isnan(taken_s) else taken_s)


_VERDICTS = tuple(verdict.value for verdict in Verdict)
_CODES = {verdict: code for code, verdict in enumerate(_VERDICTS)}


class Recent(Sink):
    """The newest last. What was before the daemon began is filled in from the history, once."""

    def __init__(self) -> None:
        self._marks: dict[str, _Marks] = {}
        self._failures: dict[str, deque[Result]] = {}
        self._heard: dict[str, int] = {}
        self._filled: set[str] = set()

    def on_result(self, watched: Watched, result: Result) -> None:
        name = watched.name
        marks = self._marks.get(name)
        if marks is None:
            marks = self._marks[name] = _Marks()
        marks.append(mark_of(result))
        self._heard[name] = self._heard.get(name, 0) + 1
        if result.verdict is Verdict.FAIL:
            self._failures.setdefault(name, deque(maxlen=KEPT_FAILURES)).append(result)

    def of(self, name: str) -> Sequence[Mark]:
        marks = self._marks.get(name)
        return () if marks is None else marks.unpacked()

    def count(self, name: str) -> int:
        """How many marks there are."""
        marks = self._marks.get(name)
        return 0 if marks is None else len(marks)

    def failures(self, name: str) -> Sequence[Result]:
        """Those that the history may not have yet, or at all where none is kept; the newest first."""
        return tuple(reversed(self._failures.get(name, ())))

    def heard(self, name: str) -> int:
        """Grows with every check, so that equal numbers mean that nothing is new."""
        return self._heard.get(name, 0)

    def missing(self, names: Iterable[str]) -> list[str]:
        """Those whose past was not filled in yet."""
        return [name for name in names if name not in self._filled]

    def fill(self, name: str, past: Sequence[StoredResult]) -> None:
        """Put what the history knows (the newest first) before what was heard, which it has heard as well."""
        if name in self._filled:
            return
        self._filled.add(name)
        heard = self.of(name)
        before = [_mark_of_stored(one) for one in reversed(past)]
        if heard:
            begins = heard[0].at - STORED_WITHIN
            before = [mark for mark in before if mark.at < begins]
        if before:
            marks = self._marks[name] = _Marks()
            for mark in (*before, *heard):
                marks.append(mark)

    def forget_all_but(self, names: Container[str]) -> None:
        """Monitors come and go with the configuration."""
        for known in (self._marks, self._failures, self._heard):
            for name in [name for name in known if name not in names]:
                del known[name]
        self._filled = {name for name in self._filled if name in names}


def mark_of(result: Result) -> Mark:
    """The time that an answer took; a failure has none, and its timeout is not a response time."""
    observation = result.observation
    if result.verdict not in {Verdict.PASS, Verdict.WARN}:
        return Mark(observation.started_at, result.verdict.value, None)
    response = observation.fields.get("response_time", observation.duration_s)
    response_s = float(response) if isinstance(response, (int, float)) else None
    return Mark(observation.started_at, result.verdict.value, response_s)


def _mark_of_stored(result: StoredResult) -> Mark:
    has_answered = result.verdict in {Verdict.PASS, Verdict.WARN}
    return Mark(result.at, result.verdict.value, result.duration_s if has_answered else None)
