"""The section [cluster], and the keys of monitors and notifiers that need it."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from monitord.application import ApplicationContainer
from monitord.cluster.settings import ClusterSettings, HubSettings
from monitord.config import ConfigAccess, Secret
from monitord.dispatch import LocalPlacement
from monitord.model import Quorum
from monitord.monitors import MONITOR_TYPES, MonitorSettings
from monitord.net import TlsOptions
from monitord.settings import Settings, read_settings
from tests.configurations import errors_of, settings_of
from tests.fakes import run_in_fake_time
from tests.worlds import World

ROOT = Path(__file__).parents[2]
TOKEN = "a-token-of-the-agents"
CLUSTER = '[cluster]\ndatabase = "host=db1,db2"\nlocation = "fra"\n'
URL = 'url = "http://a.test/"\n'


def read_cluster(tmp_path: Path, keys: str, environment: Mapping[str, str] | None = None) -> ClusterSettings:
    config = tmp_path / "monitord.toml"
    config.write_text(f"[cluster]\n{keys}")
    cluster = read_settings(config, environment=environment).cluster
    assert cluster is not None
    return cluster


def test_every_key_is_read(tmp_path: Path) -> None:
    keys = 'database = "host=db1"\nlocation = "Frankfurt am Main"\nnode = "mon1"\nalone_after = "2m"\n'
    assert read_cluster(tmp_path, keys) == ClusterSettings(
        Secret("host=db1"), "Frankfurt am Main", "mon1", 120.0
    )


def test_keys_of_an_agent_are_read(tmp_path: Path) -> None:
    ca_file = "/etc/ssl/certs/ca-certificates.crt"
    hubs = ("https://mon1", "http://localhost:9120", "http+unix://%2Frun%2Fhub.sock/", "https://mon2:8443/")
    keys = f'hub = {list(hubs)}\ntoken = "{TOKEN}"\nlocation = "branch"\nnode = "b1"\nca_file = "{ca_file}"\n'
    assert read_cluster(tmp_path, keys) == ClusterSettings(
        Secret(""), "branch", "b1", 60.0, HubSettings(hubs, Secret(TOKEN), TlsOptions(ca_file=ca_file))
    )
    one = read_cluster(tmp_path, f'hub = "https://mon1"\ntoken = "{TOKEN}"\nlocation = "branch"\n').hub
    assert one == HubSettings(("https://mon1",), Secret(TOKEN))


@pytest.mark.parametrize(
    ("keys", "error"),
    [
        (
            'hub = "http://mon1:9120"',
            'hub: "http://mon1:9120" is not encrypted; write https://mon1:9120: http is permitted on this host only',
        ),
        (
            'hub = "https://kim:secret@mon1"',
            "has a user or a password; write the token of the hub in `token`",
        ),
        (
            'hub = "https://mon1/api?x=1"',
            'hub: "https://mon1/…" has a path or a query; write only the address, such as "https://mon1"',
        ),
        ('hub = "mon1"', 'hub: "mon1" is not an HTTP URL; write "https://host/path"'),
        ("hub = []", 'hub: is empty; write the address of a node with `database`, such as "https://mon1"'),
        (
            'hub = "https://mon1"\ndatabase = "host=db1"',
            "database: cannot be combined with hub; remove it: an agent reports to nodes with a database",
        ),
        ('hub = "https://mon1"\nca_file = "ca.pem"', 'ca_file: "ca.pem" is not an absolute path'),
    ],
)
def test_invalid_key_of_an_agent_has_an_error_with_a_fix(tmp_path: Path, keys: str, error: str) -> None:
    errors = errors_of(tmp_path, f'[cluster]\n{keys}\ntoken = "{TOKEN}"\nlocation = "branch"\n')
    assert len(errors) == 1
    assert error in errors[0]


def test_keys_of_an_agent_need_each_other(tmp_path: Path) -> None:
    assert errors_of(tmp_path, '[cluster]\nhub = "https://mon1"\nlocation = "branch"\n') == [
        'monitord.toml:1: cluster.token: missing; add token = { credential = "…" }'
    ]
    assert errors_of(tmp_path, f'{CLUSTER}token = "{TOKEN}"\n') == [
        'monitord.toml:4: cluster.token: has no effect without hub; write hub = ["https://…"], or remove it'
    ]


def test_agent_imports_no_library_of_the_database(tmp_path: Path) -> None:
    config = tmp_path / "monitord.toml"
    config.write_text(f'[cluster]\nhub = "https://mon1"\ntoken = "{TOKEN}"\nlocation = "branch"\n')
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from monitord.application import ApplicationContainer\n"
        "from monitord.settings import read_settings\n"
        f"container = ApplicationContainer(read_settings(Path({str(config)!r})), environ={{}})\n"
        "container.control, container.cluster_node, container.status_application\n"
        "print([name for name in sys.modules if name.startswith(('monitord.cluster.database', 'psycopg'))])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_defaults_are_the_host_name_and_a_minute(tmp_path: Path) -> None:
    cluster = settings_of(tmp_path, CLUSTER).cluster
    assert cluster == ClusterSettings(Secret("host=db1,db2"), "fra", socket.gethostname(), 60.0)
    assert "db1" not in repr(cluster)


def test_host_name_that_cannot_be_used_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "a" * 101)
    (error,) = errors_of(tmp_path, CLUSTER)
    assert "node" in error
    assert 'write node = "mon1"' in error
    assert read_cluster(tmp_path, 'database = "host=db1"\nlocation = "fra"\nnode = "mon1"\n').node == "mon1"


def test_values_are_read_from_credential_file_and_environment(tmp_path: Path) -> None:
    (tmp_path / "cluster-db").write_text("postgresql://monitord:secret@db1/monitord\n")
    place = tmp_path / "place"
    place.write_text("fra\n")
    keys = (
        'database = { credential = "cluster-db" }\n'
        f'location = {{ file = "{place}" }}\n'
        'node = { env = "NODE_NAME" }\n'
    )
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path), "NODE_NAME": "mon1"}
    assert read_cluster(tmp_path, keys, environment) == ClusterSettings(
        Secret("postgresql://monitord:secret@db1/monitord"), "fra", "mon1", 60.0
    )


def test_unreadable_sources_are_accepted_for_another_user(tmp_path: Path) -> None:
    config = tmp_path / "monitord.toml"
    config.write_text('[cluster]\ndatabase = { credential = "cluster-db" }\nlocation = { env = "PLACE" }\n')
    assert read_settings(config, environment={}, access=ConfigAccess.OTHER_USER).cluster is not None


def test_without_the_section_there_is_no_cluster(tmp_path: Path) -> None:
    assert settings_of(tmp_path, f"[monitors.a]\n{URL}").cluster is None


def test_daemon_without_the_section_does_not_import_the_cluster(tmp_path: Path) -> None:
    config = tmp_path / "monitord.toml"
    config.write_text(f"[monitors.a]\n{URL}")
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from monitord.application import ApplicationContainer\n"
        "from monitord.settings import read_settings\n"
        f"container = ApplicationContainer(read_settings(Path({str(config)!r})), environ={{}})\n"
        "container.control, container.status_application\n"
        "print([name for name in sys.modules if name.startswith(('monitord.cluster', 'psycopg'))])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_broken_section_has_an_error_with_a_fix_for_each_key(tmp_path: Path) -> None:
    keys = 'location = " "\nnode = { credential = 1 }\nalone_after = "9s"\nlocations = ["fra"]\n'
    assert errors_of(tmp_path, f"[cluster]\n{keys}") == [
        'monitord.toml:1: cluster.database: missing; add database = { credential = "…" }',
        'monitord.toml:2: cluster.location: " " is not the name of a location; '
        'write letters, digits, hyphens and spaces, such as "fra"',
        "monitord.toml:3: cluster.node: is not a secret: credential is not a string; "
        'write a string, { credential = "name" }, { file = "/path" } or { env = "NAME" }',
        'monitord.toml:4: cluster.alone_after: "9s" is too small; write at least 10s',
        'monitord.toml:5: cluster.locations: unknown key; did you mean "location"?',
    ]
    assert errors_of(tmp_path, '[cluster]\ndatabase = "host=db"\nlocation = "fra"\nnode = "fra/1"\n') == [
        'monitord.toml:4: cluster.node: "fra/1" is not the name of a location; '
        'write letters, digits, hyphens and spaces, such as "fra"',
    ]
    assert errors_of(tmp_path, '[cluster]\ndatabase = ""\nlocation = {}\n') == [
        'monitord.toml:2: cluster.database: is empty; write a connection string, such as "host=db1 dbname=monitord"',
        "monitord.toml:3: cluster.location: is not a string; "
        'write a string, { credential = "name" }, { file = "/path" } or { env = "NAME" }',
    ]


def test_missing_library_is_an_error_of_the_section(tmp_path: Path) -> None:
    missing = "No module named 'psycopg'"
    (tmp_path / "psycopg.py").write_text(f'raise ModuleNotFoundError("{missing}")\n')
    config = tmp_path / "monitord.toml"
    config.write_text(CLUSTER)
    done = subprocess.run(
        [sys.executable, "-m", "monitord", "--check-config", "--config", str(config)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert (
        f"{config}:1: cluster: needs psycopg: {missing}; install the package python3-psycopg\n" in done.stdout
    )


# Keys of monitors and notifiers


@pytest.mark.parametrize(
    ("written", "expected"),
    [('"majority"', "majority"), ('"any"', "any"), ('"all"', "all"), ("1", 1), ("2", 2)],
)
def test_locations_and_quorum_are_read(tmp_path: Path, written: str, expected: Quorum) -> None:
    keys = f'locations = ["fra", "hel", "fra"]\nquorum = {written}\n'
    (monitor,) = settings_of(tmp_path, f"{CLUSTER}[monitors.a]\n{URL}{keys}").monitors
    assert (monitor.locations, monitor.quorum) == (("fra", "hel"), expected)


def test_monitors_inherit_locations_and_quorum(tmp_path: Path) -> None:
    text = (
        f'{CLUSTER}[defaults]\nlocations = ["hel"]\nquorum = "any"\n'
        f'[monitors.a]\n{URL}[monitors.b]\n{URL}quorum = 1\n[monitors.disk]\ntype = "reboot"\n'
    )
    monitors = settings_of(tmp_path, text).monitors
    assert [(monitor.name, monitor.locations, monitor.quorum) for monitor in monitors] == [
        ("a", ("hel",), "any"),
        ("b", ("hel",), 1),
        ("disk", ("hel",), "any"),  # no error, as the key is not its own
    ]


@pytest.mark.parametrize(
    ("conninfo", "problem"),
    [
        ("host=db dbnme=secret-word", "the connection string of the database is invalid"),
        (
            "host=db1,db2 port=1,2,3",
            "the connection string of the database has different numbers of hosts and ports",
        ),
        ("host=db sslmode=disable", "sslmode=disable permits a connection to db without TLS"),
    ],
    ids=["parameter", "ports", "no TLS"],
)
def test_connection_string_is_checked(tmp_path: Path, conninfo: str, problem: str) -> None:
    (error,) = errors_of(tmp_path, f'[cluster]\ndatabase = "{conninfo}"\nlocation = "fra"\n')
    assert error.startswith(f"monitord.toml:2: cluster.database: {problem}; ")
    assert "secret-word" not in error


def test_keys_of_a_cluster_need_the_section(tmp_path: Path) -> None:
    fix = "has no effect without a cluster; configure [cluster], or remove it"
    text = (
        f'[defaults]\nquorum = "any"\n[monitors.a]\n{URL}locations = ["fra"]\n'
        '[notifiers.ops]\ncommand = ["/bin/true"]\nlocations = ["fra"]\n'
        '[auto.override."unit:*"]\nquorum = "all"\n'
        f'[[discover]]\nname = "n"\ntype = "file"\nfiles = "/a.json"\n[discover.monitor]\n{URL}quorum = 1\n'
    )
    assert errors_of(tmp_path, text) == [
        f"monitord.toml:2: defaults.quorum: {fix}",
        f"monitord.toml:5: monitors.a.locations: {fix}",
        f"monitord.toml:8: notifiers.ops.locations: {fix}",
        f'monitord.toml:10: auto.override."unit:*".quorum: {fix}',
        f"monitord.toml:17: discover[0].monitor.quorum: {fix}",
    ]


@pytest.mark.parametrize(
    ("key", "error"),
    [
        (
            'quorum = "most"',
            'quorum: "most" is not a quorum; write "majority", "any", "all" or a number of locations',
        ),
        ("quorum = 0", "quorum: 0 is too small; write at least 1"),
        ("quorum = true", "quorum: true is not a whole number; write digits without quotes"),
        ("quorum = 1.5", "quorum: 1.5 is not a string; write it in quotes"),
        (
            'locations = ["fra", ""]',
            'locations[1]: "" is not the name of a location; '
            'write letters, digits, hyphens and spaces, such as "fra"',
        ),
        ('locations = "fra"', 'locations: "fra" is not a list; write ["fra"]'),
        (
            'locations = ["fra"]\nquorum = 2',
            "quorum: 2 is more than the number of locations, which is 1; write at most 1, or add locations",
        ),
    ],
)
def test_broken_keys_are_errors_with_a_fix(tmp_path: Path, key: str, error: str) -> None:
    (found,) = errors_of(tmp_path, f"{CLUSTER}[monitors.a]\n{URL}{key}\n")
    assert found.partition("monitors.a.")[2] == error


@pytest.mark.parametrize(
    "keys", [URL.replace("a.test", "127.0.0.1"), 'type = "reboot"\n', 'command = ["/bin/true"]\n']
)
def test_keys_of_a_monitor_of_this_host_have_no_effect(tmp_path: Path, keys: str) -> None:
    (error,) = errors_of(tmp_path, f'{CLUSTER}[monitors.a]\n{keys}quorum = "any"\n')
    assert error.partition("monitors.a.")[2] == (
        "quorum: has no effect, because only this host checks the monitor; "
        "remove it: the nodes of a cluster share only monitors that use the network"
    )


# Which monitors nodes share

SHARED = {
    *("http", "tcp", "tls", "dns", "icmp", "domain", "steps", "websocket", "grpc"),
    *("redis", "postgresql", "mysql", "group", "objective", "cluster", "heartbeat"),
}


def settings_for(tmp_path: Path, keys: str) -> MonitorSettings:
    return settings_of(tmp_path, f"[monitors.m]\n{URL}[monitors.a]\n{keys}\n").monitors[1]


@pytest.mark.parametrize(
    ("keys", "is_bound"),
    [
        ('url = "http://a.test/"', False),
        ('url = "http://127.0.0.1:8080/"', True),
        ('url = "http://localhost/"', True),
        ('url = "http://localhost/"\nproxy = "http://proxy.test:3128"', False),
        ('type = "tcp"\naddress = "a.test:22"', False),
        ('type = "tcp"\naddress = "[::1]:22"', True),
        ('type = "tls"\naddress = "localhost:443"', True),
        ('type = "websocket"\nurl = "ws://localhost/"', True),
        ('type = "grpc"\naddress = "localhost:50051"', True),
        ('type = "redis"\naddress = "localhost"', True),
        ('type = "redis"\naddress = "a.test"', False),
        (
            'steps = [{ name = "a", url = "http://a.test/" }, { name = "b", url = "http://localhost/" }]',
            False,
        ),
        ('steps = [{ name = "b", url = "http://localhost/" }]', True),
        ('type = "icmp"\nhost = "192.0.2.1"', False),
        ('type = "dns"\nname = "a.test"', False),
        ('type = "domain"\ndomain = "example.org"', False),
        ('type = "group"\nmembers = ["m"]', False),
        ('type = "objective"\nmonitors = ["m"]\ntarget = 99', False),
        ('command = ["/bin/true"]', True),
        ('type = "heartbeat"\nevery = "1d"', False),
        ('type = "disk"\npath = "/"', True),
        ('type = "certificate"\nfile = "/a.pem"', True),
    ],
)
def test_monitor_is_bound_to_its_host_unless_its_checks_use_the_network(
    tmp_path: Path, keys: str, is_bound: bool
) -> None:
    async def main() -> None:
        world = World()
        monitor = world.build_monitor(settings_for(tmp_path, keys))
        assert monitor.is_bound_to_host is is_bound
        await monitor.close()
        await world.close()

    run_in_fake_time(main)


@pytest.mark.parametrize("name", MONITOR_TYPES)
def test_type_of_the_host_is_bound_whatever_its_options(name: str) -> None:
    if name not in SHARED:
        assert MONITOR_TYPES[name].belongs_to_host(None)


def test_daemon_without_a_cluster_shares_nothing() -> None:
    async def main() -> None:
        world = World(settings=Settings())
        monitor = world.monitor("web")
        placement = ApplicationContainer.placement._build(world)
        assert isinstance(placement, LocalPlacement)
        assert (placement.is_shared(monitor), placement.is_checked_here("web")) == (False, True)
        await world.close()

    run_in_fake_time(main)
