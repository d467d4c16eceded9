"""What `monitorctl probe` prints of its results: each in full, and of several what they came to."""

import statistics
from collections.abc import Sequence

from monitord.cli.output.result_view import exact_time, result_lines
from monitord.cli.output.terminal import paint
from monitord.model import Result
from monitord.monitors import MonitorSettings, monitor_type
from monitord.status.model.forms import result_of, units_of


def probe_text(result: Result, settings: MonitorSettings, *, width: int, colour: bool) -> str:
    """One result, in lines that fit a terminal of this width where their values do."""
    kind = monitor_type(settings.type_name)
    units = {} if kind is None else units_of(kind)
    return "\n".join([*result_lines(result_of(result), units, room=width, colour=colour), ""])


def summary_text(results: Sequence[Result], *, colour: bool) -> str:
    """Of several checks: how many came to what, and how long they took."""
    verdicts = [result.verdict.value for result in results]
    shares = [
        f"{verdicts.count(verdict)} {paint(verdict, verdict, colour=colour)}"
        for verdict in dict.fromkeys(verdicts)
    ]
    took = [result.observation.duration_s for result in results]
    times = " / ".join(map(exact_time, (min(took), statistics.fmean(took), max(took))))
    return f"{len(results)} checks: {', '.join(shares)}; min / mean / max {times}"
