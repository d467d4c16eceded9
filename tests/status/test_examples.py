"""The example files for other programs name existing metrics, sockets and endpoints only."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from monitord.cluster.view import AgentView
from monitord.daemon import HTTP_SOCKET_NAME, PAGE_SOCKET_PREFIX, SOCKET_NAME
from monitord.status.metrics.collector import MetricsCollector
from tests.cluster_views import cluster_view
from tests.endpoint import make_world

EXAMPLES = Path(__file__).parents[2] / "etc" / "examples"
MANUAL = Path(__file__).parents[2] / "docs" / "man" / "monitord.8"
PAGE = Path(__file__).parents[2] / "docs" / "api.md"
EXAMPLES_WITH_METRICS = ["prometheus-rules.yml", "grafana-dashboard.json"]
QUORUM_TESTS = Path(__file__).with_name("prometheus-quorum-tests.yml")

METRIC = re.compile(r"\b(?:probe|monitord|process)_[a-z0-9_]+\b")


async def names_of_samples() -> set[str]:
    """The names of all possible samples of each family, by its kind."""
    names = set()
    view = replace(cluster_view({}), agent=AgentView(()))
    for family in MetricsCollector(make_world(cluster=lambda: view).metrics_sources).collect():
        names.add(f"{family.name}_total" if family.type == "counter" else family.name)
        if family.type == "histogram":
            names |= {f"{family.name}_{part}" for part in ("bucket", "sum", "count")}
    return names


@pytest.mark.parametrize("name", EXAMPLES_WITH_METRICS)
async def test_every_metric_in_the_examples_exists(name: str) -> None:
    asked = set(METRIC.findall((EXAMPLES / name).read_text()))
    assert len(asked) > 5
    assert asked <= await names_of_samples()


async def test_every_metric_is_in_the_manual() -> None:
    section = MANUAL.read_text().split(".SH METRICS")[1].split(".SH ")[0]
    described = set(METRIC.findall(section.replace("\\-", "-")))
    ours = {name for name in await names_of_samples() if not name.startswith("process_")}
    histogram = {f"monitord_check_lateness_seconds_{part}" for part in ("bucket", "sum", "count")}
    assert described == ours - histogram


def test_dashboard_uses_the_selected_data_source() -> None:
    dashboard = json.loads((EXAMPLES / "grafana-dashboard.json").read_text())
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {"${datasource}"}
    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert len(numbers) == len(set(numbers))


def test_sockets_have_the_names_that_the_daemon_expects() -> None:
    for name, wanted in (
        ("monitord-http.socket", HTTP_SOCKET_NAME),
        ("monitord-read.socket", SOCKET_NAME),
        ("monitord-login.socket", SOCKET_NAME),
        ("monitord-page@.socket", f"{PAGE_SOCKET_PREFIX}%i"),
    ):
        assert f"FileDescriptorName={wanted}\nService=monitord.service\n" in (EXAMPLES / name).read_text()


def test_proxy_has_no_rights_that_its_clients_could_use() -> None:
    unit = (EXAMPLES / "monitord-proxy.service").read_text()
    assert "DynamicUser=yes" in unit
    assert not re.search(r"^(User|Group|SupplementaryGroups)=", unit, re.MULTILINE)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool comes with the package prometheus")
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("rules", "prometheus-rules.yml"),
        ("rules", "prometheus-quorum-rules.yml"),
        ("config", "prometheus-scrape.yml"),
    ],
)
def test_promtool_accepts(kind: str, name: str) -> None:
    said = subprocess.run(
        ["promtool", "check", kind, str(EXAMPLES / name)], capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool comes with the package prometheus")
def test_rules_with_a_quorum_decide_by_the_majority_of_the_locations() -> None:
    said = subprocess.run(
        ["promtool", "test", "rules", str(QUORUM_TESTS)], capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stdout + said.stderr


async def test_metrics_of_the_rules_with_a_quorum_exist() -> None:
    ours = set(
        re.findall(r"(?<!:)\bmonitord_[a-z_]+\b", (EXAMPLES / "prometheus-quorum-rules.yml").read_text())
    )
    assert ours == {"monitord_monitor_state"}
    assert ours <= await names_of_samples()


async def test_every_endpoint_is_in_the_manual_and_in_the_page_of_the_api() -> None:
    world = make_world()
    manual = MANUAL.read_text().replace("\\~", " ").replace("\\fR", "").replace("\\-", "-")
    page = PAGE.read_text()
    for route in world.status_application.router:
        path = route.resource.template
        if not path.startswith("/api/") or route.method == "HEAD":
            continue
        shown = re.sub(r"/{(?:name|id)}", "/ ", path)
        parts = [part.strip() for part in shown.split("/ ")]
        assert parts[0] in manual, path
        assert all(f"/{part}" in manual for part in parts[1:] if part), path
        assert parts[0] in page, path
        assert all(f"/{part}" in page for part in parts[1:] if part), path
