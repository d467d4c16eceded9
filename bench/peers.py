"""blackbox_exporter and Prometheus of Debian, configured as documented, with the same targets as monitord."""

import json
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.processes import Command, free_port, program, serving

BLACKBOX, PROMETHEUS = "prometheus-blackbox-exporter", "prometheus"

_BLACKBOX = """
modules:
  http:
    prober: http
    timeout: 5s
    http:
      preferred_ip_protocol: ip4
      tls_config: {{ca_file: {authority}}}
"""

_PROMETHEUS = """
global:
  scrape_interval: {every_s}s
  scrape_timeout: {timeout_s}s
scrape_configs:
  - job_name: http
    metrics_path: /probe
    params: {{module: [http]}}
    relabel_configs:
      - {{source_labels: [__address__], target_label: __param_target}}
      - {{source_labels: [__param_target], target_label: instance}}
      - {{target_label: __address__, replacement: "127.0.0.1:{blackbox}"}}
    static_configs:
      - targets: {targets}
"""


@dataclass(frozen=True, slots=True)
class Exporter:
    """A running blackbox_exporter."""

    pid: int
    port: int

    def probe_url(self, target: str) -> str:
        query = urllib.parse.urlencode({"module": "http", "target": target})
        return f"http://127.0.0.1:{self.port}/probe?{query}"


@dataclass(frozen=True, slots=True)
class Peers:
    """A running blackbox_exporter, and a Prometheus that scrapes it."""

    exporter: Exporter
    prometheus_pid: int
    prometheus_port: int

    @property
    def pids(self) -> tuple[int, int]:
        return self.exporter.pid, self.prometheus_pid

    def failed(self, last_s: int) -> int:
        """The number of probes that failed or had no result in the last seconds."""
        # In one query, because two would be evaluated at two times.
        return round(
            self._query(f"sum(count_over_time(up[{last_s}s])) - sum(sum_over_time(probe_success[{last_s}s]))")
        )

    def _query(self, expression: str) -> float:
        query = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.prometheus_port}/api/v1/query?{query}", timeout=10
        ) as response:
            return float(json.load(response)["data"]["result"][0]["value"][1])


@contextmanager
def exporter(folder: Path, authority: Path) -> Iterator[Exporter]:
    folder.mkdir()
    config = folder / "blackbox.yml"
    config.write_text(_BLACKBOX.format(authority=authority))
    port = free_port()
    command: Command = [
        program("prometheus-blackbox-exporter", BLACKBOX),
        f"--config.file={config}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    with serving(command, folder, "blackbox_exporter", port) as process:
        yield Exporter(process.pid, port)


@contextmanager
def peers(folder: Path, urls: list[str], authority: Path, *, every_s: int, timeout_s: int) -> Iterator[Peers]:
    """Run both, with a target for each URL."""
    with ExitStack() as stack:
        probes = stack.enter_context(exporter(folder, authority))
        config = folder / "prometheus.yml"
        config.write_text(
            _PROMETHEUS.format(
                every_s=every_s, timeout_s=timeout_s, blackbox=probes.port, targets=json.dumps(urls)
            )
        )
        port = free_port()
        command: Command = [
            program("prometheus", PROMETHEUS),
            f"--config.file={config}",
            f"--storage.tsdb.path={folder}/tsdb",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ]
        process = stack.enter_context(serving(command, folder, "prometheus", port))
        yield Peers(probes, process.pid, port)
