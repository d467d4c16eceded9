"""Which modules the daemon imports before it is ready."""

import json
import subprocess
import sys
from pathlib import Path

START = """
import json, sys
from pathlib import Path
from monitord.application import ApplicationContainer
from monitord.cli.daemon import command
from monitord.settings import read_settings
container = ApplicationContainer(read_settings(Path(sys.argv[1]), is_start=True))
container.status_application
print(json.dumps([*sys.modules]))
"""
UNUSED = {
    "importlib.metadata",
    "jinja2",
    "monitord.monitors.dns",
    "monitord.monitors.systemd.timer",
    "monitord.notifiers.mail",
    "monitord.status.api.schemas",
    "monitord.status.metrics.collector",
    "monitord.status.pages.handlers",
    "prometheus_client",
}
"""Pages, metrics, the OpenAPI document and what the configuration does not use, with libraries of their own."""


def imported(config: Path, text: str) -> set[str]:
    config.write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", START, str(config)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        check=True,
    )
    return set(json.loads(done.stdout))


def test_start_imports_only_what_the_configuration_uses(tmp_path: Path) -> None:
    modules = imported(tmp_path / "monitord.toml", '[monitors.a]\nurl = "http://127.0.0.1:1/"\n')
    assert "monitord.monitors.http.monitor" in modules
    assert UNUSED & modules == set()


def test_start_imports_the_types_that_the_configuration_names(tmp_path: Path) -> None:
    text = '[monitors.a]\ntype = "dns"\nname = "example.org"\n[notifiers.ops]\nto = ["ops@example.org"]\n'
    modules = imported(tmp_path / "monitord.toml", text)
    assert {"monitord.monitors.dns", "monitord.notifiers.mail"} <= modules
