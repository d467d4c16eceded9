"""Conversion of durations and sizes, such as "30s", "1h30m" and "2MiB", to seconds and bytes and back.

Invalid text raises QuantityError, whose hint is what to write instead.
"""

import math
import re
from functools import lru_cache

from monitord.errors import InvalidValueError

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_NEXT_UNIT = {"w": "d", "d": "h", "h": "m", "m": "s"}
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)", re.ASCII)
_SPELLED = {
    "millisecond": "ms", "msec": "ms", "second": "s", "sec": "s", "minute": "m", "min": "m",
    "hour": "h", "hr": "h", "day": "d", "week": "w",
}  # fmt: skip
_SPELLED_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|[a-z]+?)s?(?![a-z])", re.ASCII)

_BYTES = {
    "": 1,
    "B": 1,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
    "kB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB|kB|MB|GB)?", re.ASCII)
_LOOSE_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg])(?:i?b|bytes?)?", re.ASCII)

LONGEST_DURATION_S = 100 * 365 * 86400.0
LARGEST_SIZE_BYTES = 2**50


class QuantityError(InvalidValueError):
    """A duration or size is invalid. `suggestion` is the probable correct text, "" if it is not known."""

    def __init__(
        self, problem: str, hint: str, *, suggestion: str = "", is_out_of_range: bool = False
    ) -> None:
        super().__init__(problem, hint)
        self.suggestion = suggestion
        self.is_out_of_range = is_out_of_range


def parse_duration(value: object) -> float:
    """Return the seconds of a number of seconds or of text such as "250ms", "5m", "1h30m", "14d".

    Raises QuantityError.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise QuantityError("is not a duration", 'write seconds or text such as "30s"')
    if isinstance(value, str):
        seconds = _duration_of_text(value)
    else:
        try:
            seconds = float(value)
        except OverflowError:
            seconds = math.inf
    if not 0 <= seconds <= LONGEST_DURATION_S:
        raise QuantityError("is out of range", "a duration must be from 0 to 100 years", is_out_of_range=True)
    return seconds


@lru_cache(maxsize=256)  # a configuration repeats a few durations thousands of times
def _duration_of_text(text: str) -> float:
    stripped = text.strip()
    if re.fullmatch(r"\d+(?:\.\d+)?", stripped, re.ASCII):
        return float(stripped)
    if re.fullmatch(rf"(?:{_DURATION_PART.pattern})+", stripped, re.ASCII):
        return sum(float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(stripped))
    # The correct text if it is known: "1h30m" for "1 hour 30 min" and "1h30".
    text = re.sub(r"(?<=\d),(?=\d)", ".", stripped.lower())
    if unfinished := re.fullmatch(r".*\d\s*([wdhm])(?!s)[a-z]*\s*\d+", text, re.ASCII):
        text += _NEXT_UNIT[unfinished[1]]
    suggestion = ""
    if re.fullmatch(rf"(?:{_SPELLED_PART.pattern}[\s,]*)+", text, re.ASCII):
        parts = [(number, _SPELLED.get(unit, unit)) for number, unit in _SPELLED_PART.findall(text)]
        if all(unit in _SECONDS for _, unit in parts):
            suggestion = "".join(number + unit for number, unit in parts)
    hint = f'write "{suggestion}"' if suggestion else 'write a duration such as "30s", "2h" or "7d"'
    raise QuantityError("is not a duration", hint, suggestion=suggestion)


def format_duration(seconds: float) -> str:
    """Return the text of a duration, rounded to milliseconds: "1m30s" for 90, "250ms" for 0.25, "-5s" for -5."""
    if seconds < 0:
        return f"-{format_duration(-seconds)}"
    milliseconds = round(seconds * 1000)
    if milliseconds == 0:
        return "0s"
    parts: list[str] = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, milliseconds = divmod(milliseconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def parse_size(value: object) -> int:
    """Return the bytes of a whole number of bytes or of text such as "64KiB", "1MiB", "2MB".

    Raises QuantityError.
    """
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise QuantityError("is not a size", 'write bytes or text such as "1MiB"')
    size: float = _size_of_text(value) if isinstance(value, str) else value
    if not 0 <= size <= LARGEST_SIZE_BYTES:
        raise QuantityError("is out of range", "a size must be from 0 to 1 PiB", is_out_of_range=True)
    if size != int(size):
        suggestion = f"{int(size)}B"
        raise QuantityError("is not a whole number of bytes", f'write "{suggestion}"', suggestion=suggestion)
    return int(size)


def _size_of_text(text: str) -> float:
    match = _SIZE.fullmatch(text.strip())
    if match:
        return float(match[1]) * _BYTES[match[2] or ""]
    loose = _LOOSE_SIZE.fullmatch(text.strip().lower())
    suggestion = f"{loose[1]}{loose[2].upper()}iB" if loose else ""
    raise QuantityError(
        "is not a size", f'write bytes or text such as "{suggestion or "1MiB"}"', suggestion=suggestion
    )


def format_size(size_bytes: int) -> str:
    """Return the text of a size in its largest whole unit: "1MiB" for 1048576, "1500B" for 1500."""
    for unit in ("GiB", "MiB", "KiB"):
        if size_bytes and size_bytes % _BYTES[unit] == 0:
            return f"{size_bytes // _BYTES[unit]}{unit}"
    return f"{size_bytes}B"


def approximate_size(size_bytes: float) -> str:
    """Return the text of a measured size with three digits: "1.46 GiB"."""
    value, unit = float(size_bytes), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB"):
        if value < 999.5:  # noqa: PLR2004 - would be shown as 1000
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} B" if unit == "B" else f"{value:.3g} {unit}"


def format_percent(ratio: float) -> str:
    """Return a percentage: "99.950 %"; only a ratio of exactly 1 is 100 %."""
    shown = f"{ratio * 100:.3f}"
    return f"{'99.999' if shown == '100.000' and ratio < 1 else shown} %"


def approximate_duration(seconds: float) -> str:
    """Return the text of an estimated duration with one or two units: "5h12m", "3d", "40s"."""
    for above_s, step_s in ((10 * 86_400, 86_400), (86_400, 3600), (60, 60)):
        if seconds >= above_s:
            return format_duration(seconds // step_s * step_s)
    return format_duration(seconds // 1)
