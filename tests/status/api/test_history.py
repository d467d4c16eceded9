"""The history endpoints of the API on a real database; responses are validated with the OpenAPI document."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from monitord.dispatch import result_to_record
from monitord.model import Incident, Reason, State, Verdict
from tests.endpoint import StatusWorld, asked, make_world
from tests.history.world import result, written
from tests.status.api.test_api import ValidatingClient, described

MINUTE = timedelta(minutes=1)
CHECKS = 30


class PageHistory:
    """Half an hour of checks, one each minute, every tenth a failure."""

    def __init__(self, world: StatusWorld, ask: ValidatingClient) -> None:
        self.world = world
        self.ask = ask
        self.end = world.clock.now()

    def ago(self, minutes: float) -> datetime:
        return self.end - minutes * MINUTE

    async def write(self) -> None:
        history = self.world.history
        history.record_state("good", State.UP, in_maintenance=False, at=self.ago(CHECKS))
        for number in range(CHECKS, 0, -1):
            verdict = Verdict.FAIL if number % 10 == 0 else Verdict.PASS
            added = result(
                self.ago(number),
                verdict,
                response_time=number / 100,
                phase_connect=0.01,
                phase_processing=0.03,
            )
            history.add_result("good", added, State.UP)
        history.record_state("good", State.DOWN, in_maintenance=False, at=self.ago(6))
        history.record_state("good", State.UP, in_maintenance=False, at=self.ago(3))
        for number in (20, 6):
            opened_at = self.ago(number)
            closed_at = None if number == 6 else self.ago(number - 1)
            incident = Incident(f"i{number}", "good", opened_at, Reason.REFUSED, "no", closed_at=closed_at)
            history.add_incident(incident)
        history.add_incident(Incident("gone", "left", self.ago(1), Reason.REFUSED, "no"))
        history.tick(self.end)
        await written(history)


@asynccontextmanager
async def past(tmp_path: Path) -> AsyncIterator[PageHistory]:
    world = make_world(history_path=tmp_path / "history.db")
    world.history.open()
    world.history.start()
    try:
        async with asked(world) as client:
            it = PageHistory(world, await described(client))
            await it.write()
            yield it
    finally:
        await world.history.close(5.0)


INTERVENTIONS = [
    pytest.param("POST", "/monitors/good/pause", None, id="pause"),
    pytest.param("POST", "/silences", {"names": ["good"], "duration_s": 3600}, id="silence"),
]


@pytest.mark.parametrize(("method", "path", "body"), INTERVENTIONS)
async def test_intervention_that_cannot_be_stored_is_507(
    tmp_path: Path, method: str, path: str, body: Any
) -> None:
    async with past(tmp_path) as it:
        writer = it.world.history._writer
        assert writer is not None
        assert writer._store is not None
        connection = writer._store.connection
        connection.execute("PRAGMA query_only = ON")
        it.world.history.save_daemon_state("something", {})
        refused = await it.ask(method, path, json=body)
        assert refused.status == 507
        assert "in effect but could not be stored (attempt to write a readonly database)" in refused.text
        connection.execute("PRAGMA query_only = OFF")
        it.world.history.save_daemon_state("something", {})
        assert (await it.ask(method, path, json=body)).status in {200, 201}


async def test_results_are_paged_newest_first(tmp_path: Path) -> None:
    async with past(tmp_path) as it:
        page = (await it.ask("GET", "/monitors/good/results?limit=12")).json()
        assert len(page["results"]) == 12
        assert page["results"][0]["started_at"] > page["results"][1]["started_at"]
        assert page["results"][0]["phases_s"]["processing"] == 0.03
        times = [result["started_at"] for result in page["results"]]
        while page["next_before"]:
            page = (
                await it.ask("GET", f"/monitors/good/results?limit=12&before={page['next_before']}")
            ).json()
            times += [result["started_at"] for result in page["results"]]
        assert times == sorted(set(times), reverse=True)
        assert len(times) == CHECKS
        failed = (await it.ask("GET", "/monitors/good/results?failed=1")).json()["results"]
        assert [(result["verdict"], result["detail"]) for result in failed] == [("fail", "GET / 200")] * 3


async def test_uptime_is_measured_by_time_and_not_by_checks(tmp_path: Path) -> None:
    async with past(tmp_path) as it:
        start, end = (quote(it.ago(minutes).isoformat()) for minutes in (10, 0))
        uptime = (await it.ask("GET", f"/monitors/good/uptime?from={start}&to={end}")).json()
        assert uptime["ratio"] == pytest.approx(0.7)
        assert uptime["seconds"]["down"] == pytest.approx(180)
        by_age = (await it.ask("GET", "/monitors/good/uptime?from=-10m")).json()
        assert by_age["ratio"] == pytest.approx(0.7, abs=0.05)


async def test_series_has_its_percentiles_and_phases(tmp_path: Path) -> None:
    async with past(tmp_path) as it:
        series = (await it.ask("GET", "/monitors/good/series?from=-31m&step=5m")).json()
        assert series["step_s"] == 300
        assert sum(bucket["checks"]["fail"] for bucket in series["buckets"]) == 3
        whole = series["total"]
        assert sum(whole["checks"].values()) == CHECKS
        assert whole["response_time_s"]["p50"] == pytest.approx(0.15, rel=0.1)
        assert whole["response_time_s"]["max"] == pytest.approx(0.29)
        assert whole["phases_s"]["connect"] == pytest.approx(0.01)


async def test_monitor_has_its_uptime_and_the_summary_of_a_day(tmp_path: Path) -> None:
    async with past(tmp_path) as it:
        monitor = (await it.ask("GET", "/monitors/good")).json()
        assert monitor["uptime"]["1h"]["ratio"] == pytest.approx(0.9, abs=0.01)
        assert monitor["uptime"]["90d"] == monitor["uptime"]["24h"]
        assert monitor["summary_24h"]["checks"]["fail"] == 3
        assert monitor["summary_24h"]["response_time_s"]["p99"] == pytest.approx(0.29, rel=0.1)


async def test_last_results_and_failures_have_all_fields(tmp_path: Path) -> None:
    async with past(tmp_path) as it:
        for number in range(3):
            verdict = Verdict.FAIL if number == 1 else Verdict.PASS
            added = result(it.ago(-number), verdict, status=200 + number)
            it.world.history.add_result("good", added, State.UP, result_to_record(added))
        await written(it.world.history)
        page = (await it.ask("GET", "/monitors/good/recent-results?limit=2")).json()
        assert [result["fields"] for result in page["results"]] == [{"status": 202}, {"status": 201}]
        failures = (await it.ask("GET", "/monitors/good/recent-results?failed=1")).json()["results"]
        assert [(failure["verdict"], failure["reason"]) for failure in failures] == [("fail", "refused")]


async def test_last_result_without_history_is_the_one_in_memory() -> None:
    world = make_world()
    async with asked(world) as client:
        ask = await described(client)
        assert (await ask("GET", "/monitors/good/recent-results")).json()["results"] == []
        await ask("POST", "/monitors/good/check")
        (only,) = (await ask("GET", "/monitors/good/recent-results")).json()["results"]
        assert only["verdict"] == "pass"
        assert (await ask("GET", "/monitors/good/recent-results?failed=1")).json()["results"] == []


async def test_incidents_are_filtered_and_paged(tmp_path: Path) -> None:
    async with past(tmp_path) as it:

        async def ids(target: str) -> list[str]:
            return [incident["id"] for incident in (await it.ask("GET", target)).json()["incidents"]]

        assert await ids("/incidents") == ["gone", "i6", "i20"]
        assert await ids("/incidents?open=1") == ["gone", "i6"]
        assert await ids("/incidents?open=0") == ["i20"]
        assert await ids("/incidents?monitor=left") == ["gone"]
        assert await ids("/monitors/good/incidents") == ["i6", "i20"]
        first = (await it.ask("GET", "/incidents?limit=2")).json()
        assert await ids(f"/incidents?limit=2&before={first['next_before']}") == ["i20"]


async def test_pages_of_incidents_that_opened_at_the_same_time_lose_none(tmp_path: Path) -> None:
    async with past(tmp_path) as it:
        for name in ("a", "b"):
            it.world.history.add_incident(Incident(name, name, it.ago(2), Reason.REFUSED, "no"))
        await written(it.world.history)
        pages, before = [], ""
        while True:
            page = (await it.ask("GET", f"/incidents?limit=2{before}")).json()
            pages.append({incident["id"] for incident in page["incidents"]})
            if page["next_before"] is None:
                break
            before = f"&before={page['next_before']}"
    assert pages == [{"gone"}, {"a", "b"}, {"i6", "i20"}]


RANGES = [
    pytest.param("uptime?from=yesterday", "from", id="no_time"),
    pytest.param("series?from=2026-01-01T00:00:00", "from", id="no_zone"),
    pytest.param("series?step=often", "step", id="no_duration"),
    pytest.param("series?to=-%C2%B2s", "to", id="no_digits"),
    pytest.param("results?before=0000-01-01T00:00:00Z", "before", id="no_year"),
]


async def test_exchanged_start_and_end_of_a_range_are_accepted(tmp_path: Path) -> None:
    early, late = "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"
    async with past(tmp_path) as it:
        for what in ("uptime", "series"):
            monitor = (await it.ask("GET", f"/monitors/good/{what}?from={early}&to={late}")).json()
            other = (await it.ask("GET", f"/monitors/good/{what}?from={late}&to={early}")).json()
            assert monitor["from"] < monitor["to"]
            assert other == monitor


@pytest.mark.parametrize(("target", "where"), RANGES)
async def test_invalid_range_is_rejected_with_a_hint(tmp_path: Path, target: str, where: str) -> None:
    async with past(tmp_path) as it:
        response = await it.ask("GET", f"/monitors/good/{target}")
        assert response.status == 400
        assert [failure["parameter"] for failure in response.json()["errors"]] == [where]


@pytest.mark.parametrize(
    "target",
    [
        "series?from=0001-01-01T00:00:00%2B14:00&to=9999-12-31T23:59:59Z&step=1s",
        "uptime?from=0001-01-01T00:00:00Z",
        "results?before=9999-12-31T23:59:59.999999Z",
        "series?from=-100w",
    ],
)
async def test_range_can_be_given_as_ages(tmp_path: Path, target: str) -> None:
    async with past(tmp_path) as it:
        response = await it.ask("GET", f"/monitors/good/{target}")
        assert response.status in {200, 400}
        assert response.status == 200 or "out of range" in response.text


async def test_unreadable_history_is_503_and_affects_nothing_else(tmp_path: Path) -> None:
    async with past(tmp_path) as it:
        await it.world.history.close(5.0)
        response = await it.ask("GET", "/monitors/good/results")
        assert (response.status, response.headers["Retry-After"]) == (503, "10")
        monitor = (await it.ask("GET", "/monitors/good")).json()
        assert (monitor["name"], monitor["uptime"], monitor["summary_24h"]) == ("good", None, None)
