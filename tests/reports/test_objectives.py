"""Objectives in reports: selection, figures, and their sections as text and HTML."""

from pathlib import Path

import pytest

from monitord.health import Objective
from monitord.monitors.objective import ObjectiveMonitor, ObjectiveOptions
from monitord.reports import wording
from monitord.reports.build import MAX_OBJECTIVES, Subject, SubjectObjective, build_report
from monitord.reports.html import html_of
from monitord.reports.text import text_of
from tests.fakes import monitor_settings
from tests.history.world import SetClock
from tests.reports.world import NOW, OCTOBER, october, stored_history
from tests.worlds import World

DAY_S = 86_400.0
STRICT, LOOSE = Objective(99.9, 30 * DAY_S), Objective(99.0, 7 * DAY_S)
OBJECTIVES = (
    SubjectObjective("objective:api", "", STRICT, ("api",)),
    SubjectObjective("objective:shop", "Objective of Web shop", STRICT, ("shop",)),
    SubjectObjective("all", "", LOOSE, ("shop", "api", "new")),
    SubjectObjective("none", "", LOOSE, ()),
    # "removed" is not part of the report, and has no data.
    SubjectObjective("others", "", LOOSE, ("removed", "shop")),
)

SECTION = """
Objectives in this period

Objective              Target   Achieved  Budget left  Time left
Objective of Web shop  99.9 %   99.730 %       -170 %  -1h15m29s
others                   99 %   99.730 %         73 %      5h25m
all                      99 %   99.872 %         87 %     13h35m
objective:api          99.9 %  100.000 %        100 %     44m42s
none                     99 %          -            -          -

Incidents
"""


async def test_objective_has_the_time_of_its_monitors_in_the_period(tmp_path: Path) -> None:
    async with stored_history(tmp_path) as history:
        report = await october(history, objectives=OBJECTIVES)
    found = {reported.monitor: reported for reported in report.objectives}
    assert list(found) == ["objective:shop", "others", "all", "objective:api", "none"]
    # October has 31 days and an hour, without 3 hours of maintenance, and 2 hours of downtime.
    shop = found["objective:shop"]
    covered_s = 31 * DAY_S + 3600 - 3 * 3600
    assert shop.ratio == pytest.approx(1 - 7200 / covered_s)
    assert shop.budget.allowed_s == pytest.approx(0.001 * covered_s)
    assert shop.budget.used_s == 7200
    assert found["others"].budget.allowed_s == pytest.approx(0.01 * covered_s)
    assert found["all"].ratio == report.total.ratio
    assert (found["objective:api"].ratio, found["objective:api"].budget.left_ratio) == (1.0, 1.0)
    assert found["none"].ratio is None


async def test_list_of_objectives_is_limited(tmp_path: Path) -> None:
    many = [SubjectObjective(f"o{number}", "", LOOSE, ("shop",)) for number in range(MAX_OBJECTIVES + 5)]
    async with stored_history(tmp_path) as history:
        report = await october(history, objectives=many)
    assert (len(report.objectives), report.objective_count) == (MAX_OBJECTIVES, MAX_OBJECTIVES + 5)
    assert "Not listed: 5 objectives with a larger error budget left." in text_of(report)
    assert "Not listed: 5 objectives with a larger error budget left." in html_of(report)


async def test_text_and_html_have_a_section_of_objectives(tmp_path: Path) -> None:
    async with stored_history(tmp_path) as history:
        report = await october(history, objectives=OBJECTIVES)
        without = await october(history)
    assert SECTION in text_of(report)
    document = html_of(report)
    for reported in report.objectives:
        for cell in wording.objective_cells(reported):
            assert f">{cell}</" in document
    assert "Objectives" not in text_of(without)
    assert "Objectives" not in html_of(without)


async def test_names_in_html_are_links_if_the_address_of_the_pages_is_known(tmp_path: Path) -> None:
    async with stored_history(tmp_path) as history:
        linked = await october(history, objectives=OBJECTIVES, public_url="https://status.example.org/a")
        plain = await october(history, objectives=OBJECTIVES)
    document = html_of(linked)
    assert '<a href="https://status.example.org/a/m/shop" style="color:inherit">Web shop</a>' in document
    assert '<a href="https://status.example.org/a/m/objective%3Aapi" style="color:inherit">' in document
    assert "<a " not in html_of(plain)


async def test_report_has_the_objectives_of_its_monitors_and_named_objectives() -> None:
    world = World(clock=SetClock(NOW))
    world.monitor("shop", tags=("prod",))
    world.monitor("shop-api", tags=("prod",))
    world.monitor("blog")
    for name, options in {
        "objective:shop": ObjectiveOptions(STRICT, ("shop",)),
        "objective:blog": ObjectiveOptions(STRICT, ("blog",)),
        "prod": ObjectiveOptions(LOOSE, ("shop*",), ("prod",)),
    }.items():
        settings = monitor_settings(name, type_name="objective", options=options)
        world.add(ObjectiveMonitor(settings, world.tools))

    async def reported(*names: str) -> tuple[int, list[str]]:
        report = await world.reports.build(names, OCTOBER)
        return report.monitor_count, sorted(each.monitor for each in report.objectives)

    assert await reported("shop", "shop-api", "unknown") == (2, ["objective:shop"])
    assert await reported("prod") == (0, ["prod"])
    assert await reported(*world.registry.entries) == (3, ["objective:blog", "objective:shop", "prod"])
    await world.close()


async def test_report_without_history_has_no_figures_of_objectives() -> None:
    world = World(clock=SetClock(NOW))
    subject = Subject("here.example.org", {"shop": ""}, objectives=[OBJECTIVES[1]])
    report = await build_report(world.history, subject, OCTOBER, NOW)
    assert report.objectives[0].ratio is None
    assert "Objective of Web shop  99.9 %         -" in text_of(report)
    await world.close()
