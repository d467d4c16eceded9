"""A complete result, as `probe` and `results` print it: steps, phases, fields, certificate, conditions, excerpt.

Composed from the JSON of the API and the units of the fields, so that it needs no code of the daemon.
"""

import contextlib
from collections.abc import Iterator, Mapping

from monitord.cli.output.bars import LABEL_WIDTH, TIME_WIDTH, phase_bars
from monitord.cli.output.terminal import paint
from monitord.cli.output.wording import MAX_VALUE_CHARACTERS, LocalTimes, shorten, value
from monitord.model import Json, Reason
from monitord.text import plain
from monitord.units import format_duration, format_size

MAX_EXCERPT_LINES = 15

_PHASE = "phase."
_STEP = "step."
_VALUE = "value."
_CERTIFICATE = ("certificate.", "tls.")
_DAY_S = 86400.0


def result_lines(
    result: Json,
    units: Mapping[str, str],
    times: LocalTimes,
    *,
    columns: int,
    colour: bool,
    max_characters: int | None = MAX_VALUE_CHARACTERS,
) -> list[str]:
    """Format a result for a terminal with this number of columns. `units`: seconds or bytes, by the name of the field.

    `max_characters` of a value; None if the output is not a terminal, where nothing is truncated.
    """
    fields = result["fields"]
    verdict = paint(result["verdict"], result["verdict"], colour=colour)
    lines = [f"{verdict}  {shorten(plain(times.in_text(result['detail'])), max_characters)}"]
    if result["reason"] != Reason.OK.value:
        meaning = ""
        with contextlib.suppress(ValueError):  # a reason of a newer daemon
            meaning = f" ({Reason(result['reason']).meaning.replace('`', '')})"
        lines.append(f"{'reason':<{LABEL_WIDTH}}{result['reason']}{meaning}")
    excerpt = [f"| {plain(line)}" for line in (result["excerpt"] or "").splitlines()]
    if len(excerpt) > MAX_EXCERPT_LINES:
        excerpt[MAX_EXCERPT_LINES:] = ["| …"]
    for block in (
        [*_steps(fields, max_characters, colour=colour)],
        [*phase_bars(_phases(fields), columns)],
        [*_fields(fields, units, max_characters)],
        [*certificate_lines(fields, times)],
        [*_conditions(result, max_characters, colour=colour)],
        excerpt,
    ):
        if block:
            lines += ["", *(line.rstrip() for line in block)]
    return lines


def certificate_lines(fields: Json, times: LocalTimes) -> Iterator[str]:
    if "tls.version" in fields:
        yield f"{'tls':<{LABEL_WIDTH}}{fields['tls.version']}, {fields.get('tls.cipher')}"
    left_s = fields.get("certificate.expires_in")
    if not isinstance(left_s, float | int):
        return
    days = abs(left_s) / _DAY_S
    ends = f"expires in {days:.1f} days" if left_s >= 0 else f"expired {days:.1f} days ago"
    expires_at = str(fields.get("certificate.expires_at"))
    try:
        expires_at = times.moment(expires_at)
    except ValueError:
        expires_at = plain(expires_at)
    yield f"{'certificate':<{LABEL_WIDTH}}{ends}, at {expires_at}"
    for name in ("host", "subject", "issuer", "names"):
        if name != "host" or "certificate.host" in fields:
            yield f"{'':<{LABEL_WIDTH}}{name}: {value(fields.get(f'certificate.{name}'))}"


def exact_time(seconds: float) -> str:
    """ "67.123 ms", "2.004 s", "14d3h", "-5.296 s"."""
    if seconds < 0:
        return f"-{exact_time(-seconds)}"
    if seconds < 1:
        return f"{seconds * 1000:.3f} ms"
    return f"{seconds:.3f} s" if seconds < 60 else format_duration(round(seconds, 3))  # noqa: PLR2004 - a minute


def _phases(fields: Json) -> Mapping[str, float]:
    return {
        name.removeprefix(_PHASE): seconds
        for name, seconds in fields.items()
        if name.startswith(_PHASE) and isinstance(seconds, float | int) and seconds
    }


def _steps(fields: Json, max_characters: int | None, *, colour: bool) -> Iterator[str]:
    """Format a line for each step, with its status, its time and its phases, and one for each extracted value."""
    steps: dict[str, Json] = {}
    for name, field in fields.items():
        if name.startswith(_STEP):
            step, _, part = name.removeprefix(_STEP).partition(".")
            steps.setdefault(plain(step), {})[part] = field
    label = max(map(len, steps), default=0)
    for step, step_fields in steps.items():
        if step_fields.get("outcome") == "skipped":
            yield f"-     {step:<{label}}  skipped"
            continue
        status, seconds = plain(str(step_fields.get("status", "-"))), step_fields.get("response_time")
        time = exact_time(seconds) if isinstance(seconds, float | int) else "-"
        phases = ", ".join(f"{phase} {exact_time(took_s)}" for phase, took_s in _phases(step_fields).items())
        mark = (
            paint("ok", "pass", colour=colour) + "  "
            if (step_fields.get("outcome") == "passed")
            else paint("fail", "fail", colour=colour)
        )
        yield f"{mark}  {step:<{label}}  {status:>3}  {time:>{TIME_WIDTH}}  {phases}"
        for name, field in step_fields.items():
            if name.startswith(_VALUE):
                shown = value(field, max_characters)
                yield f"{'':<6}{'':<{label}}  {plain(name.removeprefix(_VALUE))} = {shown}"


def _fields(fields: Json, units: Mapping[str, str], max_characters: int | None) -> Iterator[str]:
    shown: list[tuple[str, str]] = []
    for name, field in fields.items():
        if name.startswith((_PHASE, _STEP, *_CERTIFICATE)):
            continue
        if units.get(name) == "seconds" and isinstance(field, float | int):
            text = exact_time(field)
        elif units.get(name) == "bytes" and isinstance(field, int):
            text = format_size(field)
        else:
            text = value(field, max_characters)
        shown.append((name, text))
    label = max([LABEL_WIDTH - 2, *(len(name) for name, _ in shown)])
    for name, text in shown:
        yield f"{plain(name):<{label}}  {text}"


def _conditions(result: Json, max_characters: int | None, *, colour: bool) -> Iterator[str]:
    """Show for each condition its key and whether it is met; a condition that decides against the state is red."""
    conditions = [shorten(plain(text), max_characters) for text in result["conditions"]]
    # `expected` is True for conditions in `up_when`, and False for those in `degraded_when`.
    outcomes = list(zip(result["holds"], result["expected"], strict=True))
    if len(outcomes) != len(conditions):
        yield from conditions  # a result that an earlier release has stored may lack the outcomes
        return
    for text, (holds, expected) in zip(conditions, outcomes, strict=True):
        key, truth = "up_when" if expected else "degraded_when", "met" if holds else "not met"
        painted = paint(truth, "pass" if holds == expected else "fail", colour=colour)
        yield f"{key:<{len('degraded_when')}}  {painted}{'':<{len('not met') - len(truth)}}  {text}"
