"""Prometheus scrapes with the files of the package: over TCP, and through the Unix socket."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.system.bed import Machine, base_root, eventually
from tests.system.installed import Installed

EXAMPLES = "/usr/share/doc/monitord/examples"
UNITS = "/etc/systemd/system"
SOCKETS = ("monitord-http.socket", "monitord-read.socket", "monitord-proxy.socket")
OVER_TCP, BY_PROXY = "127.0.0.1:9120", "127.0.0.1:9121"
FOLDER = "/run/test-prometheus"

WATCHED = """\
[monitors.web]
url = "http://127.0.0.1:8080/ok"
check_every = "1s"
timeout = "1s"
tags = ["team=shop", "prod"]
"""


class Prometheus:
    """A Prometheus server in the machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def ask(self, path: str) -> Any:
        result = self._machine.run(
            "curl", "--silent", "--fail", "--max-time", "30", f"http://127.0.0.1:9090/api/v1/{path}", ok=False
        )
        return json.loads(result.stdout)["data"] if result.returncode == 0 else {}

    def values(self, query: str) -> dict[str, float]:
        """Return the values of a query by instance."""
        found = self.ask(f"query?query={quote(query)}").get("result", [])
        return {item["metric"]["instance"]: float(item["value"][1]) for item in found}


@pytest.fixture
def prometheus(monitord: Installed, suite: str) -> Iterator[Prometheus]:
    """The Prometheus of this Debian. It scrapes both addresses every second and has the alert rules."""
    machine = monitord.machine
    program = base_root(suite, "prometheus", ["prometheus"], variant="minbase") / "usr/bin/prometheus"
    machine.copy(program, "/usr/local/bin/prometheus")
    monitord.configure(WATCHED)
    machine.shell(
        f"cp {EXAMPLES}/monitord-*.socket {EXAMPLES}/monitord-proxy.service {UNITS}/; mkdir -p {FOLDER};"
        f"cp {EXAMPLES}/prometheus-rules.yml {FOLDER}/;"
        f'sed -e \'s/15s/1s/\' -e \'s/\\["{OVER_TCP}"\\]/["{OVER_TCP}", "{BY_PROXY}"]/\''
        f"    {EXAMPLES}/prometheus-scrape.yml >{FOLDER}/prometheus.yml;"
        f"systemctl daemon-reload; systemctl stop monitord.service;"
        f"systemctl start {' '.join(SOCKETS)}; systemctl start monitord.service;"
        f"systemd-run --quiet --unit=test-prometheus /usr/local/bin/prometheus --config.file={FOLDER}/prometheus.yml"
        f"    --storage.tsdb.path={FOLDER}/data --web.listen-address=127.0.0.1:9090"
    )
    try:
        yield Prometheus(machine)
    finally:
        machine.shell(
            f"systemctl stop test-prometheus monitord-proxy.service {' '.join(SOCKETS)};"
            f"rm -rf {FOLDER} {' '.join(f'{UNITS}/{name}' for name in SOCKETS)} {UNITS}/monitord-proxy.service;"
            "systemctl daemon-reload; systemctl restart monitord"
        )


def test_prometheus_scrapes_over_tcp_and_through_the_unix_socket(
    monitord: Installed, prometheus: Prometheus
) -> None:
    both = {OVER_TCP: 1.0, BY_PROXY: 1.0}
    up = eventually(lambda: prometheus.values('up{job="monitord"} == 1'), within_s=120)
    assert up.keys() <= both.keys()
    query = 'probe_success{monitor="web",team="shop",tags=~".*,prod,.*"}'
    assert eventually(lambda: prometheus.values(query) == both, within_s=120)
    eventually(lambda: prometheus.values('monitord_monitor_state{monitor="web",state="up"}') == both)
    code = 'probe_http_status_code{monitor="web"}'
    eventually(lambda: prometheus.values(code) == dict.fromkeys(both, 200.0))
    groups = eventually(lambda: prometheus.ask("rules").get("groups"))
    assert {group["name"] for group in groups} == {"monitors", "monitord"}
    states = {rule["health"] for group in groups for rule in group["rules"]}
    assert states <= {"ok", "unknown"}, groups
    for address in both:
        assert status_of(monitord, address, "GET", "/api/v1/monitors/web") == "200"
        assert status_of(monitord, address, "POST", "/reload") == "403"
        assert status_of(monitord, address, "POST", "/api/v1/monitors/web/pause") == "403"
    assert status_of(monitord, OVER_TCP, "GET", "/status", "--header", "Host: evil.example.com") == "421"


def status_of(monitord: Installed, address: str, method: str, path: str, *options: str) -> str:
    """Return the HTTP status of a request of root, whose identity is unknown over TCP."""
    result = monitord.machine.run(
        *("curl", "--silent", "--max-time", "30", "--output", "/dev/null", "--write-out", "%{http_code}"),
        *("--request", method, *options, f"http://{address}{path}"),
    )
    return result.stdout
