"""Metrics: values and labels, and the check of the page by promtool."""

import asyncio
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from monitord.health import HealthState, Objective
from monitord.model import FieldValue, Observation, Reason, Result, State, Verdict
from monitord.monitors import MonitorSettings
from monitord.monitors.objective import ObjectiveOptions
from monitord.status.metrics.collector import SLICE_MONITORS, MetricsCollector
from monitord.status.metrics.labels import labels_of
from monitord.status.metrics.monitors import MONITOR_METRICS
from tests.cluster_views import cluster_view, host_monitor
from tests.endpoint import StatusWorld, asked, make_world
from tests.fakes import monitor_settings
from tests.status.api.test_api import without

AT = datetime(2026, 1, 2, tzinfo=UTC)

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def scraped(world: StatusWorld) -> tuple[str, Samples]:
    """The page, and its samples by name and labels, without empty labels."""
    async with asked(world) as client:
        response = await client.get("/metrics")
    assert response.headers["Content-Type"].startswith("text/plain; version=")
    samples: Samples = {}
    for family in text_string_to_metric_families(response.text):  # type: ignore[no-untyped-call]  # has no types
        for sample in family.samples:
            key = (sample.name, frozenset(item for item in sample.labels.items() if item[1]))
            assert key not in samples
            samples[key] = sample.value
    return response.text, samples


def of(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def see(
    world: StatusWorld, name: str, fields: Mapping[str, FieldValue], verdict: Verdict = Verdict.PASS
) -> None:
    """Set the last result of a monitor."""
    observation = Observation(AT, 0.25, Reason.OK, "seen", fields)
    entry = world.dispatcher.entries[name]
    result = Result(observation, verdict)
    entry.state = replace(entry.state, last=result)
    world.read_model.on_result(entry, result)


def typed(name: str, type_name: str, **more: Any) -> MonitorSettings:
    return replace(monitor_settings(name, **more), type_name=type_name)


HTTP: dict[str, FieldValue] = {
    "status": 200, "http_version": "1.1", "redirects": 1, "ip_version": 6, "tls.version": "TLSv1.3",
    "certificate.expires_at": "2026-03-01T00:00:00+00:00", "certificate.expires_in": 5.0,
    "phase.resolve": 0.01, "phase.connect": 0.02, "phase.tls": 0.03, "phase.processing": 0.04,
    "phase.transfer": 0.05,
}  # fmt: skip


async def test_http_metrics_are_those_of_blackbox_exporter() -> None:
    world = make_world(more=[typed("web", "http")])
    see(world, "web", HTTP)
    _, samples = await scraped(world)
    assert of(samples, "probe_success", monitor="web") == 1
    assert of(samples, "probe_duration_seconds", monitor="web") == 0.25
    assert of(samples, "probe_http_status_code", monitor="web") == 200
    assert of(samples, "probe_http_version", monitor="web") == 1.1
    assert of(samples, "probe_http_redirects", monitor="web") == 1
    assert of(samples, "probe_http_ssl", monitor="web") == 1
    assert of(samples, "probe_ip_protocol", monitor="web") == 6
    assert of(samples, "probe_dns_lookup_time_seconds", monitor="web") == 0.01
    assert of(samples, "probe_ssl_earliest_cert_expiry", monitor="web") == 1772323200
    phases = {
        phase: of(samples, "probe_http_duration_seconds", monitor="web", phase=phase)
        for phase in ("resolve", "connect", "tls", "processing", "transfer")
    }
    assert phases == {"resolve": 0.01, "connect": 0.02, "tls": 0.03, "processing": 0.04, "transfer": 0.05}


async def test_failed_http_check_without_a_response_has_status_zero() -> None:
    world = make_world(more=[typed("web", "http")])
    see(world, "web", {"phase.resolve": 0.01}, Verdict.FAIL)
    _, samples = await scraped(world)
    assert of(samples, "probe_success", monitor="web") == 0
    assert of(samples, "probe_http_status_code", monitor="web") == 0
    assert of(samples, "probe_http_ssl", monitor="web") == 0
    assert of(samples, "probe_http_duration_seconds", monitor="web", phase="tls") == 0
    assert ("probe_ssl_earliest_cert_expiry", frozenset({("monitor", "web")})) not in samples


async def test_other_types_have_their_own_metrics() -> None:
    world = make_world(more=[typed("ping", "icmp"), typed("zone", "dns"), typed("load", "exec")])
    see(world, "ping", {"phase.resolve": 0.001, "ping.rtt": 0.02})
    see(
        world,
        "zone",
        {"phase.processing": 0.5, "dns.answer_count": 3, "dns.serial": 7, "certificate.expires_in": 60.0},
    )
    see(world, "load", {"perfdata.load1": 1.5, 'perfdata.a "b" \\': 2, "exit_status": 0})
    _, samples = await scraped(world)
    assert of(samples, "probe_icmp_duration_seconds", monitor="ping", phase="rtt") == 0.02
    assert of(samples, "probe_dns_duration_seconds", monitor="zone", phase="request") == 0.5
    assert of(samples, "probe_dns_answer_rrs", monitor="zone") == 3
    assert of(samples, "probe_dns_serial", monitor="zone") == 7
    assert of(samples, "probe_ssl_earliest_cert_expiry", monitor="zone") == AT.timestamp() + 60
    assert of(samples, "monitord_perfdata", monitor="load", label="load1") == 1.5
    assert of(samples, "monitord_perfdata", monitor="load", label='a "b" \\') == 2


async def test_objective_has_target_budget_and_burn_rates() -> None:
    options = ObjectiveOptions(Objective(99.9, 30 * 86_400.0), monitors=("web",))
    world = make_world(more=[typed("shop", "objective", options=options)])
    see(
        world,
        "shop",
        {
            "objective.achieved_percent": 99.95,
            "error_budget.left_percent": 50.0,
            "burn_rate.fast": 14.5,
            "burn_rate.slow_short": 0.5,
        },
    )
    _, samples = await scraped(world)
    assert of(samples, "monitord_objective_target_ratio", monitor="shop") == pytest.approx(0.999)
    assert of(samples, "monitord_objective_achieved_ratio", monitor="shop") == pytest.approx(0.9995)
    assert of(samples, "monitord_error_budget_remaining_ratio", monitor="shop") == 0.5
    burn_rates = {
        dict(labels)["window"]: value
        for (name, labels), value in samples.items()
        if name == "monitord_burn_rate"
    }
    assert burn_rates == {"1h": 14.5, "30m": 0.5}


async def test_inconclusive_check_does_not_change_success() -> None:
    world = make_world()
    see(world, "bad", {}, Verdict.FAIL)
    see(world, "bad", {}, Verdict.INCONCLUSIVE)
    see(world, "good", {}, Verdict.INCONCLUSIVE)
    _, samples = await scraped(world)
    assert of(samples, "probe_success", monitor="bad") == 0
    assert ("probe_success", frozenset({("monitor", "good"), ("tags", ",prod,")})) not in samples


async def test_verdicts_and_time_in_states_are_counted() -> None:
    world = make_world()
    entry = world.dispatcher.entries["bad"]
    for health, verdict in ((State.UP, Verdict.PASS), (State.DOWN, Verdict.FAIL)):
        see(world, "bad", {}, verdict)
        entry.state = replace(entry.state, health=HealthState(health))
        world.pipeline.publish_state(entry)
        see(world, "bad", {}, verdict)
        if health is State.UP:
            world.clock.skipped_s += 30
    world.clock.skipped_s += 12
    _, samples = await scraped(world)
    counted = {
        verdict: of(samples, "monitord_monitor_checks_total", monitor="bad", verdict=verdict)
        for verdict in ("pass", "fail")
    }
    assert counted == {"pass": 2, "fail": 2}
    up_s = of(samples, "monitord_monitor_state_seconds_total", monitor="bad", state="up")
    down_s = of(samples, "monitord_monitor_state_seconds_total", monitor="bad", state="down")
    assert up_s == pytest.approx(30, abs=5)
    assert down_s == pytest.approx(12, abs=5)
    states = {
        health.value: of(samples, "monitord_monitor_state", monitor="bad", state=health.value)
        for health in State
    }
    assert states == {**dict.fromkeys(states, 0), "down": 1}
    assert of(samples, "monitord_monitors", state="down") == 1
    assert of(samples, "monitord_monitors", state="pending") == 2


async def test_daemon_has_its_metrics() -> None:
    world = make_world()
    await world.dispatcher.check_now("good")
    world.control.last_reload = world.control.outcome
    world.read_model.on_reload(world.control.outcome)
    _, samples = await scraped(world)
    assert of(samples, "monitord_checks_total") == 1
    assert of(samples, "monitord_check_lateness_seconds_count") == 1
    assert of(samples, "monitord_check_lateness_seconds_bucket", le="+Inf") == 1
    assert of(samples, "monitord_reloads_total", outcome="applied") == 1
    assert of(samples, "monitord_config_last_reload_successful") == 1
    assert of(samples, "monitord_config_last_reload_success_timestamp_seconds") == 1767225600
    assert of(samples, "monitord_incidents_open") == 0
    assert of(samples, "process_resident_memory_bytes") > 0


async def test_rejected_reload_keeps_the_time_of_the_last_success() -> None:
    world = make_world()
    world.read_model.on_reload(world.control.outcome)
    world.control.last_reload = replace(
        world.control.outcome, ok=False, at=world.control.outcome.at + timedelta(hours=1)
    )
    world.read_model.on_reload(world.control.last_reload)
    _, samples = await scraped(world)
    assert of(samples, "monitord_reloads_total", outcome="rejected") == 1
    assert of(samples, "monitord_config_last_reload_successful") == 0
    assert of(samples, "monitord_config_last_reload_success_timestamp_seconds") == 1767225600


async def test_page_written_in_slices_is_the_whole_page() -> None:
    """Many monitors are written in slices, and each family appears once."""
    many = [monitor_settings(f"m{number}") for number in range(2 * SLICE_MONITORS + 1)]
    world = make_world(more=many)
    for settings in many:
        see(world, settings.name, {})
    whole = {
        (sample.name, frozenset(item for item in sample.labels.items() if item[1]))
        for family in MetricsCollector(world.metrics_sources).collect()
        for sample in family.samples
    }
    text, samples = await scraped(world)
    heads = [line for line in text.splitlines() if line.startswith("# TYPE ")]
    assert len(heads) == len(set(heads))
    for settings in many:
        assert of(samples, "probe_success", monitor=settings.name) == 1
    assert whole == set(samples)


async def test_cached_lines_are_renewed_when_their_values_change() -> None:
    world = make_world()
    async with asked(world) as client:
        before = (await client.get("/metrics")).text
        entry = world.dispatcher.entries["bad"]
        entry.state = replace(entry.state, effective=State.DOWN)
        world.clock.skipped_s += 2
        after = (await client.get("/metrics")).text
        world.dispatcher.apply(without(world, "good"))
        world.clock.skipped_s += 2
        at_last = (await client.get("/metrics")).text
    line = 'monitord_monitor_state{monitor="bad",state="down"}'
    assert f"{line} 0.0\n" in before
    assert f"{line} 1.0\n" in after
    assert 'monitor="good"' in after
    assert 'monitor="good"' not in at_last
    assert f"{line} 1.0\n" in at_last


async def test_concurrent_scrapes_get_the_same_page() -> None:
    world = make_world()
    async with asked(world) as client:
        pages = await asyncio.gather(*(client.get("/metrics") for _ in range(5)))
        assert len({page.body for page in pages}) == 1
        await client.post("/monitors/good/check")
        world.clock.skipped_s += 2
        assert (await client.get("/metrics")).body != pages[0].body


LABELS = [
    pytest.param({"a": []}, {"a": {"monitor": "a", "tags": ""}}, id="none"),
    pytest.param({"a": ["prod", "eu"]}, {"a": {"monitor": "a", "tags": ",prod,eu,"}}, id="words"),
    pytest.param(
        {"a": ["team=web", "prod"], "b": ["env:dev"]},
        {
            "a": {"monitor": "a", "tags": ",prod,", "team": "web", "env": ""},
            "b": {"monitor": "b", "tags": "", "team": "", "env": "dev"},
        },
        id="keys_are_labels_of_all",
    ),
    pytest.param(
        {"a": ["team=web", "team=db"]},
        {"a": {"monitor": "a", "tags": ",team=db,", "team": "web"}},
        id="the_first_of_a_key",
    ),
    pytest.param(
        {"a": ["job=x", "__x=y", "1a=b", "a-b=c", "=d", "e="]},
        {"a": {"monitor": "a", "tags": ",job=x,__x=y,1a=b,a-b=c,=d,e=,"}},
        id="no_labels",
    ),
    pytest.param({"a": ["url:b:c=d"]}, {"a": {"monitor": "a", "tags": "", "url": "b:c=d"}}, id="first_sign"),
]


@pytest.mark.parametrize(("tags", "labels"), LABELS)
def test_tags_become_labels(tags: dict[str, list[str]], labels: dict[str, dict[str, str]]) -> None:
    assert labels_of(tags) == labels


def test_metric_names_are_unique() -> None:
    names = [metric.name for metric in MONITOR_METRICS]
    assert len(names) == len(set(names))


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool comes with the package prometheus")
async def test_promtool_accepts_the_page() -> None:
    world = make_world(more=[typed("web", "http", tags=("team=web", "prod")), typed("load", "exec")])
    see(world, "web", HTTP)
    see(world, "load", {"perfdata.load1": 1.5})
    text, _ = await scraped(world)
    said = await asyncio.to_thread(
        subprocess.run,
        ["promtool", "check", "metrics"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (said.returncode, said.stdout + said.stderr) == (0, "")


async def test_cluster_has_metrics() -> None:
    view = cluster_view({"good": {"fra": State.DOWN, "hel": State.DOWN, "nyc": State.UP}})
    view = replace(
        view,
        host_monitors={
            node: {name: host_monitor(node, name, State.UP) for name in ("disk", "unit")}
            for node in ("mon1", "mon3")
        },
    )
    _, samples = await scraped(make_world(cluster=lambda: view))
    assert of(samples, "monitord_cluster_node_info", node="mon1", location="fra") == 1
    assert of(samples, "monitord_cluster_nodes_live", location="fra") == 2
    assert of(samples, "monitord_cluster_nodes_known") == 4
    assert of(samples, "monitord_cluster_configurations") == 2
    assert of(samples, "monitord_cluster_node_heartbeat_age_seconds", node="mon3", location="hel") == 1.5
    assert of(samples, "monitord_cluster_node_clock_offset_seconds", node="mon3", location="hel") == 0.004
    assert of(samples, "monitord_cluster_node_decision_lag_seconds", node="mon3", location="hel") == 0.0
    assert of(samples, "monitord_cluster_settled") == 1
    assert of(samples, "monitord_cluster_alone") == 0
    assert of(samples, "monitord_cluster_shared_monitors") == 1
    assert of(samples, "monitord_cluster_votes", location="hel", state="down") == 1
    assert of(samples, "monitord_cluster_host_monitors", host="mon3", state="up") == 2
    assert of(samples, "monitord_cluster_database_up") == 1
    assert of(samples, "monitord_cluster_database_latency_seconds") == 0.0031
    assert of(samples, "monitord_cluster_notifications_queued") == 2
    assert of(samples, "monitord_cluster_decisions_total") == 7
    assert of(samples, "monitord_cluster_decisions_lost_total") == 1
    assert of(samples, "monitord_cluster_notifications_claimed_total") == 4


async def test_single_host_has_no_metrics_of_a_cluster() -> None:
    text, _ = await scraped(make_world())
    assert "monitord_cluster" not in text
