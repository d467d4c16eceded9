"""Reading the fields of forms. All errors of a form are collected, so that the page can show each next to its field."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from monitord.calendar_events.zones import first_utc, is_zone
from monitord.dispatch import Matcher, MonitorEntry
from monitord.errors import InvalidValueError
from monitord.status.access import body
from monitord.status.access.problems import UnknownInput
from monitord.status.model.query import LONGEST_SILENCE_S
from monitord.status.model.selection import KEYS, select
from monitord.text import shortened
from monitord.web import HTTPException

T = TypeVar("T")

DURATIONS = {
    "30m": ("30 minutes", timedelta(minutes=30)),
    "1h": ("1 hour", timedelta(hours=1)),
    "2h": ("2 hours", timedelta(hours=2)),
    "4h": ("4 hours", timedelta(hours=4)),
    "8h": ("8 hours", timedelta(hours=8)),
    "1d": ("1 day", timedelta(days=1)),
    "3d": ("3 days", timedelta(days=3)),
    "7d": ("7 days", timedelta(days=7)),
}
"""The choices of a silence: value, text and duration."""

USUAL_DURATION = "2h"
MAX_FIELD_CHARACTERS = 20_000

_PATTERN_CHARACTERS = frozenset("*?[")


class FieldErrors(dict[str, str]):
    """The error of each field; the key "" is for errors of the form as a whole."""

    def read(self, name: str, read: Callable[[], T]) -> T | None:
        """Return the value of a field; None if it is invalid, which is recorded."""
        try:
            return read()
        except InvalidValueError as error:
            self[name] = str(error)
            return None


@dataclass(frozen=True, slots=True)
class SilenceForm:
    """The fields of the form for a silence, as entered. `zone`: the time zone of `until`."""

    monitors: str = ""
    tags: str = ""
    duration: str = USUAL_DURATION
    until: str = ""
    zone: str = "UTC"
    comment: str = ""

    @classmethod
    def of(cls, submitted: Mapping[str, str]) -> "SilenceForm":
        names = [field.name for field in fields(cls)]
        return cls(**{name: submitted[name][:MAX_FIELD_CHARACTERS] for name in names if name in submitted})

    def matcher(self, known: Iterable[str]) -> Matcher:
        """Return the selection; a line that is a name in `known` is not a pattern. Raises InvalidValueError."""
        lines, known_names = _lines(self.monitors), frozenset(known)
        patterns = [line for line in lines if line not in known_names and _PATTERN_CHARACTERS & set(line)]
        names = [line for line in lines if line not in patterns]
        return Matcher(KEYS["names"](names), KEYS["patterns"](patterns), KEYS["tags"](_lines(self.tags)))

    def end(self, now: datetime) -> datetime:
        """Return the end of the silence in UTC. Raises InvalidValueError."""
        if not self.until.strip():
            if self.duration not in DURATIONS:
                raise InvalidValueError("is not among the choices", "choose a duration")
            return now + DURATIONS[self.duration][1]
        until = _moment(self.until.strip(), self.zone)
        if until <= now:
            raise InvalidValueError("is in the past", "choose a later time")
        if until > now + timedelta(seconds=LONGEST_SILENCE_S):
            raise InvalidValueError("is more than 366 days ahead", "choose an earlier time")
        return until


def read_comment(text: str, errors: FieldErrors) -> str | None:
    return errors.read("comment", lambda: body.comment(text))


def read_selection(
    form: SilenceForm, entries: Mapping[str, MonitorEntry], errors: FieldErrors
) -> tuple[Matcher, list[str]] | None:
    """Return the selection and the monitors that match it now; None if it is invalid or a part matches nothing."""
    matcher = errors.read("monitors", lambda: form.matcher(entries))
    if matcher is None:
        return None
    if not (matcher.names or matcher.patterns or matcher.tags):
        errors["monitors"] = "no monitor is selected; write names, patterns or tags"
        return None
    try:
        return matcher, list(select(matcher, entries, lambda _: None, hint="").monitors)
    except UnknownInput as unknown:
        for name, places in (("monitors", {"names", "patterns"}), ("tags", {"tags"})):
            texts = [
                f"{error.problem} ({error.hint})" if error.hint else error.problem
                for error in unknown.errors
                if error.parameter in places
            ]
            if texts:
                errors[name] = shortened("; ".join(texts), 500)
    except HTTPException as error:
        errors[""] = error.text.strip()
    return None


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _moment(text: str, zone: str) -> datetime:
    """Read the value of <input type="datetime-local"> (HTML, section 4.10.5.1.11). Raises InvalidValueError."""
    try:
        written = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidValueError("is not a time", "write a date and a time such as 2026-01-31T18:00") from None
    if written.tzinfo is None and not is_zone(zone):
        raise InvalidValueError(
            f"has the unknown time zone {shortened(zone, 50)!r}", "append Z and write it in UTC"
        )
    try:
        moment = first_utc(written, zone) if written.tzinfo is None else written.astimezone(UTC)
    except OverflowError:
        raise InvalidValueError("is out of range", "write a time in the next 366 days") from None
    if moment is None:
        raise InvalidValueError(
            "does not exist in this time zone", "choose a time after the change of the clocks"
        )
    return moment
