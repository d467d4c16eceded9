"""The objective of a monitor in the API, on pages and in `monitorctl show`."""

from dataclasses import replace
from typing import Any

import pytest

from monitord.application import ApplicationContainer
from monitord.cli.commands.show import monitor_lines
from monitord.health import Objective
from monitord.model import FieldValue, Observation, Reason, Result, State, Verdict
from monitord.monitors.objective import objective_of
from monitord.web.testing import TestClient
from tests.endpoint import asked, make_world
from tests.fakes import FakeMonitor, monitor_settings
from tests.status.api.test_api import described
from tests.status.site import site

SHOP = replace(monitor_settings("shop"), objective=Objective(99.9, 30 * 86_400.0))
SHOP_OBJECTIVE = objective_of(SHOP)
assert SHOP_OBJECTIVE is not None

FIELDS: dict[str, FieldValue] = {
    "objective.achieved_percent": 99.951,
    "error_budget.left_percent": 51.0,
    "error_budget.left_time": 1322.0,
    "burn_rate.fast": 16.25,
    "burn_rate.fast_short": 120.4,
    "burn_rate.slow": 3.0,
}
MISSED: dict[str, FieldValue] = {
    **FIELDS,
    "objective.achieved_percent": 99.8,
    "error_budget.left_percent": -100.0,
    "error_budget.left_time": -2592.0,
}


def with_result(world: ApplicationContainer, fields: dict[str, FieldValue]) -> None:
    entry = world.dispatcher.entries["objective:shop"]
    result = Result(Observation(world.clock.now(), 0.1, Reason.OK, "seen", fields), Verdict.PASS)
    entry.state = replace(entry.state, last=result, effective=State.DEGRADED)


async def shown(fields: dict[str, FieldValue] | None, name: str = "shop") -> dict[str, Any]:
    """The JSON of a monitor, which is compared with the OpenAPI document."""
    assert SHOP_OBJECTIVE is not None
    world = make_world(more=[SHOP, SHOP_OBJECTIVE])
    if fields is not None:
        with_result(world, fields)
    async with asked(world) as client:
        validating = await described(client)
        found: dict[str, Any] = (await validating("GET", f"/monitors/{name}")).json()
    return found


async def test_api_has_the_objective_of_a_monitor() -> None:
    found = await shown(FIELDS)
    assert found["objective"] == {
        "monitor": "objective:shop",
        "state": "degraded",
        "target_percent": 99.9,
        "window_s": 2_592_000.0,
        "achieved_percent": 99.951,
        "error_budget_left_percent": 51.0,
        "error_budget_left_s": 1322.0,
        "burn_rates": [
            {"window_s": 3600.0, "burn_rate": 16.25},
            {"window_s": 300.0, "burn_rate": 120.4},
            {"window_s": 21600.0, "burn_rate": 3.0},
            {"window_s": 1800.0, "burn_rate": None},
        ],
    }
    assert (await shown(FIELDS, "objective:shop"))["objective"] == found["objective"]
    assert (await shown(FIELDS, "good"))["objective"] is None


async def test_objective_without_a_result_has_only_its_settings() -> None:
    objective = (await shown(None))["objective"]
    assert (objective["target_percent"], objective["state"]) == (99.9, "pending")
    assert objective["achieved_percent"] is objective["error_budget_left_percent"] is None


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        (
            FIELDS,
            "objective      99.9 % in 30d, achieved 99.951 %, 51 % (22m) of the error budget left; see objective:shop",
        ),
        (
            MISSED,
            "objective      99.9 % in 30d, achieved 99.800 %, error budget exceeded by 43m; see objective:shop",
        ),
        (None, "objective      99.9 % in 30d, no data; see objective:shop"),
    ],
    ids=["left", "missed", "no data"],
)
async def test_show_has_the_objective_of_a_monitor(fields: dict[str, FieldValue] | None, line: str) -> None:
    nothing = {"incident": None, "silence": None, "cause": None}
    assert line in monitor_lines(await shown(fields), nothing, columns=200, colour=False)
    own = monitor_lines(await shown(fields, "objective:shop"), nothing, columns=200, colour=False)
    assert not any(text.startswith("objective  ") for text in own)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            FIELDS,
            (
                "99.9 % in 30d",
                "99.951 %",
                "51 % left (22 min 2 s)",
                "16.2 over 1h, 120 over 5m, 3 over 6h, - over 30m",
            ),
        ),
        (MISSED, ("99.800 %", "exceeded by 43 min 12 s")),
        ({}, ("99.9 % in 30d",)),
    ],
    ids=["left", "missed", "no data"],
)
async def test_page_of_a_monitor_has_its_objective(
    fields: dict[str, FieldValue], expected: tuple[str, ...]
) -> None:
    assert SHOP_OBJECTIVE is not None
    async with site({"blog": ()}) as world:
        world.add(FakeMonitor(SHOP, world.tools), FakeMonitor(SHOP_OBJECTIVE, world.tools))
        with_result(world, fields)
        async with TestClient(world.status_application) as client:
            own, blog, objective = [
                (await client.get(f"/m/{name}")).text for name in ("shop", "blog", "objective:shop")
            ]
    for text in expected:
        assert text in own
        assert text in objective
    assert '<a href="../m/objective%3Ashop">objective:shop</a> is degraded' in own
    assert 'objective%3Ashop">objective:shop</a> is' not in objective
    assert "h-objective" not in blog
