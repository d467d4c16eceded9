"""A missing library causes only the monitors that need it to be rejected."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

WEB = '[monitors.web]\nurl = "http://a.test/"\n'


@pytest.mark.parametrize(
    ("type_name", "key", "module", "library", "package"),
    [
        ("dns", 'name = "a.test"', "dns", "dnspython", "python3-dnspython"),
        ("icmp", 'host = "192.0.2.1"', "icmplib", "icmplib", "python3-icmplib"),
        ("websocket", 'url = "wss://a.test/"', "wsproto", "wsproto", "python3-wsproto"),
        ("grpc", 'address = "a.test:1"', "h2", "h2", "python3-h2"),
        ("postgresql", 'address = "a.test"\nusername = "kim"', "asyncpg", "asyncpg", "python3-asyncpg"),
        ("mysql", 'address = "a.test"\nusername = "kim"', "pymysql", "PyMySQL", "python3-pymysql"),
        ("unit", 'unit = "nginx.service"', "dbus_fast", "dbus-fast", "python3-dbus-fast"),
        ("timer", 'timer = "backup.timer"', "dbus_fast", "dbus-fast", "python3-dbus-fast"),
    ],
    ids=["dns", "icmp", "websocket", "grpc", "postgresql", "mysql", "unit", "timer"],
)
def test_only_monitors_that_need_a_missing_library_are_rejected(
    tmp_path: Path, type_name: str, key: str, module: str, library: str, package: str
) -> None:
    missing = f"No module named '{module}'"
    (tmp_path / f"{module}.py").write_text(f'raise ModuleNotFoundError("{missing}")\n')
    config = tmp_path / "monitord.toml"

    def check(text: str) -> tuple[int, str]:
        config.write_text(text)
        done = subprocess.run(
            [sys.executable, "-m", "monitord", "--check-config", "--config", str(config)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    assert check(WEB)[0] == 0
    status, errors = check(f'{WEB}[monitors.a]\ntype = "{type_name}"\n{key}\n')
    assert status == 1
    assert (
        f'{config}:4: monitors.a.type: "{type_name}" needs {library}: {missing}; install the package {package}\n'
        in errors
    )
    assert errors.count("monitors.") == 1


def test_installed_configuration_is_accepted_without_recommended_libraries(tmp_path: Path) -> None:
    """A package that is installed without its Recommends must not fail to start."""
    for module in ("dbus_fast", "dns", "icmplib", "aiosmtplib"):
        (tmp_path / f"{module}.py").write_text("raise ModuleNotFoundError('none')\n")
    done = subprocess.run(
        [sys.executable, "-m", "monitord", "--check-config", "--config", str(ROOT / "etc" / "monitord.toml")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "valid" in done.stdout) == (0, True)
    assert 'auto.units: warning: "failed" needs dbus-fast: none; install the package python3-dbus-fast' in (
        done.stdout + done.stderr
    )
