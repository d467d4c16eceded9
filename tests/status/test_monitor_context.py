"""Title, description, runbook, contact and severity of a monitor in the API, on the pages and in the metrics."""

import json

from prometheus_client.parser import text_string_to_metric_families

from monitord.model import MonitorContext, Severity
from tests.endpoint import asked, make_world
from tests.fakes import monitor_settings
from tests.status.pages.test_pages import HTML

CONTEXT = MonitorContext(
    "Web <shop>",
    "Sells tea.\nRuns on db1.",
    "https://wiki.example.org/?a=1&b=2",
    "ops@example.org",
    Severity.WARNING,
)
JSON = {
    "title": "Web <shop>",
    "description": "Sells tea.\nRuns on db1.",
    "runbook": "https://wiki.example.org/?a=1&b=2",
    "contact": "ops@example.org",
    "severity": "warning",
}


async def answers(*paths: str, html: bool = False) -> list[str]:
    world = make_world(more=[monitor_settings("shop", context=CONTEXT)])
    async with asked(world) as client:
        responses = [await client.get(path, headers=HTML if html else []) for path in paths]
    assert [response.status for response in responses] == [200] * len(paths)
    return [response.text for response in responses]


async def test_api_has_the_context_of_a_monitor() -> None:
    listed, shop, good, explanation = map(
        json.loads,
        await answers(
            "/api/v1/monitors",
            "/api/v1/monitors/shop",
            "/api/v1/monitors/good",
            "/api/v1/monitors/shop/explain",
        ),
    )
    titles = {monitor["name"]: monitor["title"] for monitor in listed["monitors"]}
    assert (titles["shop"], titles["good"]) == ("Web <shop>", "")
    assert {key: shop[key] for key in JSON} == JSON
    assert {key: good[key] for key in JSON} == {**dict.fromkeys(JSON, ""), "severity": "critical"}
    assert {key: explanation[key] for key in JSON} == JSON
    sentences = explanation["sentences"]
    assert "Title: Web <shop>" in sentences
    assert "Runbook: https://wiki.example.org/?a=1&b=2" in sentences


async def test_pages_show_title_description_and_runbook() -> None:
    overview, shop, good = await answers("/", "/m/shop", "/m/good", html=True)
    assert '<span class="title">Web &lt;shop&gt;</span>' in overview
    assert "<h1>Web &lt;shop&gt; " in shop
    assert "Sells tea.\nRuns on db1." in shop
    assert '<a href="https://wiki.example.org/?a=1&amp;b=2" rel="noopener noreferrer">' in shop
    assert "Contact: ops@example.org" in shop
    assert "Runbook" not in good


async def test_monitors_are_found_by_their_title() -> None:
    (found,) = await answers("/?q=%3CSHOP%3E", html=True)
    assert 'id="row-shop"' in found
    assert 'id="row-good"' not in found


async def test_info_metric_has_title_description_and_severity() -> None:
    (text,) = await answers("/metrics")
    info = {
        sample.labels["monitor"]: sample.labels
        for family in text_string_to_metric_families(text)  # type: ignore[no-untyped-call]  # has no types
        if family.name == "monitord_monitor_info"
        for sample in family.samples
    }
    shop, good = info["shop"], info["good"]
    assert (shop["title"], shop["description"], shop["severity"]) == (
        "Web <shop>",
        "Sells tea.\nRuns on db1.",
        "warning",
    )
    assert (good["title"], good["description"], good["severity"]) == ("", "", "critical")
