import os
import subprocess
import sys
from pathlib import Path

import pytest

from monitord.systemd.environment import PassedDescriptor, ServiceEnvironment

PID = 4711
ROOT = Path(__file__).resolve().parents[2]


def test_all_variables_are_read() -> None:
    environ = {
        "NOTIFY_SOCKET": "/run/systemd/notify",
        "WATCHDOG_USEC": "30000000",
        "WATCHDOG_PID": "4711",
        "RUNTIME_DIRECTORY": "/run/monitord",
        "STATE_DIRECTORY": "/var/lib/monitord:/var/lib/other",
        "CREDENTIALS_DIRECTORY": "/run/credentials/monitord.service",
        "JOURNAL_STREAM": "9:12345",
        "INVOCATION_ID": "0" * 32,
    }
    assert ServiceEnvironment.take(environ, lambda: {3: "status", 4: "web"}, pid=PID) == ServiceEnvironment(
        notify_socket="/run/systemd/notify",
        watchdog_s=30.0,
        descriptors=(PassedDescriptor(3, "status"), PassedDescriptor(4, "web")),
        runtime_directory=Path("/run/monitord"),
        state_directory=Path("/var/lib/monitord"),
        credentials_directory=Path("/run/credentials/monitord.service"),
        journal_stream=(9, 12345),
        invocation_id="0" * 32,
    )


def test_variables_for_this_process_are_removed() -> None:
    environ = {
        "NOTIFY_SOCKET": "/run/systemd/notify",
        "WATCHDOG_USEC": "30000000",
        "WATCHDOG_PID": "1",
        "LISTEN_FDS": "1",
        "LISTEN_PID": "1",
        "LISTEN_PIDFDID": "1",
        "LISTEN_FDNAMES": "status",
        "CREDENTIALS_DIRECTORY": "/run/credentials/monitord.service",
        "PATH": "/usr/bin",
    }
    ServiceEnvironment.take(environ, pid=PID)
    assert environ == {
        "CREDENTIALS_DIRECTORY": "/run/credentials/monitord.service",
        "PATH": "/usr/bin",
    }


def test_environment_of_a_shell_is_empty() -> None:
    assert ServiceEnvironment.take({"PATH": "/usr/bin"}) == ServiceEnvironment()


@pytest.mark.parametrize(
    ("environ", "watchdog_s"),
    [
        pytest.param({"WATCHDOG_USEC": "500000"}, 0.5, id="for any process"),
        pytest.param({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "4711"}, 0.5, id="for this process"),
        pytest.param({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "4712"}, None, id="for the parent"),
        pytest.param({"WATCHDOG_USEC": "0"}, None, id="none"),
        pytest.param({"WATCHDOG_USEC": "soon"}, None, id="not a number"),
        pytest.param({"WATCHDOG_USEC": "-5"}, None, id="negative"),
        pytest.param({"WATCHDOG_PID": "4711"}, None, id="without an interval"),
    ],
)
def test_watchdog_applies_only_to_its_pid(environ: dict[str, str], watchdog_s: float | None) -> None:
    assert ServiceEnvironment.take(environ, pid=PID).watchdog_s == watchdog_s


def test_descriptor_without_a_name_is_named_unknown() -> None:
    found = ServiceEnvironment.take({}, lambda: {3: "", 4: "web"}).descriptors
    assert found == (PassedDescriptor(3, "unknown"), PassedDescriptor(4, "web"))


# A process that is passed descriptors 3 and 4, as systemd does it between fork and exec.
PASS = 'exec 3</dev/null 4</dev/null; [ -z "$FOR_US" ] || export LISTEN_PID=$$; exec "$@"'
TAKE = """
import os, subprocess
from monitord.systemd.environment import ServiceEnvironment, passed_descriptors

service = ServiceEnvironment.take(os.environ, passed_descriptors)
print([(descriptor.number, descriptor.name) for descriptor in service.descriptors], service.descriptors_problem)
print([os.get_inheritable(descriptor.number) for descriptor in service.descriptors])
for environment in subprocess.run(["env"], capture_output=True, text=True).stdout, os.popen("env").read():
    print([line for line in environment.splitlines() if line.startswith("LISTEN_")])
os.system("env | grep ^LISTEN_")  # by the environment of the process, not by os.environ
"""


def take_passed(*, for_us: bool = True, **environ: str) -> list[str]:
    command = ["sh", "-c", PASS, "sh", sys.executable, "-c", TAKE]
    environment = {"PATH": os.environ["PATH"], "FOR_US": "yes" if for_us else "", **environ}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.slow
def test_passed_descriptors_are_returned_and_not_inherited() -> None:
    assert take_passed(LISTEN_FDS="2", LISTEN_FDNAMES="status:web") == [
        "[(3, 'status'), (4, 'web')] None",
        "[False, False]",
        "[]",
        "[]",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environ", "for_us", "taken"),
    [
        pytest.param({"LISTEN_FDS": "1"}, True, "[(3, 'unknown')] None", id="without names"),
        pytest.param({"LISTEN_FDS": "2", "LISTEN_PID": "1"}, False, "[] None", id="for another process"),
        pytest.param({"LISTEN_FDS": "2"}, False, "[] None", id="without a process"),
        pytest.param(
            {"LISTEN_FDS": "2", "LISTEN_FDNAMES": "status"}, True, "[] Invalid argument", id="fewer names"
        ),
        pytest.param({"LISTEN_FDS": "many"}, True, "[] Invalid argument", id="not a number"),
        pytest.param({"LISTEN_FDS": "999"}, True, "[] Bad file descriptor", id="not open"),
    ],
)
def test_descriptors_apply_only_to_their_pid(environ: dict[str, str], for_us: bool, taken: str) -> None:
    assert take_passed(for_us=for_us, **environ)[0] == taken


@pytest.mark.parametrize("value", ["", "9", "9:", ":9", "a:b", "9:9:9"])
def test_malformed_journal_stream_is_absent(value: str) -> None:
    assert ServiceEnvironment.take({"JOURNAL_STREAM": value}).journal_stream is None


@pytest.mark.parametrize("value", ["", "relative", "vsock:2:1234"])
def test_address_that_is_not_a_unix_socket_is_absent(value: str) -> None:
    assert ServiceEnvironment.take({"NOTIFY_SOCKET": value}).notify_socket is None
