"""Settings that are valid but cannot work on this host cause a warning of check-config, at the start and on reload."""

import errno
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from monitord.cli.daemon.command import check_config, rate_text
from monitord.config import ConfigAccess
from monitord.journal import reader as journal_reader
from monitord.net.ping import are_pings_forbidden
from monitord.settings import read_settings
from tests.configurations import settings_of
from tests.test_control import GOOD, running


def warnings_of(tmp_path: Path, text: str, access: ConfigAccess = ConfigAccess.DAEMON) -> list[str]:
    config = tmp_path / "monitord.toml"
    config.write_text(text)
    return [
        warning.as_warning().removeprefix(f"{config}:")
        for warning in read_settings(config, access=access).warnings
    ]


def test_program_that_cannot_be_run_is_warned_about(tmp_path: Path) -> None:
    (tmp_path / "plain").touch(0o644)
    (tmp_path / "program").write_text("#!/bin/sh\n")
    (tmp_path / "binary").write_bytes(b"\x7fELF\0")
    (tmp_path / "script").write_text("#! /nonexistent/perl -w\n")
    for name in ("program", "binary", "script"):
        (tmp_path / name).chmod(0o755)
    monitors = "".join(
        f'[monitors.{number}]\ncommand = ["{tmp_path}/{name}"]\n'
        for number, name in enumerate(("missing", "plain", "", "script", "program", "binary"))
    )
    text = f'{monitors}[notifiers.ops]\ncommand = ["{tmp_path}/missing"]\ndirectory = "{tmp_path}/plain"\n'
    assert warnings_of(tmp_path, text) == [
        f"2: monitors.0.command: warning: {tmp_path}/missing cannot be run: No such file or directory; "
        "install the program, or correct the path",
        f"4: monitors.1.command: warning: {tmp_path}/plain cannot be run: it is not executable; "
        f"make it executable: chmod +x {tmp_path}/plain",
        f"6: monitors.2.command: warning: {tmp_path} cannot be run: it is not a file; "
        "write the path of a program",
        f"8: monitors.3.command: warning: {tmp_path}/script cannot be run: "
        "its interpreter /nonexistent/perl is missing; "
        "install the interpreter, or correct the first line of the program",
        f"14: notifiers.ops.command: warning: {tmp_path}/missing cannot be run: No such file or directory; "
        "install the program, or correct the path",
        f"15: notifiers.ops.directory: warning: {tmp_path}/plain cannot be entered: it is not a directory; "
        "write the path of a directory",
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter every directory")
def test_files_that_only_the_service_may_read_are_not_a_warning_for_other_users(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(0o000)
    text = f'[monitors.a]\ncommand = ["{tmp_path}/closed/program"]\n'
    assert warnings_of(tmp_path, text, ConfigAccess.OTHER_USER) == []
    assert len(warnings_of(tmp_path, text)) == 1


def raising(number: int) -> Callable[[], None]:
    def open_unbound() -> None:
        raise OSError(number, os.strerror(number))

    return open_unbound


@pytest.mark.parametrize(
    ("open_unbound", "is_forbidden"),
    [(lambda: None, False), (raising(errno.EACCES), True), (raising(errno.EMFILE), False)],
    ids=["allowed", "forbidden", "exhausted"],
)
def test_service_tries_whether_it_may_ping(
    tmp_path: Path, open_unbound: Callable[[], None], *, is_forbidden: bool
) -> None:
    answer = are_pings_forbidden(
        to_everybody=False, open_unbound=open_unbound, range_file=tmp_path / "not_read"
    )
    assert answer is is_forbidden


@pytest.mark.parametrize(
    ("text", "is_forbidden"), [("1\t0\n", True), ("0\t2147483647\n", False), ("5\t5\n", False), ("?", False)]
)
def test_check_as_another_user_warns_only_if_no_user_may_ping(
    tmp_path: Path, text: str, *, is_forbidden: bool
) -> None:
    file = tmp_path / "range"
    file.write_text(text)
    answer = are_pings_forbidden(to_everybody=True, open_unbound=raising(errno.EACCES), range_file=file)
    assert answer is is_forbidden
    assert not are_pings_forbidden(to_everybody=True, range_file=tmp_path / "missing")


def test_file_of_a_secret_that_does_not_exist_is_warned_about(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    text = f"""[monitors.a]
url = "http://127.0.0.1/"
bearer_token = {{ file = "/nonexistent/token" }}
headers = {{ Cookie = {{ file = "/nonexistent/cookie" }}, X-Token = {{ file = "{tmp_path}/token" }} }}
"""
    assert warnings_of(tmp_path, text, ConfigAccess.OTHER_USER) == [
        "3: monitors.a.bearer_token: warning: the file /nonexistent/token does not exist; "
        "create it, or correct the path",
        "4: monitors.a.headers.Cookie: warning: the file /nonexistent/cookie does not exist; "
        "create it, or correct the path",
    ]


def test_icmp_monitor_causes_a_warning_exactly_where_ping_is_forbidden(tmp_path: Path) -> None:
    pytest.importorskip("icmplib")
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP).close()
        expected = []
    except PermissionError:
        expected = [
            f"2: monitors.gw.type: warning: ping sockets are not permitted for group {os.getegid()}; "
            'write "net.ipv4.ping_group_range = 0 2147483647" to /etc/sysctl.d/ping.conf, and run: sysctl --system'
        ]
    assert warnings_of(tmp_path, '[monitors.gw]\ntype = "icmp"\nhost = "127.0.0.1"\n') == expected


def test_unit_monitor_without_the_system_bus_is_warned_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dbus_fast")
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/bus")
    text = '[monitors.a]\ntype = "unit"\nunit = "nginx.service"\n[auto]\nunits = "failed"\n'
    assert warnings_of(tmp_path, text) == [
        f'{place}: warning: there is no system bus at {tmp_path}/bus, which "{value}" needs; install the package dbus'
        for place, value in (("2: monitors.a.type", "unit"), ("5: auto.units", "failed"))
    ]
    (tmp_path / "bus").touch()
    assert warnings_of(tmp_path, text) == []


def test_journal_monitor_without_a_journal_is_warned_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("systemd.journal")
    monkeypatch.setattr(journal_reader, "DIRECTORIES", (tmp_path,))
    text = '[monitors.a]\ntype = "journal"\npriority = "err"\n'
    assert warnings_of(tmp_path, text) == [
        f"2: monitors.a.type: warning: the journal cannot be read: there is no journal in {tmp_path}; "
        "see Storage= in journald.conf(5)"
    ]
    (tmp_path / "machine").mkdir()
    (tmp_path / "machine" / "system.journal").touch()
    assert warnings_of(tmp_path, text) == []


NO_PROGRAM = '[monitors.a]\ncommand = ["/nonexistent/check"]\n'


def test_check_config_prints_warnings_and_succeeds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "monitord.toml"
    config.write_text(NO_PROGRAM)
    assert check_config(config, ConfigAccess.OTHER_USER) == 0
    warning, verdict = capsys.readouterr().out.splitlines()
    assert warning.startswith(f"{config}:2: monitors.a.command: warning: /nonexistent/check cannot be run")
    assert verdict == f"{config}: valid; 1 monitor, 0.0333 checks per second, 1 warning"


@pytest.mark.parametrize(
    ("per_second", "shown"),
    [
        (0.0, "0 checks per second"),
        (1.0, "1 check per second"),
        (0.01, "0.01 checks per second"),
        (1 / 3600, "1 check per hour"),
        (3 / 43200, "0.25 checks per hour"),
    ],
)
def test_rate_of_rare_checks_is_per_hour(per_second: float, shown: str) -> None:
    assert rate_text(per_second) == shown


def test_warnings_are_not_compared_between_settings(tmp_path: Path) -> None:
    program = tmp_path / "check"
    text = f'[monitors.a]\ncommand = ["{program}"]\n'
    before = settings_of(tmp_path, text)
    program.touch(0o755)
    after = settings_of(tmp_path, text)
    assert (len(before.warnings), len(after.warnings)) == (1, 0)
    assert before == after


async def test_log_has_the_first_warnings_of_many(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    many = "".join(f'[monitors.m{number}]\ncommand = ["/nonexistent/check"]\n' for number in range(50))
    with caplog.at_level(logging.WARNING):
        async with running(tmp_path, many) as it:
            assert caplog.text.count("/nonexistent/check cannot be run") == 20
            assert "30 more warnings; monitorctl check-config shows all of them" in caplog.text
            assert len((await it.control.reload("a test")).warnings) == 50


async def test_start_and_reload_log_warnings(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        async with running(tmp_path, NO_PROGRAM) as it:
            place, problem = f"{it.config}:2: monitors.a.command: ", "/nonexistent/check cannot be run: "
            assert caplog.text.count(place + problem) == 1
            outcome = await it.control.reload("a test")
            assert caplog.text.count(place + problem) == 2
            assert outcome.ok
            assert outcome.summary == "1 unchanged; 1 warning"
            assert [text.startswith(f"{place}warning: {problem}") for text in outcome.warnings] == [True]
            it.config.write_text(GOOD)
            outcome = await it.control.reload("a test")
            assert outcome.warnings == ()
            assert "warning" not in outcome.summary


def test_secret_that_is_too_short_to_be_masked_is_warned_about(tmp_path: Path) -> None:
    text = """
[monitors.a]
url = "http://h/"
bearer_token = "xyz"
[notifiers.b]
url = "http://h/"
basic_auth = { username = "kim", password = "x" }
[notifiers.c]
url = "http://h/"
bearer_token = "long"
"""
    problem = "is shorter than 4 characters, so it is not masked in responses that repeat it; choose a longer secret"
    assert warnings_of(tmp_path, text) == [
        f"4: monitors.a.bearer_token: warning: {problem}",
        f"7: notifiers.b.basic_auth.password: warning: {problem}",
    ]


def test_tls_options_of_mail_without_verification_are_warned_about(tmp_path: Path) -> None:
    text = '[notifiers.a]\nto = "a@b.org"\nverify = true\n'
    text += '[notifiers.b]\nto = "a@b.org"\nsecurity = "tls"\nverify = true\n'
    assert warnings_of(tmp_path, text) == [
        '3: notifiers.a.verify: warning: has no effect with security = "opportunistic", which verifies nothing; '
        'write security = "starttls" or "tls"'
    ]


def test_container_monitor_without_the_socket_of_its_engine_is_warned_about(tmp_path: Path) -> None:
    socket_file = tmp_path / "engine.sock"
    text = f'[monitors.a]\ncontainer = "web"\nsocket = "{socket_file}"\n'
    (warning,) = warnings_of(tmp_path, text)
    assert warning.startswith(
        f"3: monitors.a.socket: warning: containers cannot be checked: there is no socket {socket_file}; "
    )
    socket_file.touch()
    assert warnings_of(tmp_path, text) == []
