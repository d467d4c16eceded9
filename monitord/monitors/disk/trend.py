"""The time until a file system is full, from the used space of the last two days. Pure.

The growth is estimated from the slopes between all pairs of samples of the last TREND_S (Theil-Sen), at a quantile
below the median, so that a step does not count: a copied file, a rotated log. There is no estimate:

| situation                                             | reason                                                |
|-------------------------------------------------------|-------------------------------------------------------|
| the samples cover less than MIN_SPAN_S                | nothing is known yet                                  |
| the used space does not grow                          | it would never be full                                |
| it was used as much within the stored samples         | it is freed regularly: backups, logs that are rotated |

Samples have the time of the wall clock, because they are kept across restarts. Those of the future are dropped, in case
the clock was set back.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

KEPT_S = 48 * 3600.0
EVERY_S = 1800.0
"""Time between two samples."""
MAX_SAMPLES = 100

TREND_S = 12 * 3600.0
MIN_SPAN_S = 6 * 3600.0
MIN_SAMPLES = 10
QUANTILE = 0.4
"""A step in the middle of the window is in half of all pairs; the estimate must be among the others."""

FLUCTUATION = 0.1
"""Share of the free space by which the used space may have been larger: temporary files."""

LONGEST_S = 365 * 86400.0
"""A longer time until full is not reported: it says only that the used space does not grow."""

TOO_FEW = "the used space has been recorded for less than six hours"
NO_GROWTH = "the used space does not grow"
REPEATS = "as much space was in use within the last two days, and was freed"


@dataclass(frozen=True, slots=True)
class Sample:
    """`at_s`: seconds since the epoch."""

    at_s: float
    used_bytes: int


@dataclass(frozen=True, slots=True)
class UsageTrend:
    """The samples of a file system, oldest first."""

    samples: tuple[Sample, ...] = ()

    def added(self, sample: Sample) -> "UsageTrend":
        """Return the trend with a further sample, unless the last sample is recent. Old samples are dropped."""
        samples = [other for other in self.samples if 0 <= sample.at_s - other.at_s <= KEPT_S]
        if not samples or sample.at_s - samples[-1].at_s >= EVERY_S:
            samples.append(sample)
        return UsageTrend(tuple(samples[-MAX_SAMPLES:]))

    def time_until_full_s(self, now: Sample, free_bytes: int) -> float | str:
        """Return the seconds until the free space is used, or the reason why they are not known."""
        recent = [sample for sample in self.samples if 0 <= now.at_s - sample.at_s <= TREND_S]
        if len(recent) < MIN_SAMPLES or now.at_s - recent[0].at_s < MIN_SPAN_S:
            return TOO_FEW
        samples = [*recent, now] if recent[-1].at_s < now.at_s else recent
        # The QUANTILE of the slopes of all pairs, in bytes per second.
        slopes = sorted(
            (later.used_bytes - earlier.used_bytes) / (later.at_s - earlier.at_s)
            for index, earlier in enumerate(samples)
            for later in samples[index + 1 :]
            if later.at_s > earlier.at_s
        )
        slope = slopes[int(len(slopes) * QUANTILE)] if slopes else 0.0
        if slope <= 0 or free_bytes / slope > LONGEST_S:
            return NO_GROWTH
        # A spool that is emptied every night grows all day. While it really fills, the present is about the maximum.
        tolerance = free_bytes * FLUCTUATION
        if any(sample.used_bytes > now.used_bytes + tolerance for sample in self.samples):
            return REPEATS
        return free_bytes / slope

    def dump_state(self) -> Mapping[str, Any]:
        """Return two lists of small numbers, because they are stored with each result: minutes and KiB."""
        return {
            "minutes": [round(sample.at_s / 60) for sample in self.samples],
            "used_kib": [sample.used_bytes >> 10 for sample in self.samples],
        }

    @classmethod
    def restored(cls, state: object) -> "UsageTrend":
        """Return the trend from a result of `dump_state`. Invalid data gives an empty one."""
        times, used = (
            (state.get("minutes"), state.get("used_kib")) if isinstance(state, Mapping) else (None, None)
        )
        if not isinstance(times, list) or not isinstance(used, list):
            return cls()
        pairs = list(zip(times[-MAX_SAMPLES:], used[-MAX_SAMPLES:], strict=False))
        if not all(
            isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            for pair in pairs
            for value in pair
        ):
            return cls()
        return cls(
            tuple(
                sorted(
                    (Sample(at * 60.0, int(size) << 10) for at, size in pairs), key=lambda sample: sample.at_s
                )
            )
        )
