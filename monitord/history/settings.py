"""The section [history] of the configuration: directory, maximum size and retention."""

from dataclasses import dataclass
from pathlib import Path

from monitord.config import Table
from monitord.units import format_duration

HOUR_S = 3600.0
DAY_S = 86400.0
LONGEST_S = 20 * 366 * DAY_S

SMALLEST_SIZE_BYTES = 16 << 20
LARGEST_SIZE_BYTES = 1 << 40


@dataclass(frozen=True, slots=True)
class HistorySettings:
    """Retention of results, minutes, hours and days. `days_s` also applies to spans, transitions and incidents.

    `directory` None: the state directory of the service manager, if there is one.
    """

    enabled: bool = True
    directory: Path | None = None
    max_size_bytes: int = 1 << 30
    results_s: float = DAY_S
    minutes_s: float = DAY_S
    hours_s: float = 30 * DAY_S
    days_s: float = 2 * 366 * DAY_S


def read_history(table: Table) -> HistorySettings:
    """Read the section. A coarser level must not be kept for less time than a finer one."""
    default = HistorySettings()
    # Defaults adapt to the values that the configuration sets.
    days_s = _retention(table, "day_retention", default.days_s, 7 * DAY_S)
    hours_s = _retention(table, "hour_retention", min(default.hours_s, days_s), DAY_S)
    minutes_s = _retention(table, "minute_retention", min(default.minutes_s, hours_s), HOUR_S)
    for finer, finer_s, coarser, coarser_s in (
        ("minute_retention", minutes_s, "hour_retention", hours_s),
        ("hour_retention", hours_s, "day_retention", days_s),
    ):
        if finer_s > coarser_s:
            table.error(
                finer,
                f'"{format_duration(finer_s)}" is longer than {coarser}, which is "{format_duration(coarser_s)}"',
                f'write at most "{format_duration(coarser_s)}", or increase {coarser}',
            )
    directory = table.text("directory", default=None)
    if directory is not None and (not directory.startswith("/") or "\0" in directory):
        table.error("directory", "is not an absolute path", 'write a path such as "/var/lib/monitord"')
    return HistorySettings(
        enabled=table.flag("enabled", default=default.enabled),
        directory=None if directory is None else Path(directory),
        max_size_bytes=table.size(
            "max_size",
            default=default.max_size_bytes,
            minimum=SMALLEST_SIZE_BYTES,
            maximum=LARGEST_SIZE_BYTES,
        ),
        results_s=_retention(table, "result_retention", default.results_s, HOUR_S),
        minutes_s=minutes_s,
        hours_s=hours_s,
        days_s=days_s,
    )


def _retention(table: Table, key: str, default_s: float, shortest_s: float) -> float:
    return table.duration(key, default=default_s, minimum=shortest_s, maximum=LONGEST_S)
