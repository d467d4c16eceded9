"""The objective of a monitor for readers, from the last result of the monitor that evaluates it."""

from dataclasses import dataclass

from monitord.dispatch import MonitorEntry, Registry
from monitord.health import Objective
from monitord.health.objectives import burn_windows_s
from monitord.model import Json, State
from monitord.monitors.objective import BURN_RATES, ObjectiveOptions, objective_name

PRECISION = 6
"""Decimals of percentages, rates and seconds."""


@dataclass(frozen=True, slots=True)
class ObjectiveSummary:
    """`monitor`: the monitor that evaluates it. Percentages are from 0 to 100. None: there is no result with data.

    `left_percent`, `left_s`: of the error budget; negative if the objective is missed. `burn_rates`: by the length of
    their window in seconds, in the order of `burn_windows_s`.
    """

    monitor: str
    state: State
    objective: Objective
    achieved_percent: float | None
    left_percent: float | None
    left_s: float | None
    burn_rates: tuple[tuple[float, float | None], ...]


def objective_summary(entry: MonitorEntry, registry: Registry) -> ObjectiveSummary | None:
    """Return the objective that a monitor has, or that it evaluates; None if there is none."""
    settings = entry.monitor.settings
    if not settings.is_objective and settings.objective is None:
        return None
    evaluating = entry if settings.is_objective else registry.entries.get(objective_name(entry.name))
    options = None if evaluating is None else evaluating.monitor.options
    if evaluating is None or not isinstance(options, ObjectiveOptions):
        return None
    last = evaluating.state.last
    fields = {} if last is None else last.observation.fields

    def number(name: str) -> float | None:
        value = fields.get(name)
        return float(value) if isinstance(value, int | float) else None

    windows_s = burn_windows_s(options.objective)
    return ObjectiveSummary(
        monitor=evaluating.name,
        state=evaluating.state.effective,
        objective=options.objective,
        achieved_percent=number("objective.achieved_percent"),
        left_percent=number("error_budget.left_percent"),
        left_s=number("error_budget.left_time"),
        burn_rates=tuple(
            (window_s, number(field)) for window_s, field in zip(windows_s, BURN_RATES, strict=True)
        ),
    )


def objective_json(summary: ObjectiveSummary | None) -> Json | None:
    if summary is None:
        return None
    return {
        "monitor": summary.monitor,
        "state": summary.state.value,
        "target_percent": summary.objective.target_percent,
        "window_s": summary.objective.window_s,
        "achieved_percent": _rounded(summary.achieved_percent),
        "error_budget_left_percent": _rounded(summary.left_percent),
        "error_budget_left_s": _rounded(summary.left_s),
        "burn_rates": [
            {"window_s": round(window_s, 3), "burn_rate": _rounded(rate)}
            for window_s, rate in summary.burn_rates
        ],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, PRECISION)
