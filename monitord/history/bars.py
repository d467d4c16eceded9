"""The last verdicts of each monitor, in memory, a byte each: an overview of a thousand monitors asks no disk."""

from array import array
from collections.abc import Mapping

from monitord.history.codes import VERDICT_CODES, VERDICTS
from monitord.model import Verdict

BAR_LENGTH = 60


class Bars:
    """`recent`: numbers of verdicts by monitor, the oldest first."""

    def __init__(self, recent: Mapping[str, bytes] | None = None) -> None:
        self._bars = {name: array("B", codes) for name, codes in (recent or {}).items()}

    def add(self, monitor: str, verdict: Verdict) -> None:
        bar = self._bars.get(monitor)
        if bar is None:
            bar = self._bars[monitor] = array("B")
        bar.append(VERDICT_CODES[verdict])
        if len(bar) >= 2 * BAR_LENGTH:
            del bar[:-BAR_LENGTH]

    def of(self, monitor: str, count: int) -> tuple[Verdict, ...]:
        """At most BAR_LENGTH, the oldest first."""
        bar = self._bars.get(monitor)
        return () if bar is None else tuple(VERDICTS[code] for code in bar[-max(1, min(count, BAR_LENGTH)) :])

    def rename(self, old: str, new: str) -> None:
        if old in self._bars and new not in self._bars:
            self._bars[new] = self._bars.pop(old)

    def forget(self, monitor: str) -> None:
        self._bars.pop(monitor, None)
