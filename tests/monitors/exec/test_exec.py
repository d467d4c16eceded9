"""The type `exec` with real programs: the meaning of each end, its text, and masked secrets."""

import asyncio
import os
import resource
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from monitord.clock import SystemClock
from monitord.conditions import parse_condition
from monitord.config import ConfigAccess, Secret
from monitord.dispatch import Slots
from monitord.dispatch.judging import judge
from monitord.model import Reason, Verdict
from monitord.monitors import PROCESSES
from monitord.monitors.exec.monitor import MAX_MESSAGE_CHARACTERS, ExecMonitor
from monitord.net import Processes
from monitord.options.program import ExecOptions
from monitord.settings import read_settings
from tests.configurations import errors_of, options_of
from tests.fakes import FakeClock, fake_tools, monitor_settings
from tests.servers import free_port, respond, serve
from tests.worlds import real_tools

ROOT = Path(__file__).parents[2].parent
PLUGINS = Path("/usr/lib/nagios/plugins")

Make = Callable[..., ExecMonitor]


def read(tmp_path: Path, keys: str) -> ExecOptions:
    return options_of(ExecMonitor, tmp_path, keys, environment={"PASSWORD": "hunter2"})


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    async with real_tools() as tools:

        def make(keys: str, timeout_s: float = 20.0) -> ExecMonitor:
            settings = monitor_settings(type_name="exec", timeout_s=timeout_s, options=read(tmp_path, keys))
            return ExecMonitor(settings, tools)

        yield make


def plugin(tmp_path: Path, text: str) -> str:
    """The key `command` for a script of the test's own."""
    file = tmp_path / "check_it"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return f'command = ["{file}"]'


# Exit codes and signals


@pytest.mark.parametrize(
    ("exit_code", "reason"),
    [
        (0, Reason.OK),
        (1, Reason.PLUGIN_WARNING),
        (2, Reason.PLUGIN_CRITICAL),
        (3, Reason.PLUGIN_UNKNOWN),
        (4, Reason.PLUGIN_UNKNOWN),
        (127, Reason.PLUGIN_UNKNOWN),
        (255, Reason.PLUGIN_UNKNOWN),
    ],
)
async def test_exit_code_determines_the_verdict(
    make: Make, tmp_path: Path, exit_code: int, reason: Reason
) -> None:
    monitor = make(plugin(tmp_path, f"echo said; exit {exit_code}"))
    seen = await monitor.check()
    assert seen.reason is reason
    assert seen.detail == f"check_it: said (exit code {exit_code}, {seen.duration_s:.3f} s)"
    assert (seen.subject, seen.outcome) == ("check_it", f"said (exit code {exit_code})")
    assert seen.fields == {
        "exit_status": exit_code,
        "message": "said",
        "dropped_bytes": 0,
        "response_time": seen.duration_s,
    }
    assert monitor.journal_fields(seen) == {
        "PLUGIN": f"{tmp_path}/check_it",
        "PLUGIN_EXIT_STATUS": str(exit_code),
    }


async def test_killed_plugin_is_a_failure(make: Make, tmp_path: Path) -> None:
    monitor = make(plugin(tmp_path, "echo half; kill -KILL $$"))
    seen = await monitor.check()
    assert seen.reason is Reason.PLUGIN_KILLED
    assert seen.detail.startswith("check_it: half (killed by SIGKILL, ")
    assert "exit_status" not in seen.fields
    assert monitor.journal_fields(seen) == {"PLUGIN": f"{tmp_path}/check_it"}


async def test_plugin_that_exceeds_the_timeout_is_a_failure(make: Make, tmp_path: Path) -> None:
    seen = await make(plugin(tmp_path, "trap 'exit 0' TERM; echo half; sleep 60 & wait"), 0.15).check()
    assert seen.reason is Reason.TIMEOUT_RESPONSE
    assert seen.detail.startswith("check_it: half (not finished after 150ms, killed, ")
    assert "exit_status" not in seen.fields, "the exit code after a termination signal does not count"


async def test_plugin_that_cannot_be_killed_keeps_failing(tmp_path: Path) -> None:
    sent: list[int] = []
    processes = Processes(lambda group, _: sent.append(group))
    options = read(tmp_path, plugin(tmp_path, "exec sleep 60"))
    tools = replace(fake_tools(FakeClock()), clock=SystemClock(), processes=processes)
    monitor = ExecMonitor(monitor_settings(timeout_s=0.15, options=options), tools)
    first = await monitor.check()
    assert first.reason is Reason.TIMEOUT_RESPONSE
    assert first.detail.startswith("check_it: no output (not finished after 150ms, cannot be killed, ")
    second = await monitor.check()
    assert second.reason is Reason.TIMEOUT_RESPONSE
    assert second.detail == f"check_it: cannot be run: process {sent[0]} was killed and still exists"
    os.kill(sent[0], signal.SIGKILL)
    await processes.close()


async def test_missing_program_is_inconclusive_and_named(make: Make, tmp_path: Path) -> None:
    monitor = make(f'command = ["{tmp_path}/check_nothing"]')
    seen = await monitor.check()
    assert seen.reason is Reason.PLUGIN_UNKNOWN
    assert seen.detail == f"check_nothing: cannot be run: {tmp_path}/check_nothing: No such file or directory"
    assert monitor.journal_fields(seen) == {"PLUGIN": f"{tmp_path}/check_nothing"}


@contextmanager
def no_descriptors() -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


async def test_lack_of_descriptors_is_inconclusive(make: Make, tmp_path: Path) -> None:
    monitor = make(plugin(tmp_path, "exit 2"))
    with no_descriptors():
        seen = await monitor.check()
    assert seen.reason is Reason.PROBER_EXHAUSTED
    assert seen.detail == "check_it: cannot be run: cannot start a process: Too many open files"
    assert seen.outcome == "cannot be run: cannot start a process: Too many open files"


# Output


@pytest.mark.parametrize(
    ("text", "excerpt"),
    [
        ("echo bad; exit 2", None),
        (r"printf 'bad\nworse | a=1\n\033[31mworst'; echo help >&2; exit 2", "bad\nworse | a=1\nworst\nhelp"),
        ("printf 'well\\nmore'", None),
    ],
    ids=["one line", "lines", "well"],
)
async def test_failure_keeps_the_lines_that_are_not_in_its_summary(
    make: Make, tmp_path: Path, text: str, excerpt: str | None
) -> None:
    monitor = make(plugin(tmp_path, text))
    assert judge(await monitor.check(), monitor.settings, None).observation.excerpt == excerpt


async def test_values_become_fields_in_seconds_and_bytes(make: Make, tmp_path: Path) -> None:
    text = "echo \"fine | time=250ms;500;1000 'free space'=2KB odd none=U\"; echo 'more | load1=0.5'"
    seen = await make(plugin(tmp_path, text)).check()
    assert seen.reason is Reason.OK
    assert {name: value for name, value in seen.fields.items() if name.startswith("perfdata.")} == {
        "perfdata.time": 0.25,
        "perfdata.free space": 2048.0,
        "perfdata.load1": 0.5,
    }
    assert seen.fields["message"] == "fine"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("exit 0", "no output", id="nothing"),
        pytest.param("echo 'Traceback' >&2; exit 1", "Traceback", id="errors, where there is nothing else"),
        pytest.param("echo out; echo err >&2", "out", id="output before errors"),
        pytest.param("echo '| a=1'; echo err >&2", "err", id="values alone"),
        pytest.param(r"printf 'a\033[31mb\tc\000d\rNO'", "a [31mb c d NO", id="control characters"),
        pytest.param(r"printf 'caf\303\251 \377!'", "café �!", id="bytes that are no UTF-8"),
        pytest.param(
            "head -c 5000 /dev/zero | tr '\\0' x", "x" * (MAX_MESSAGE_CHARACTERS - 1) + "…", id="long line"
        ),
    ],
)
async def test_message_is_one_readable_line(make: Make, tmp_path: Path, text: str, message: str) -> None:
    seen = await make(plugin(tmp_path, text)).check()
    assert seen.fields["message"] == message
    assert seen.detail.startswith(f"check_it: {message} (")


async def test_output_that_was_dropped_is_noted(make: Make, tmp_path: Path) -> None:
    seen = await make(plugin(tmp_path, "echo said; head -c 70000 /dev/zero")).check()
    assert seen.fields["message"] == "said"
    assert seen.fields["dropped_bytes"] == 70_005 - 64 * 1024


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("exit_status == 1", "exit_status == 1 (actual: 1)"),
        ("message contains 'disk'", "message contains 'disk' (actual: 'disk fills')"),
        ("response_time < 20s", None),
        ("dropped_bytes == 0B", None),
        ("perfdata('/var log') > 85.5", "perfdata('/var log') > 85.5 (actual: 86.0)"),
        ("not perfdata('/var log') < 86", None),
    ],
)
async def test_conditions_can_use_the_output_of_a_plugin(
    make: Make, tmp_path: Path, condition: str, expected: str | None
) -> None:
    options = read(tmp_path, plugin(tmp_path, "echo \"disk fills | '/var log'=86%\"; exit 1"))
    settings = replace(
        monitor_settings(type_name="exec", timeout_s=20.0, options=options),
        up_when=(parse_condition(condition, ExecMonitor.vocabulary),),
    )
    result = judge(await ExecMonitor(settings, make('command = ["/x"]').tools).check(), settings, None)
    assert result.verdict is Verdict.WARN, "the condition holds, and the plugin warns"
    assert expected is None or result.conditions == (expected,)


async def test_condition_on_a_missing_value_is_unresolved(make: Make, tmp_path: Path) -> None:
    settings = replace(
        monitor_settings(timeout_s=20.0, options=read(tmp_path, plugin(tmp_path, "echo '| a=U'"))),
        up_when=(parse_condition("perfdata('a') != 1", ExecMonitor.vocabulary),),
    )
    result = judge(await ExecMonitor(settings, make('command = ["/x"]').tools).check(), settings, None)
    assert (result.verdict, result.observation.reason) == (Verdict.FAIL, Reason.CONDITION_UNRESOLVED)


# Environment of the plugin


async def test_plugin_receives_arguments_environment_and_directory(make: Make, tmp_path: Path) -> None:
    file = tmp_path / "show"
    file.write_text('#!/bin/sh\necho "$1|$2|$GREETING|$LC_ALL|$PATH|$(pwd)"\n')
    file.chmod(0o755)
    keys = f'command = ["{file}", "two words", "$HOME;"]\ndirectory = "{tmp_path}"\n'
    seen = await make(keys + 'environment = { GREETING = "hi", LC_ALL = "C" }').check()
    assert seen.fields["message"] == "two words", "the rest is performance data"
    options = read(tmp_path, keys + 'environment = { GREETING = "hi", LC_ALL = "C" }')
    assert options.command == (str(file), "two words", "$HOME;")
    file.write_text('#!/bin/sh\necho "$2,$GREETING,$LC_ALL,$PATH,$(pwd)"\n')
    seen = await make(keys + 'environment = { GREETING = "hi", LC_ALL = "C" }').check()
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert seen.fields["message"] == f"$HOME;,hi,C,{path},{tmp_path}"


async def test_plugin_does_not_inherit_the_environment_of_the_daemon(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_PID", "LISTEN_FDS", "CREDENTIALS_DIRECTORY", "JOURNAL_STREAM"):
        monkeypatch.setenv(name, "x")
    seen = await make('command = ["/bin/sh", "-c", "echo $(env | sed s/=.*// | sort)"]').check()
    assert str(seen.fields["message"]).split() == ["LANG", "LC_ALL", "PATH", "PWD"]


async def test_secret_is_passed_only_to_the_plugin(make: Make, tmp_path: Path) -> None:
    text = '[ "$PASSWORD" = hunter2 ] && echo "login with $PASSWORD | $PASSWORD=1"; echo "$PASSWORD" >&2'
    monitor = make(
        plugin(tmp_path, text) + '\nenvironment = { PASSWORD = { env = "PASSWORD" }, PLAIN = "log" }'
    )
    seen = await monitor.check()
    assert seen.fields["message"] == "login with ***", "a value in plain text is not secret"
    assert "hunter2" not in repr((monitor.options, monitor.settings, seen, monitor.journal_fields(seen)))


async def test_arguments_and_variables_with_secret_names_are_masked(make: Make, tmp_path: Path) -> None:
    program = tmp_path / "check_it"
    program.write_text('#!/bin/sh\necho "$DB_PASSWORD $PLAIN $*"\n')
    program.chmod(0o755)
    monitor = make(
        f'command = ["{program}", "--password", "hunter22", "--auth-token=t0ken-t0ken", "-w", "5,warning",'
        ' "https://kim:pa55word@db.example.org/", "--key", "/etc/key"]\n'
        'environment = { DB_PASSWORD = "s3cret-word", PLAIN = "visible" }'
    )
    seen = await monitor.check()
    assert seen.fields["message"] == (
        "*** visible --password *** --auth-token=*** -w 5,warning https://kim:***@db.example.org/ --key /etc/key"
    )


# Limits


def test_programs_have_their_own_limit(tmp_path: Path) -> None:
    config = tmp_path / "monitord.toml"
    config.write_text("[limits]\nmax_concurrent_per_host = 1\nmax_concurrent_processes = 2\n")
    limits = read_settings(config).limits
    slots: Slots[str] = Slots(limits.max_concurrent_checks, limits.max_concurrent_per_host, limits.by_pool)
    assert [slots.take(who, PROCESSES) for who in "abc"] == [True, True, False]
    assert [slots.take(who, "host") for who in "xy"] == [True, False]
    assert slots.free(PROCESSES) == ["c"]
    assert slots.resize(256, 1, {PROCESSES: 3}) == []
    assert slots.take("d", PROCESSES)


def test_plugin_counts_as_a_program(tmp_path: Path) -> None:
    options = read(tmp_path, 'command = ["/bin/true"]')
    assert ExecMonitor(monitor_settings(options=options), fake_tools(FakeClock())).pool == PROCESSES


# Reading


def test_example_is_a_valid_configuration() -> None:
    settings = read_settings(ROOT / "etc" / "examples" / "exec.toml", environment={"ORDERS_TOKEN": "s"})
    assert [monitor.type_name for monitor in settings.monitors] == ["exec"] * 3
    assert settings.limits.max_concurrent_processes == 16
    orders = settings.monitors[2].options
    assert isinstance(orders, ExecOptions)
    assert orders.directory == "/var/lib/orders"
    assert orders.hidden == (Secret("s"),)
    assert dict(orders.environment) == {"ORDERS_TOKEN": Secret("s"), "ORDERS_REGION": Secret("eu")}


@pytest.mark.parametrize(
    "name",
    [
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "LISTEN_FDS",
        "CREDENTIALS_DIRECTORY",
        "JOURNAL_STREAM",
        "INVOCATION_ID",
    ],
)
def test_plugins_do_not_inherit_variables_of_the_service_manager(tmp_path: Path, name: str) -> None:
    keys = f'command = ["/bin/check"]\nenvironment = {{ {name} = "x" }}\n'
    assert errors_of(tmp_path, f"[monitors.a]\n{keys}") == [
        f"monitord.toml:3: monitors.a.environment: {name} is reserved for the service manager; "
        'remove it; a credential can be a value: { credential = "name" }'
    ]


def test_configuration_is_checked_without_its_secrets(tmp_path: Path) -> None:
    config = tmp_path / "monitord.toml"
    config.write_text('[monitors.a]\ncommand = ["/x"]\nenvironment = { A = { credential = "nowhere" } }\n')
    assert (
        read_settings(config, environment={}, access=ConfigAccess.OTHER_USER).monitors[0].type_name == "exec"
    )


# Common plugins


def debian_plugin(name: str) -> str:
    file = PLUGINS / name
    if not file.exists():
        pytest.skip("monitoring-plugins-basic is not installed")
    return str(file)


async def test_check_http_of_debian_passes_for_a_server(make: Make) -> None:
    async with serve(respond(body=b"hello")) as server:
        command = [debian_plugin("check_http"), "-I", "127.0.0.1", "-p", str(server.port)]
        seen = await make(f"command = {command!r}").check()
    assert seen.reason is Reason.OK, seen.detail
    assert str(seen.fields["message"]).startswith("HTTP OK: HTTP/1.1 200 OK")
    assert isinstance(seen.fields["perfdata.time"], float)
    assert seen.fields["perfdata.size"]


async def test_check_tcp_of_debian_fails_for_a_closed_port(make: Make) -> None:
    command = [debian_plugin("check_tcp"), "-H", "127.0.0.1", "-p", str(free_port())]
    seen = await make(f"command = {command!r}").check()
    assert seen.shows_connectivity is False
    assert seen.reason is Reason.PLUGIN_CRITICAL
    assert "refused" in str(seen.fields["message"])


@pytest.mark.parametrize(("state", "reason"), [("1", Reason.PLUGIN_WARNING), ("3", Reason.PLUGIN_UNKNOWN)])
async def test_check_dummy_of_debian_returns_its_arguments(make: Make, state: str, reason: Reason) -> None:
    seen = await make(f"command = {[debian_plugin('check_dummy'), state, 'as told']!r}").check()
    assert seen.reason is reason
    assert str(seen.fields["message"]).endswith(": as told")


async def test_check_file_age_of_debian_reports_bytes(make: Make, tmp_path: Path) -> None:
    """Not check_disk, which finds no file system if / is a directory of another file system, as in a clean build."""
    (tmp_path / "file").write_bytes(b"x" * 1234)
    command = [debian_plugin("check_file_age"), "-w", "3600", "-c", "3600", "-f", str(tmp_path / "file")]
    seen = await make(f"command = {command!r}").check()
    assert seen.reason is Reason.OK, seen.detail
    assert seen.fields["perfdata.size"] == 1234


async def test_cancelled_check_leaves_no_plugin(make: Make, tmp_path: Path) -> None:
    check = asyncio.ensure_future(make(plugin(tmp_path, "sleep 60 & wait")).check())
    await asyncio.sleep(0)
    check.cancel()
    with pytest.raises(asyncio.CancelledError):
        await check
