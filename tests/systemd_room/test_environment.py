from pathlib import Path

import pytest

from monitord.systemd.environment import PassedDescriptor, ServiceEnvironment

PID = 4711


def test_everything_is_read() -> None:
    environ = {
        "NOTIFY_SOCKET": "/run/systemd/notify",
        "WATCHDOG_USEC": "30000000",
        "WATCHDOG_PID": "4711",
        "LISTEN_FDS": "2",
        "LISTEN_PID": "4711",
        "LISTEN_FDNAMES": "status:web",
        "RUNTIME_DIRECTORY": "/run/monitord",
        "STATE_DIRECTORY": "/var/lib/monitord:/var/lib/other",
        "CREDENTIALS_DIRECTORY": "/run/credentials/monitord.service",
        "JOURNAL_STREAM": "9:12345",
        "INVOCATION_ID": "0" * 32,
    }
    assert ServiceEnvironment.take(environ, pid=PID) == ServiceEnvironment(
        notify_socket="/run/systemd/notify",
        watchdog_s=30.0,
        descriptors=(PassedDescriptor(3, "status"), PassedDescriptor(4, "web")),
        runtime_directory=Path("/run/monitord"),
        state_directory=Path("/var/lib/monitord"),
        credentials_directory=Path("/run/credentials/monitord.service"),
        journal_stream=(9, 12345),
        invocation_id="0" * 32,
    )


def test_what_is_meant_for_this_process_is_not_left_to_children() -> None:
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


def test_a_shell_passes_nothing() -> None:
    assert ServiceEnvironment.take({"PATH": "/usr/bin"}) == ServiceEnvironment()


@pytest.mark.parametrize(
    ("environ", "watchdog_s"),
    [
        pytest.param({"WATCHDOG_USEC": "500000"}, 0.5, id="for whoever reads it"),
        pytest.param({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "4711"}, 0.5, id="for us"),
        pytest.param({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "4712"}, None, id="for our parent"),
        pytest.param({"WATCHDOG_USEC": "0"}, None, id="none"),
        pytest.param({"WATCHDOG_USEC": "soon"}, None, id="not a number"),
        pytest.param({"WATCHDOG_USEC": "-5"}, None, id="negative"),
        pytest.param({"WATCHDOG_PID": "4711"}, None, id="without an interval"),
    ],
)
def test_the_watchdog_is_ours_only_if_we_are_meant(environ: dict[str, str], watchdog_s: float | None) -> None:
    assert ServiceEnvironment.take(environ, pid=PID).watchdog_s == watchdog_s


@pytest.mark.parametrize(
    ("environ", "names"),
    [
        pytest.param({"LISTEN_FDS": "1", "LISTEN_PID": "4711"}, ["unknown"], id="without names"),
        pytest.param(
            {"LISTEN_FDS": "2", "LISTEN_PID": "4711", "LISTEN_FDNAMES": "status"},
            ["status", "unknown"],
            id="fewer names",
        ),
        pytest.param(
            {"LISTEN_FDS": "1", "LISTEN_PID": "4711", "LISTEN_FDNAMES": "status:web"},
            ["status"],
            id="more names",
        ),
        pytest.param({"LISTEN_FDS": "1", "LISTEN_PID": "4712"}, [], id="for another process"),
        pytest.param({"LISTEN_FDS": "1"}, [], id="for nobody"),
        pytest.param({"LISTEN_FDS": "many", "LISTEN_PID": "4711"}, [], id="not a number"),
        pytest.param({"LISTEN_FDS": "999999999", "LISTEN_PID": "4711"}, [], id="beyond reason"),
    ],
)
def test_descriptors_are_ours_only_if_we_are_meant(environ: dict[str, str], names: list[str]) -> None:
    descriptors = ServiceEnvironment.take(environ, pid=PID).descriptors
    assert [descriptor.name for descriptor in descriptors] == names
    assert [descriptor.number for descriptor in descriptors] == [3 + index for index in range(len(names))]


@pytest.mark.parametrize("value", ["", "9", "9:", ":9", "a:b", "9:9:9"])
def test_a_malformed_journal_stream_is_none(value: str) -> None:
    assert ServiceEnvironment.take({"JOURNAL_STREAM": value}).journal_stream is None


@pytest.mark.parametrize("value", ["", "relative", "vsock:2:1234"])
def test_an_address_that_is_no_local_socket_is_none(value: str) -> None:
    assert ServiceEnvironment.take({"NOTIFY_SOCKET": value}).notify_socket is None
