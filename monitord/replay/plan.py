"""The stored results that each monitor of a configuration gets in a replay, and the limits of the replay. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum

from monitord.monitors import MonitorSettings
from monitord.monitors.group import GroupMonitor
from monitord.replay.reconstruction import Reconstruction, reconstruction_of
from monitord.settings import Settings


class LimitKind(Enum):
    """Why a replay of a monitor is incomplete."""

    NO_RESULTS = "no_results"  # there are no stored results
    TYPE = "type"  # its type differs: the stored results are those of another check
    TARGET = "target"  # its options differ: the stored results are those with the current options
    CONDITIONS = "conditions"  # `values` need fields that are not stored: the stored verdicts are kept
    SCHEDULE = "schedule"  # the results keep their times, so `values` have no effect
    RETRIES = "retries"  # `fail_after` is higher: retries after the last failure are not stored
    OBJECTIVE = "objective"  # it is not evaluated again: the stored results follow from the current downtime


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of the replay of one monitor. `values`: conditions, or keys of the configuration."""

    kind: LimitKind
    monitor: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """A configuration with the sources of its results.

    `reconstructions`: by name of a monitor in the configuration. `names`: the monitors that get the results of a
    monitor in the history. `former_names`: the names in the current configuration of monitors that are renamed.
    """

    settings: Settings
    reconstructions: Mapping[str, Reconstruction]
    names: Mapping[str, tuple[str, ...]]
    former_names: Mapping[str, str] = field(default_factory=dict)
    limits: tuple[Limit, ...] = ()


def plan_of(current: Settings, other: Settings, recorded: Collection[str]) -> ReplayPlan:
    """Return the plan for `other`. The monitors in `recorded` have results, which were judged with `current`."""
    present = {monitor.name: monitor for monitor in current.monitors}
    reconstructions: dict[str, Reconstruction] = {}
    names: dict[str, tuple[str, ...]] = {}
    former_names: dict[str, str] = {}
    limits: list[Limit] = []
    for after in other.monitors:
        source = after.name
        if source not in recorded and after.renamed_from is not None:
            source = after.renamed_from
            former_names[after.name] = source
        if after.type_name == GroupMonitor.type_name:
            continue  # evaluated from its members
        before = present.get(source)
        if before is not None and before.type_name != after.type_name:
            limits.append(Limit(LimitKind.TYPE, after.name))
        elif source not in recorded:
            limits.append(Limit(LimitKind.NO_RESULTS, after.name))
        else:
            reconstructions[after.name], obstacles = reconstruction_of(before, after)
            names[source] = (*names.get(source, ()), after.name)
            limits += _limits(before, after, obstacles)
            if after.is_objective:
                limits.append(Limit(LimitKind.OBJECTIVE, after.name))
    return ReplayPlan(other, reconstructions, names, former_names, tuple(limits))


def _limits(
    before: MonitorSettings | None, after: MonitorSettings, obstacles: tuple[str, ...]
) -> list[Limit]:
    limits = [Limit(LimitKind.CONDITIONS, after.name, obstacles)] if obstacles else []
    if before is None:
        return limits
    if before.options != after.options:
        limits.append(Limit(LimitKind.TARGET, after.name))
    changed = tuple(
        key
        for key, was, is_now in (
            ("check_every", before.check_every_s, after.check_every_s),
            ("retry_every", before.retry_every_s, after.retry_every_s),
            # A shorter timeout is replayed.
            ("timeout", min(before.timeout_s, after.timeout_s), after.timeout_s),
        )
        if was != is_now
    )
    if changed:
        limits.append(Limit(LimitKind.SCHEDULE, after.name, changed))
    if after.policy.fail_after > before.policy.fail_after:
        limits.append(Limit(LimitKind.RETRIES, after.name, ("fail_after",)))
    return limits
