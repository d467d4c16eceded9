"""The files for the service manager, as far as they can be judged without one."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parent.parent.parent / "systemd"
SERVICES = ["monitord.service", "monitord@.service"]

# Settings in which an instance differs from the default daemon.
INSTANCE_DIFFERS_IN = {
    "Description",
    "Wants",
    "ExecStart",
    "ExecReload",
    "StateDirectory",
    "RuntimeDirectory",
    "RuntimeDirectoryPreserve",
    "NoExecPaths",
    "Also",
}

# Listed as sandboxing in systemd.exec(5), or as related options in systemd.resource-control(5).
NARROWS = re.compile(
    r"Protect|Private|Restrict(?!Prevent)|SystemCall|Capability|Ambient|NoNew|NoExec|RemoveIPC|Lock|"
    r"MemoryDeny|DevicePolicy|Keyring|ProcSubset|UMask|Limit|LogRate|State|Runtime|Watchdog"
)


def why_no_analyzer() -> str | None:
    if shutil.which("systemd-analyze") is None:
        return "systemd-analyze is not installed"
    if not Path("/run/systemd").exists() and not os.access("/run", os.W_OK):
        return "systemd-analyze creates /run/systemd, which is not permitted here"
    return None


NEEDS_ANALYZER = pytest.mark.skipif(why_no_analyzer() is not None, reason=str(why_no_analyzer()))


def settings(unit: str) -> list[tuple[str, str]]:
    lines = (UNITS / unit).read_text().splitlines()
    return [
        (name, value)
        for name, equals, value in (line.partition("=") for line in lines if line[:1] not in "#[")
        if equals
    ]


def values(unit: str, name: str) -> list[str]:
    return [value for each, value in settings(unit) if each == name]


def test_instance_has_the_same_settings_as_the_default_daemon() -> None:
    plain, instance = (
        [(name, value) for name, value in settings(unit) if name not in INSTANCE_DIFFERS_IN]
        for unit in SERVICES
    )
    assert instance == plain


def test_instances_share_no_directory_and_no_socket() -> None:
    for name in ("ExecStart", "ExecReload", "StateDirectory", "RuntimeDirectory"):
        assert all("%i" in value for value in values("monitord@.service", name))


@pytest.mark.parametrize("unit", SERVICES)
def test_writable_directories_are_not_executable(unit: str) -> None:
    state, runtime = values(unit, "StateDirectory")[0], values(unit, "RuntimeDirectory")[0]
    assert values(unit, "NoExecPaths") == [f"%S/{state} %t/{runtime} /tmp /var/tmp /dev/shm"]


def test_every_restriction_follows_its_reason() -> None:
    paragraph_has_reason = False
    without_reason = []
    for line in (UNITS / "monitord.service").read_text().splitlines():
        if not line:
            paragraph_has_reason = False
        elif line.startswith("#"):
            paragraph_has_reason = True
        elif NARROWS.match(line) and not paragraph_has_reason:
            without_reason.append(line)
    assert without_reason == []


def test_directory_of_the_socket_outlives_the_service() -> None:
    directory = values("monitord.service", "RuntimeDirectory")[0]
    assert values("monitord.socket", "ListenStream") == [f"%t/{directory}/status.sock"]
    assert values("monitord.service", "RuntimeDirectoryPreserve") == ["yes"]
    assert values("monitord.socket", "DirectoryMode") == values("monitord.service", "RuntimeDirectoryMode")


def test_only_root_and_the_group_may_connect() -> None:
    assert values("monitord.socket", "SocketUser") == values("monitord.service", "User") == ["monitord"]
    assert values("monitord.socket", "SocketGroup") == values("monitord.service", "Group") == ["monitord"]
    assert values("monitord.socket", "SocketMode") == ["0660"]


@pytest.mark.parametrize("unit", SERVICES)
def test_rejected_configuration_is_not_retried(unit: str) -> None:
    assert values(unit, "RestartPreventExitStatus") == ["78"]


@pytest.mark.parametrize("unit", SERVICES)
@NEEDS_ANALYZER
def test_exposure_is_at_most_1_1(unit: str) -> None:
    command = [
        "systemd-analyze",
        "security",
        "--offline=yes",
        "--no-pager",
        "--threshold=11",
        str(UNITS / unit),
    ]
    analysis = subprocess.run(command, capture_output=True, text=True, check=False)
    assert analysis.returncode == 0, analysis.stdout


@NEEDS_ANALYZER
def test_service_manager_accepts_every_setting() -> None:
    """Also that of the oldest supported version, if the tests run there."""
    units = [str(UNITS / unit) for unit in (*SERVICES, "monitord.socket")]
    verify = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False
    )
    # Where the package is not installed, its commands are missing, and that is all.
    complaints = [
        line
        for line in verify.stderr.splitlines()
        if "is not executable: No such file or directory" not in line
    ]
    assert complaints == []


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="needs systemd-sysusers")
def test_user_is_as_created_by_sysusers(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    made = subprocess.run(
        ["systemd-sysusers", "--dry-run", f"--root={tmp_path}", str(UNITS / "monitord.sysusers")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    assert f"Creating group '{values('monitord.service', 'Group')[0]}'" in made.stderr
    assert f"Creating user '{values('monitord.service', 'User')[0]}'" in made.stderr
