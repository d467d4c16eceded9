"""Parse the output of a Nagios plugin: message and performance data, as in the Monitoring Plugins Guidelines.

    TEXT | PERFDATA                    the first line
    LONG TEXT …
    LONG TEXT | PERFDATA               after the first | of the further lines everything is performance data
    PERFDATA …

One value is 'label'=value[unit];[warn];[crit];[min];[max]. A quote in a quoted label is doubled; the value U means
undetermined. A threshold is a range [@]start:end: values outside of it alert, with @ those inside; "10" is 0:10, "10:"
has no end, "~:10" no start.

Pure functions that do not raise: malformed values are omitted.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_VALUES = 100
MAX_LABEL_CHARACTERS = 200

_KILO = 1024.0
"""Plugins that use KB and MB take them from programs such as free(1) and df(1), which count by 1024."""

_BYTES = {"": 1.0, "K": _KILO, "k": _KILO, "M": _KILO**2, "G": _KILO**3, "T": _KILO**4, "P": _KILO**5}
_UNITS = {
    "s": (1.0, "s"),
    "ms": (1e-3, "s"),
    "us": (1e-6, "s"),
    "µs": (1e-6, "s"),
    "ns": (1e-9, "s"),
    **{f"{prefix}B": (factor, "B") for prefix, factor in _BYTES.items()},
    **{f"{prefix}iB": (factor, "B") for prefix, factor in _BYTES.items() if prefix},
}
"""Factor and base unit. "b" may mean bits and is not converted."""

_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,4})?"
_SPACE = re.compile(r"\s")
_LABEL = re.compile(r"'([^']*(?:''[^']*)*)'=|([^\s'=]+)=")
_VALUE = re.compile(rf"({_NUMBER})([^\d\s;.,+_-][^\d\s;]{{0,15}})?|U", re.ASCII)
_RANGE = re.compile(rf"(@?)(?:(~|{_NUMBER})?:)?({_NUMBER})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Range:
    """Values from `start` to `end`, inclusive, are ok; with `is_inverted` all other values are."""

    start: float
    end: float
    is_inverted: bool = False


@dataclass(frozen=True, slots=True)
class PerfValue:
    """One value and its thresholds, in base units: seconds, bytes, percent, a counter ("c") or none.

    `value` None: undetermined. An unknown unit is kept.
    """

    label: str
    value: float | None
    unit: str = ""
    warn: Range | None = None
    crit: Range | None = None
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, slots=True)
class PluginOutput:
    """`malformed`: number of values that are malformed or exceed MAX_VALUES."""

    message: str
    values: tuple[PerfValue, ...] = ()
    malformed: int = 0


def parse_output(text: str) -> PluginOutput:
    first, _, further = text.strip("\r\n").partition("\n")
    message, _, perfdata = first.partition("|")
    _, _, more = further.partition("|")
    values, malformed = parse_perfdata(f"{perfdata} {more}")
    return PluginOutput(message.strip(), values, malformed)


def parse_perfdata(text: str) -> tuple[tuple[PerfValue, ...], int]:
    """Return the values and the number of omitted values. The first of several values with one label is used."""
    values: dict[str, PerfValue] = {}
    malformed = 0
    for piece in _pieces(text):
        value = piece if piece is None else _value(*piece)
        if value is None or (len(values) >= MAX_VALUES and value.label not in values):
            malformed += 1
        else:
            values.setdefault(value.label, value)
    return tuple(values.values()), malformed


def _pieces(text: str) -> Iterator[tuple[str, str] | None]:
    """Yield label and the rest of each value; None if the label is malformed."""
    position = 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        label = _LABEL.match(text, position)
        space = _SPACE.search(text, position if label is None else label.end())
        end = len(text) if space is None else space.start()
        if label is None:
            yield None
        else:
            name = label[2] if label[1] is None else label[1].replace("''", "'")
            yield name.strip(), text[label.end() : end]
        position = end


def _value(label: str, text: str) -> PerfValue | None:
    value, *fields = text.split(";")
    match = _VALUE.fullmatch(value)
    if match is None or not label or len(label) > MAX_LABEL_CHARACTERS:
        return None
    written = match[2] or ""
    factor, unit = _UNITS.get(written, (1.0, written))
    number = None if match[1] is None else _number(match[1], factor)
    if match[1] is not None and number is None:
        return None
    warn, crit, minimum, maximum, *_ = [*fields, "", "", "", ""]
    return PerfValue(
        label=label,
        value=number,
        unit=unit,
        warn=_range(warn, factor),
        crit=_range(crit, factor),
        minimum=_number(minimum, factor),
        maximum=_number(maximum, factor),
    )


def _range(text: str, factor: float) -> Range | None:
    match = _RANGE.fullmatch(text)
    if match is None or not text.strip("@"):
        return None
    start = -math.inf if match[2] == "~" else _number(match[2] or "0", factor)
    end = math.inf if match[3] is None else _number(match[3], factor)
    if start is None or end is None or start > end:
        return None
    return Range(start, end, is_inverted=bool(match[1]))


def _number(text: str, factor: float) -> float | None:
    if not re.fullmatch(_NUMBER, text, re.ASCII):
        return None
    number = float(text) * factor
    # JSON has no infinity.
    return number if math.isfinite(number) else None
