"""Monitor type `group`: several monitors as one, such as all monitors of "the shop".

    type = "group"
    members = ["shop-web", "shop-database"]

Evaluated whenever the state of a member changes. Down if a member is down or unreachable, degraded if a member is
degraded, otherwise up. With `at_least`: down if fewer members are up or degraded; otherwise degraded if a member is
degraded, down or unreachable. Paused and pending members do not count. The result is inconclusive if no member that
counts has a known state, or if the unknown members decide whether `at_least` is met.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from monitord import text
from monitord.conditions import COUNT, FieldType, Vocabulary
from monitord.config import Table, check_name
from monitord.errors import InvalidValueError
from monitord.health import HealthPolicy
from monitord.model import FieldValue, Observation, Reason, State
from monitord.monitors.base import Monitor, MonitorSettings, Stopwatch

_FIELDS = {
    State.UP: "group.up",
    State.DEGRADED: "group.degraded",
    State.DOWN: "group.down",
    State.UNREACHABLE: "group.unreachable",
    State.UNKNOWN: "group.unknown",
}
VOCABULARY = Vocabulary(
    {
        "group.members": FieldType.NUMBER,
        **dict.fromkeys(_FIELDS.values(), FieldType.NUMBER),
        "group.unavailable": FieldType.TEXTS,
    },
    {
        "group.members": COUNT,
        **dict.fromkeys(_FIELDS.values(), COUNT),
    },
)

MAX_NAMED = 10
"""Members that `detail` names."""

_NOT_COUNTED = frozenset({State.PENDING, State.PAUSED})
_FAILED = frozenset({State.DOWN, State.UNREACHABLE})
_AVAILABLE = frozenset({State.UP, State.DEGRADED})


@dataclass(frozen=True, slots=True)
class GroupOptions:
    """`at_least`: number of members that must be up or degraded; None: all of them."""

    members: tuple[str, ...] = ()
    member_tags: tuple[str, ...] = ()
    at_least: int | None = None


class GroupMonitor(Monitor[GroupOptions]):
    type_name: ClassVar[str] = "group"
    uses_network = False
    vocabulary: ClassVar[Vocabulary] = VOCABULARY
    # The states of members are confirmed already.
    default_policy: ClassVar[HealthPolicy] = HealthPolicy(
        fail_after=1, degrade_after=1, detects_flapping=False
    )

    @classmethod
    def belongs_to_host(cls, options: GroupOptions) -> bool:
        del options
        return False  # it evaluates monitors that nodes share

    @classmethod
    def read_options(cls, table: Table) -> GroupOptions:
        options = GroupOptions(
            members=table.values("members", _check_member, default=()),
            member_tags=tuple(dict.fromkeys(table.texts("member_tags", default=()))),
            at_least=table.integer("at_least", default=None, minimum=1, maximum=100_000),
        )
        is_rejected = table.raw("members") or table.raw("member_tags")
        if not options.members and not options.member_tags and not is_rejected:
            table.error("members", "is empty", 'write members = ["NAME", …] or member_tags = ["TAG"]')
        return options

    def has_member(self, other: MonitorSettings) -> bool:
        options = self.options
        return other.name in options.members or (
            bool(options.member_tags)
            and set(options.member_tags).issubset(other.tags)
            and not other.is_objective
        )

    async def check(self) -> Observation:
        watch = Stopwatch(self.tools.clock)
        options = self.options
        states = self.tools.member_states(options.members, options.member_tags)
        others = [(name, state) for name, state in states if name != self.name]
        members = [(name, state) for name, state in others if state not in _NOT_COUNTED]
        counts = Counter(state for _, state in members)
        reason = _reason(counts, options.at_least)
        unavailable = tuple(name for name, state in members if state not in _AVAILABLE)
        fields: dict[str, FieldValue] = {"group.members": len(members), "group.unavailable": unavailable}
        fields |= {field: counts[state] for state, field in _FIELDS.items()}
        if not members:
            detail = (
                "all members are pending or paused" if others else "no monitor has the tags in member_tags"
            )
        else:
            numbers = ", ".join(f"{counts[state]} {state.value}" for state in _FIELDS if counts[state])
            not_up = [name for name, state in members if state is not State.UP]
            names = f": {text.first_of(not_up, MAX_NAMED)}" if not_up else ""
            detail = f"{text.counted(len(members), 'member')}: {numbers}{names}"
        return watch.observation(reason, detail, fields)

    def journal_fields(self, observation: Observation) -> Mapping[str, str]:
        names = observation.fields.get("group.unavailable")
        return {"GROUP_UNAVAILABLE": " ".join(names)} if isinstance(names, tuple) and names else {}


def _reason(counts: Counter[State], at_least: int | None) -> Reason:
    available = sum(counts[state] for state in _AVAILABLE)
    failed = sum(counts[state] for state in _FAILED)
    if not available and not failed:
        return Reason.MEMBERS_UNKNOWN
    if at_least is not None:
        if available < at_least:
            # Unknown members may be up.
            may_be_available = available + counts[State.UNKNOWN] >= at_least
            return Reason.MEMBERS_UNKNOWN if may_be_available else Reason.MEMBER_DOWN
        return Reason.MEMBER_DEGRADED if failed or counts[State.DEGRADED] else Reason.OK
    if failed:
        return Reason.MEMBER_DOWN
    return Reason.MEMBER_DEGRADED if counts[State.DEGRADED] else Reason.OK


def _check_member(text: str) -> str:
    """Return the name of a monitor. Raises InvalidValueError."""
    if any(character in text for character in "*?["):
        raise InvalidValueError("is a pattern", "write the name of a monitor, or use member_tags")
    return check_name(text)
