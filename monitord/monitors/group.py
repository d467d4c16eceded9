"""The type `group`: several monitors as one, for the state of "the shop".

    type = "group"
    members = ["shop-web", "shop-database"]

It stands as the worst of its members, as soon as one of them changes. With `at_least` it is up as long as so many
are. Members that are paused or pending do not count; if nothing sure is known of any, nothing is known of the group.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from monitord import text
from monitord.conditions import COUNT, FieldType, Vocabulary
from monitord.config import Table, check_name
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
        "group.worst": FieldType.TEXTS,
    },
    {
        "group.members": COUNT,
        **dict.fromkeys(_FIELDS.values(), COUNT),
    },
)

MAX_NAMED = 10
"""So many members are named in the line for people."""

_NOT_COUNTED = frozenset({State.PENDING, State.PAUSED})
_BAD = frozenset({State.DOWN, State.UNREACHABLE})
_WELL = frozenset({State.UP, State.DEGRADED})


@dataclass(frozen=True, slots=True)
class GroupOptions:
    """`at_least`: so many members have to be up or degraded; None: all of them."""

    members: tuple[str, ...] = ()
    member_tags: tuple[str, ...] = ()
    at_least: int | None = None


class GroupMonitor(Monitor[GroupOptions]):
    type_name: ClassVar[str] = "group"
    uses_network = False
    vocabulary: ClassVar[Vocabulary] = VOCABULARY
    # What its members say was believed already.
    default_policy: ClassVar[HealthPolicy] = HealthPolicy(
        fail_after=1, degrade_after=1, detects_flapping=False
    )

    @classmethod
    def read_options(cls, table: Table) -> GroupOptions:
        options = GroupOptions(
            members=table.values("members", check_name, default=()),
            member_tags=tuple(dict.fromkeys(table.texts("member_tags", default=()))),
            at_least=table.integer("at_least", default=None, minimum=1, maximum=100_000),
        )
        if not options.members and not options.member_tags:
            table.error("members", "names nobody", 'write members = ["NAME", …], or member_tags = ["TAG"]')
        return options

    def is_woken_by(self, other: MonitorSettings) -> bool:
        options = self.options
        return other.name in options.members or (
            bool(options.member_tags) and set(options.member_tags).issubset(other.tags)
        )

    async def check(self) -> Observation:
        watch = Stopwatch(self.tools.clock)
        options = self.options
        everyone = self.tools.peers(options.members, options.member_tags)
        counted = [
            (name, health) for name, health in everyone if name != self.name and health not in _NOT_COUNTED
        ]
        by_health = Counter(health for _, health in counted)
        reason = _reason(by_health, options.at_least)
        worst = tuple(name for name, health in counted if health not in {State.UP, State.DEGRADED})
        fields: dict[str, FieldValue] = {"group.members": len(counted), "group.worst": worst}
        fields |= {field: by_health[health] for health, field in _FIELDS.items()}
        return watch.observation(reason, _told(by_health, counted), fields)

    def journal_fields(self, observation: Observation) -> Mapping[str, str]:
        worst = observation.fields.get("group.worst")
        return {"GROUP_WORST": " ".join(worst)} if isinstance(worst, tuple) and worst else {}


def _reason(by_health: Counter[State], at_least: int | None) -> Reason:
    well = sum(by_health[health] for health in _WELL)
    bad = sum(by_health[health] for health in _BAD)
    if not well and not bad:
        return Reason.MEMBERS_UNKNOWN
    if at_least is not None:
        if well < at_least:
            # Those that are unknown may be well.
            return (
                Reason.MEMBER_DOWN if well + by_health[State.UNKNOWN] < at_least else Reason.MEMBERS_UNKNOWN
            )
        return Reason.MEMBER_DEGRADED if bad or by_health[State.DEGRADED] else Reason.OK
    if bad:
        return Reason.MEMBER_DOWN
    return Reason.MEMBER_DEGRADED if by_health[State.DEGRADED] else Reason.OK


def _told(by_health: Counter[State], counted: Sequence[tuple[str, State]]) -> str:
    if not counted:
        return "no member has a state"
    shares = ", ".join(f"{by_health[health]} {health.value}" for health in _FIELDS if by_health[health])
    unwell = [name for name, health in counted if health is not State.UP]
    named = f": {text.first_of(unwell, MAX_NAMED)}" if unwell else ""
    return f"{text.counted(len(counted), 'member')}: {shares}{named}"
