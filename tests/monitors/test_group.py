"""Type `group`: reason and detail for the states of the members."""

from dataclasses import replace

import pytest

from monitord.model import Reason, State
from monitord.monitors.group import GroupMonitor, GroupOptions
from tests.fakes import FakeClock, fake_tools, monitor_settings

MEMBERS = GroupOptions(members=("a", "b", "c"))
TWO = GroupOptions(members=("a", "b", "c"), at_least=2)


@pytest.mark.parametrize(
    ("options", "states", "reason", "detail"),
    [
        (MEMBERS, "up up unreachable", Reason.MEMBER_DOWN, "3 members: 2 up, 1 unreachable: c"),
        (MEMBERS, "up up unknown", Reason.OK, "3 members: 2 up, 1 unknown: c"),
        (MEMBERS, "unknown unknown unknown", Reason.MEMBERS_UNKNOWN, "3 members: 3 unknown: a, b, c"),
        (TWO, "up up down", Reason.MEMBER_DEGRADED, "3 members: 2 up, 1 down: c"),
        (TWO, "up degraded paused", Reason.MEMBER_DEGRADED, "2 members: 1 up, 1 degraded: b"),
        (TWO, "up unknown down", Reason.MEMBERS_UNKNOWN, "3 members: 1 up, 1 down, 1 unknown: b, c"),
        (TWO, "up down down", Reason.MEMBER_DOWN, "3 members: 1 up, 2 down: b, c"),
        (MEMBERS, "paused pending paused", Reason.MEMBERS_UNKNOWN, "all members are pending or paused"),
        (
            GroupOptions(member_tags=("shop",)),
            "",
            Reason.MEMBERS_UNKNOWN,
            "no monitor has the tags in member_tags",
        ),
    ],
)
async def test_states_of_the_members_determine_the_result(
    options: GroupOptions, states: str, reason: Reason, detail: str
) -> None:
    members = list(zip("abc", map(State, states.split()), strict=False))
    tools = replace(fake_tools(FakeClock()), member_states=lambda *_: members)
    seen = await GroupMonitor(monitor_settings("group", options=options), tools).check()
    assert (seen.reason, seen.detail) == (reason, detail)
