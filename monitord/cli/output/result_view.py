"""One result in full, as `probe`, `show` and `last` print it: where the time went, what was seen, what decided.

Made from the result as the API tells it and the units of its fields, so that it needs nothing of the daemon.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from monitord.cli.output.bars import LABEL_WIDTH, phase_bars
from monitord.cli.output.terminal import paint
from monitord.cli.output.wording import LONGEST_VALUE, in_local_time, local_with_zone, shorten, value
from monitord.model import Json, Reason
from monitord.text import plain
from monitord.units import format_duration, format_size

MOST_LINES = 15

_PHASE = "phase."
_OF_THE_CERTIFICATE = ("certificate.", "tls.")
_DAY_S = 86400.0


def result_lines(
    result: Json,
    units: Mapping[str, str],
    *,
    room: int,
    colour: bool,
    longest: int | None = LONGEST_VALUE,
) -> list[str]:
    """Fits a terminal so wide where its values do. `units`: seconds or bytes, by the name of the field.

    `longest`: characters of one value; None cuts nothing, for where the output is no terminal.
    """
    fields = result["fields"]
    lines = [verdict_line(result, colour=colour, longest=longest)]
    if result["reason"] != Reason.OK.value:
        lines.append(f"{'reason':<{LABEL_WIDTH}}{result['reason']}{_meaning(result['reason'])}")
    for block in (
        [*phase_bars(_phases(fields), room)],
        [*_fields(fields, units, longest)],
        [*certificate_lines(fields)],
        [*_conditions(result, longest, colour=colour)],
        [*_excerpt(result["excerpt"] or "")],
    ):
        if block:
            lines += ["", *(line.rstrip() for line in block)]
    return lines


def verdict_line(result: Json, *, colour: bool, longest: int | None = LONGEST_VALUE) -> str:
    verdict = paint(result["verdict"], result["verdict"], colour=colour)
    return f"{verdict}  {shorten(plain(in_local_time(result['detail'])), longest)}"


def certificate_lines(fields: Json) -> Iterator[str]:
    if "tls.version" in fields:
        yield f"{'tls':<{LABEL_WIDTH}}{fields['tls.version']}, {fields.get('tls.cipher')}"
    left_s = fields.get("certificate.expires_in")
    if not isinstance(left_s, float | int):
        return
    days = abs(left_s) / _DAY_S
    said = f"good for {days:.1f} days" if left_s >= 0 else f"out of date for {days:.1f} days"
    yield f"{'certificate':<{LABEL_WIDTH}}{said}, until {_local_or_as_is(fields.get('certificate.expires_at'))}"
    for name in ("host", "subject", "issuer", "names"):
        if name != "host" or "certificate.host" in fields:
            yield f"{'':<{LABEL_WIDTH}}{name}: {value(fields.get(f'certificate.{name}'))}"


def _local_or_as_is(moment: Any) -> str:
    try:
        return local_with_zone(str(moment))
    except (ValueError, OverflowError):
        return plain(str(moment))


def exact_time(seconds: float) -> str:
    return f"{seconds * 1000:.3f} ms" if seconds < 1 else format_duration(round(seconds, 3))


def _meaning(reason: str) -> str:
    """A daemon that is newer than we are may have reasons that we do not know."""
    try:
        return ": " + Reason(reason).meaning.replace("`", "")
    except ValueError:
        return ""


def _phases(fields: Json) -> Mapping[str, float]:
    return {
        name.removeprefix(_PHASE): seconds
        for name, seconds in fields.items()
        if name.startswith(_PHASE) and isinstance(seconds, float | int) and seconds
    }


def _fields(fields: Json, units: Mapping[str, str], longest: int | None) -> Iterator[str]:
    shown = [
        (name, _in_its_unit(field, units.get(name), longest))
        for name, field in fields.items()
        if not name.startswith((_PHASE, *_OF_THE_CERTIFICATE))
    ]
    label = max([LABEL_WIDTH - 2, *(len(name) for name, _ in shown)])
    for name, text in shown:
        yield f"{plain(name):<{label}}  {text}"


def _in_its_unit(field: Any, unit: str | None, longest: int | None) -> str:
    if unit == "seconds" and isinstance(field, float | int):
        return exact_time(field)
    if unit == "bytes" and isinstance(field, int):
        return format_size(field)
    return value(field, longest)


def _conditions(result: Json, longest: int | None, *, colour: bool) -> Iterator[str]:
    """A condition that degrades is marked when it holds, one that is wanted when it does not."""
    conditions = result["conditions"]
    # Of a result from before a restart it may not be known.
    marks: list[bool | None] = [
        holds == expected for holds, expected in zip(result["holds"], result["expected"], strict=True)
    ]
    if len(marks) != len(conditions):
        marks = [None] * len(conditions)
    for text, is_met in zip(conditions, marks, strict=True):
        yield f"{_mark(is_ok=is_met, colour=colour)}  {shorten(plain(text), longest)}"


def _mark(*, is_ok: bool | None, colour: bool) -> str:
    """Never "not": before a condition that degrades it would deny what has just come true."""
    if is_ok is None:
        return "    "
    return paint("ok", "pass", colour=colour) + "  " if is_ok else paint("fail", "fail", colour=colour)


def _excerpt(excerpt: str) -> Iterator[str]:
    lines = excerpt.splitlines()
    yield from (f"| {plain(line)}" for line in lines[:MOST_LINES])
    if len(lines) > MOST_LINES:
        yield "| …"
