"""Lookup of monitor types: in the registry, by entry points, and the example of the manual."""

import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from monitord.config import read_document
from monitord.model import Reason
from monitord.monitors import IMPLIED_TYPES, MONITOR_TYPES, Monitor, MonitorSettings, monitor_type
from tests.fakes import FakeClock, fake_tools, monitor_settings

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "docs" / "examples" / "free_space.py"


def example_type() -> type[Monitor[Any]]:
    kind: type[Monitor[Any]] = runpy.run_path(str(EXAMPLE))["FreeSpaceMonitor"]
    assert issubclass(kind, Monitor)
    return kind


def example_monitor(tmp_path: Path, keys: str) -> Monitor[Any]:
    kind = example_type()
    config = tmp_path / "monitord.toml"
    config.write_text(f"[monitors.disk]\n{keys}")
    document = read_document(config)
    options = kind.read_options(document.root.named("monitors")["disk"])
    document.check()
    settings: MonitorSettings = monitor_settings("disk", type_name=kind.type_name, options=options)
    return kind(settings, fake_tools(FakeClock()))


@pytest.mark.parametrize(("at_least", "reason"), [("1B", Reason.OK), ("1000000GiB", Reason.CONDITION_FAILED)])
async def test_type_in_the_manual_works(tmp_path: Path, at_least: str, reason: Reason) -> None:
    observation = await example_monitor(tmp_path, f'path = "/"\nat_least = "{at_least}"\n').check()
    assert observation.reason is reason
    assert "MiB free" in observation.detail
    assert observation.fields["free_bytes"]


def test_manual_contains_the_example_unchanged() -> None:
    manual = (ROOT / "docs" / "monitor-types.md").read_text()
    shown = manual.split("```python\n")[1].split("```")[0]
    assert shown in EXAMPLE.read_text()
    assert shown.count("\n") <= 20


def test_every_type_is_registered_under_its_own_name() -> None:
    for name, kind in MONITOR_TYPES.items():
        assert kind.type_name == name
        assert monitor_type(name) is kind
    assert monitor_type("no-such-type") is None


def test_package_adds_a_type_by_its_entry_point(tmp_path: Path) -> None:
    installed = tmp_path / "site"
    metadata = installed / "free_space-1.dist-info"
    metadata.mkdir(parents=True)
    shutil.copy(EXAMPLE, installed)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: free-space\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(
        "[monitord.monitors]\nfree-space = free_space:FreeSpaceMonitor\nbroken = no_such_module:Monitor\n"
    )
    config = tmp_path / "monitord.toml"

    def check(keys: str) -> tuple[int, str]:
        config.write_text(f"[monitors.disk]\n{keys}")
        done = subprocess.run(
            [sys.executable, "-m", "monitord", "--check-config", "--config", str(config)],
            cwd=ROOT,
            env={"PYTHONPATH": str(installed)},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    assert check('type = "free-space"\npath = "/"\n')[0] == 0
    assert "monitors.disk.path" in check('type = "free-space"\n')[1]
    assert check('type = "broken"\n')[0] == 1
    assert "cannot be loaded" in check('type = "broken"\n')[1]
    known = check('type = "qqqqqqqq"\n')[1].partition("write one of: ")[2].rstrip().split(", ")
    assert {"broken", "free-space", "http"} < set(known)
    assert known == sorted(known)


@pytest.mark.parametrize(("key", "name"), IMPLIED_TYPES.items())
def test_type_has_the_key_that_implies_it(tmp_path: Path, key: str, name: str) -> None:
    config = tmp_path / "monitord.toml"
    config.write_text("")
    table = read_document(config).root
    MONITOR_TYPES[name].read_options(table)
    assert key in table._known
