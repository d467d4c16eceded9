"""What `monitorctl probe` prints of a result: where the time went as bars, what was seen, what decided."""

import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence

from monitord.cli.tables import paint
from monitord.conditions import FactType
from monitord.model import Fact, Reason, Result
from monitord.monitors import MonitorSettings, monitor_type
from monitord.monitors.masking import printable
from monitord.net import Phase
from monitord.units import format_duration, format_size

LABEL_WIDTH = 12
TIME_WIDTH = 11
NARROWEST_BAR = 10
WIDEST_BAR = 72
LONGEST_VALUE = 300
MOST_LINES = 15

_BLOCKS = " ▏▎▍▌▋▊▉█"
_OF_THE_CERTIFICATE = ("certificate.", "tls.")
_DAY_S = 86400.0


def probe_text(result: Result, settings: MonitorSettings, *, width: int, colour: bool) -> str:
    """One result, in lines that fit a terminal of this width where their values do."""
    observation = result.observation
    lines = [
        f"{paint(result.verdict.value, result.verdict.value, colour=colour)}  {_line(observation.detail)}"
    ]
    if observation.reason is not Reason.OK:
        lines.append(
            f"{'reason':<{LABEL_WIDTH}}{observation.reason.value}: {_plain(observation.reason.meaning)}"
        )
    for block in (
        [*_bars(observation.facts, width)],
        [*_facts(observation.facts, settings)],
        [*_certificate(observation.facts)],
        [*_conditions(result, colour=colour)],
        [*_excerpt(observation.excerpt or "")],
    ):
        if block:
            lines += ["", *(line.rstrip() for line in block)]
    return "\n".join([*lines, ""])


def summary_text(results: Sequence[Result], *, colour: bool) -> str:
    """Of several checks: how many came to what, and how long they took."""
    verdicts = [result.verdict.value for result in results]
    shares = [
        f"{verdicts.count(verdict)} {paint(verdict, verdict, colour=colour)}"
        for verdict in dict.fromkeys(verdicts)
    ]
    took = [result.observation.duration_s for result in results]
    times = " / ".join(map(_time, (min(took), statistics.fmean(took), max(took))))
    return f"{len(results)} checks: {', '.join(shares)}; min / mean / max {times}"


def _bars(facts: Mapping[str, Fact], width: int) -> Iterator[str]:
    """A phase begins where the one before ended."""
    phases = {
        phase.value: seconds
        for phase in Phase
        if isinstance(seconds := facts.get(f"phase.{phase.value}"), float | int) and seconds
    }
    total_s = sum(phases.values())
    if not total_s:
        return
    room = min(max(width - LABEL_WIDTH - TIME_WIDTH, NARROWEST_BAR), WIDEST_BAR)
    began_s = 0.0
    for name, seconds in phases.items():
        bar = _bar(began_s / total_s * room, seconds / total_s * room)
        yield f"{name:<{LABEL_WIDTH}}{bar:<{room}}{_time(seconds):>{TIME_WIDTH}}"
        began_s += seconds


def _bar(indent: float, length: float) -> str:
    """In eighths of a character where they can be printed; never nothing."""
    whole = int(indent)
    if not _can_print(_BLOCKS):
        return " " * whole + "#" * max(round(length), 1)
    eighths = max(round(length * 8), 1)
    return " " * whole + "█" * (eighths // 8) + _BLOCKS[eighths % 8].strip()


def _can_print(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _facts(facts: Mapping[str, Fact], settings: MonitorSettings) -> Iterator[str]:
    kind = monitor_type(settings.type_name)
    types = kind.vocabulary.facts if kind is not None else {}
    shown = [
        (name, _value(value, types.get(name)))
        for name, value in facts.items()
        if not name.startswith(("phase.", *_OF_THE_CERTIFICATE))
    ]
    label = max([LABEL_WIDTH - 2, *(len(name) for name, _ in shown)])
    for name, value in shown:
        yield f"{name:<{label}}  {value}"


def _certificate(facts: Mapping[str, Fact]) -> Iterator[str]:
    if "tls.version" in facts:
        yield f"{'tls':<{LABEL_WIDTH}}{facts['tls.version']}, {facts.get('tls.cipher')}"
    left_s = facts.get("certificate.expires_in")
    if not isinstance(left_s, float):
        return
    days = abs(left_s) / _DAY_S
    said = f"good for {days:.1f} days" if left_s >= 0 else f"out of date for {days:.1f} days"
    yield f"{'certificate':<{LABEL_WIDTH}}{said}, until {facts.get('certificate.expires_at')}"
    for name in ("subject", "issuer", "names"):
        yield f"{'':<{LABEL_WIDTH}}{name}: {_value(facts.get(f'certificate.{name}'), None)}"


def _conditions(result: Result, *, colour: bool) -> Iterator[str]:
    """A condition that degrades is marked when it holds, one that is wanted when it does not."""
    for text, is_well in zip(result.conditions, result.well, strict=True):
        mark = paint("well", "pass", colour=colour) if is_well else paint("not", "fail", colour=colour) + " "
        yield f"{mark}  {_line(text)}"


def _excerpt(excerpt: str) -> Iterator[str]:
    lines = excerpt.splitlines()
    yield from (f"| {line}" for line in lines[:MOST_LINES])
    if len(lines) > MOST_LINES:
        yield "| …"


def _value(value: Fact, fact_type: object) -> str:
    if isinstance(value, float) and fact_type is FactType.DURATION:
        return _time(value)
    if isinstance(value, int) and fact_type is FactType.SIZE:
        return format_size(value)
    if isinstance(value, tuple):
        return _line(", ".join(value))
    if isinstance(value, bool):
        return "true" if value else "false"
    return _line(str(value))


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.3f} ms" if seconds < 1 else format_duration(round(seconds, 3))


def _line(text: str) -> str:
    """A peer may have said it."""
    shown = printable(text).replace("\n", " ")
    return shown if len(shown) <= LONGEST_VALUE else shown[: LONGEST_VALUE - 1] + "…"


def _plain(meaning: str) -> str:
    return meaning.replace("`", "")
