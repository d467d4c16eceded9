"""A cluster of two booted machines on PostgreSQL of Debian, set up as in the guide (several-hosts.md).

mon1, which also has the database and the monitored site, and mon2 are connected by a network of their own.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.bed import Machine, connect, eventually
from tests.system.conftest import copy_in
from tests.system.installed import WITHOUT_HOST, Installed
from tests.system.packages import next_version
from tests.system.sink import Sink

# Longer than the database may take to respond on a busy machine.
ALONE_AFTER = "20s"
OUTAGE_S = float(os.environ.get("MONITORD_DATABASE_OUTAGE_S", "0"))
"""The shortest time for which the database is stopped. In any case it is stopped until both nodes have notified."""
# The nodes wait for each other, for the database and for `alone_after`; only a failure takes this long.
WITHIN_S = 240

ADDRESSES = {"mon1": "192.0.2.10", "mon2": "192.0.2.22"}
HOSTS = "127.0.0.1 localhost\n192.0.2.10 mon1 db1.example.org shop.example.org\n192.0.2.22 mon2\n"
PASSWORD = "tulip-tulip"
# An outage of its own for each part of the tests.
SITES = ("shop", "blog", "forum", "wiki", "mail", "news", "tickets", "files")

UNDELIVERED = "SELECT count(*) FROM monitord.notification WHERE finished_at IS NULL"

DATABASE = f"""\
setsid --wait setpriv --reuid=postgres --regid=postgres --init-groups createuser --pwprompt monitord <<END
{PASSWORD}
{PASSWORD}
END
setpriv --reuid=postgres --regid=postgres --init-groups createdb --owner=monitord monitord
install -d -o postgres -m 0700 /etc/postgresql/tls
cd /etc/postgresql/tls
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 30 -subj /CN=db1.example.org \
    -addext subjectAltName=DNS:db1.example.org -keyout db1.key -out db1.pem 2>/dev/null
chown postgres db1.key
cd /etc/postgresql/*/main
cat >conf.d/monitord.conf <<END
listen_addresses = 'localhost, {ADDRESSES["mon1"]}'
ssl = on
ssl_cert_file = '/etc/postgresql/tls/db1.pem'
ssl_key_file = '/etc/postgresql/tls/db1.key'
END
cat >>pg_hba.conf <<END
hostssl monitord monitord {ADDRESSES["mon1"]}/32 scram-sha-256
hostssl monitord monitord {ADDRESSES["mon2"]}/32 scram-sha-256
END
systemctl restart postgresql
"""

CONFIGURATION = """
[cluster]
database = "host=db1.example.org dbname=monitord user=monitord passfile=/etc/monitord/pgpass \
    sslmode=verify-full sslrootcert=/etc/monitord/db-ca.pem"
location = "LOCATION"
alone_after = "ALONE_AFTER"

[notifiers.ops]
type = "webhook"
url = "http://shop.example.org:9911/"
group_wait = "0s"
""" + "".join(
    f"""
[monitors.{site}]
url = "http://shop.example.org:8080/{site}"
check_every = "5s"
retry_every = "1s"
"""
    for site in SITES
)

LATER_MIGRATION = """
SCHEMA_VERSION += 1
MIGRATIONS = (*MIGRATIONS, ("ALTER TABLE node ADD COLUMN kernel text NOT NULL DEFAULT ''",))
"""


class Node(Installed):
    """The service of one machine as a node of the cluster."""

    def __init__(self, machine: Machine, name: str) -> None:
        super().__init__(machine)
        self.name = name

    def configure_at(self, location: str, alone_after: str = ALONE_AFTER) -> None:
        self.configure(CONFIGURATION.replace("LOCATION", location).replace("ALONE_AFTER", alone_after))

    def cluster(self) -> Any:
        return self.get("/api/v1/cluster")

    def state_of(self, site: str) -> str:
        state: str = self.get(f"/monitors/{site}")["state"]
        return state

    def is_alone(self) -> bool:
        return self.cluster()["alone_since"] is not None

    def is_complete(self, locations: set[str]) -> bool:
        """Whether this node sees both nodes live, at these locations, and decides."""
        cluster = self.cluster()
        return (
            cluster["is_settled"]
            and cluster["alone_since"] is None
            and [node["status"] for node in cluster["nodes"]] == ["live", "live"]
            and {node["location"] for node in cluster["nodes"]} == locations
        )


class Cluster:
    """Both nodes, the site that they monitor, and the receiver of their notifications."""

    def __init__(self, mon1: Node, mon2: Node, sink: Sink) -> None:
        self.mon1 = mon1
        self.mon2 = mon2
        self.nodes = (mon1, mon2)
        self.sink = sink

    def fail(self, site: str) -> None:
        self.mon1.machine.run("rm", f"/srv/site/{site}")

    def restore(self, site: str) -> None:
        self.mon1.machine.run("touch", f"/srv/site/{site}")

    def await_state(self, site: str, state: str) -> None:
        for node in self.nodes:
            eventually(lambda node=node: node.state_of(site) == state, within_s=WITHIN_S)  # type: ignore[misc]

    def await_complete(self, *locations: str) -> None:
        for node in self.nodes:
            eventually(lambda node=node: node.is_complete(set(locations)), within_s=WITHIN_S)  # type: ignore[misc]

    def kinds(self, site: str) -> list[str]:
        return [each["kind"] for each in self.sink.notifications() if each["monitor"] == site]

    def alerts(self) -> list[list[str]]:
        """Return monitor and kind of the received notifications by alert, in the order in which they were received."""
        alerts: dict[str, list[str]] = {}
        for each in self.sink.notifications():
            alerts.setdefault(each["alert"], []).append(f"{each['monitor']} {each['kind']}")
        return sorted(alerts.values())

    def await_alerts(self, *expected: list[str]) -> None:
        """Wait until these notifications were received and the database has no other. Fails if others were received."""
        count = sum(map(len, expected))
        eventually(lambda: len(self.sink.notifications()) >= count, within_s=WITHIN_S)
        eventually(lambda: self.database(UNDELIVERED) == "0", within_s=WITHIN_S)
        assert self.alerts() == sorted(expected)

    def database(self, query: str) -> str:
        as_postgres = ("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups")
        words = ("psql", "--no-align", "--tuples-only", f"--command={query}", "monitord")
        return self.mon1.machine.run(*as_postgres, *words).stdout.strip()


@pytest.fixture(scope="module")
def machines(suite: str, ready_root: Path, deb: Path) -> Iterator[tuple[Machine, Machine]]:
    """Two connected machines with the package, which share a root."""
    with Machine(ready_root, suite, "mon1") as mon1, Machine(ready_root, suite, "mon2") as mon2:
        connect(mon1, ADDRESSES["mon1"], mon2, ADDRESSES["mon2"])
        for machine in (mon1, mon2):
            copy_in(deb, machine.root)
        yield mon1, mon2


@pytest.fixture(scope="module")
def prepared(machines: tuple[Machine, Machine]) -> tuple[Node, Node]:
    """The database and two nodes at different locations; the tables are created from the first node."""
    mon1, mon2 = nodes = [Node(machine, name) for machine, name in zip(machines, ADDRESSES, strict=True)]
    for node in nodes:
        node.machine.write("/etc/hosts", HOSTS)
        node.machine.write("/etc/hostname", f"{node.name}\n")
        node.machine.run("hostname", node.name)
        node.machine.shell("apt-get --yes install /root/monitord_*.deb python3-psycopg")
    mon1.machine.shell("apt-get --yes --no-install-recommends install postgresql")
    mon1.machine.shell(DATABASE)
    authority = (mon1.machine.root / "etc/postgresql/tls/db1.pem").read_text()
    for node, location in ((mon1, "fra"), (mon2, "hel")):
        node.machine.write(WITHOUT_HOST, '[auto]\nignore = ["host:*", "unit:*"]\n')
        node.configure_at(location)
        node.machine.write("/etc/monitord/db-ca.pem", authority)
        node.machine.write("/root/pgpass", f"db1.example.org:5432:monitord:monitord:{PASSWORD}\n")
        node.machine.shell(
            "chgrp monitord /etc/monitord && chmod 0750 /etc/monitord"
            " && install -o monitord -g monitord -m 0600 /root/pgpass /etc/monitord/pgpass"
            " && monitorctl check-config"
        )
    mon1.machine.shell(f"mkdir /srv/site && cd /srv/site && touch {' '.join(SITES)}")
    mon1.machine.run(
        *("systemd-run", "--unit=site", "--quiet", "--working-directory=/srv/site"),
        *("python3", "-m", "http.server", "--bind", ADDRESSES["mon1"], "8080"),
    )
    Sink(mon1.machine).start()
    assert "created the tables" in mon1.machine.run("monitorctl", "cluster", "init").stdout
    for node in nodes:
        node.systemctl("restart", "monitord")
    return mon1, mon2


@pytest.fixture
def cluster(prepared: tuple[Node, Node]) -> Iterator[Cluster]:
    """The nodes, with all sites up. No notification was received."""
    cluster = Cluster(*prepared, Sink(prepared[0].machine))
    # A failed test may have left something.
    cluster.mon1.systemctl("start", "postgresql")
    for site in SITES:
        cluster.restore(site)
        cluster.await_state(site, "up")
    cluster.await_complete(*{node.cluster()["location"] for node in cluster.nodes})
    cluster.sink.forget()
    yield cluster
    for node in cluster.nodes:
        messages = [str(entry["MESSAGE"]) for entry in node.machine.journal("--unit=monitord")]
        assert not [message for message in messages if "Traceback" in message]
        assert node.restarts == 0


def test_both_nodes_show_the_cluster(cluster: Cluster) -> None:
    for node in cluster.nodes:
        shown = node.machine.run("monitorctl", "cluster")
        for name in ADDRESSES:
            assert name in shown.stdout


def test_outage_and_recovery_cause_one_notification_each(cluster: Cluster) -> None:
    cluster.fail("shop")
    cluster.await_state("shop", "down")
    cluster.await_alerts(["shop problem"])
    cluster.restore("shop")
    cluster.await_state("shop", "up")
    cluster.await_alerts(["shop problem", "shop recovery"])


def test_nodes_notify_alone_without_the_database_and_close_each_alert_once(cluster: Cluster) -> None:
    cluster.fail("blog")
    cluster.await_state("blog", "down")
    cluster.await_alerts(["blog problem"])
    cluster.mon1.systemctl("stop", "postgresql")
    stopped_s = time.monotonic()
    for node in cluster.nodes:
        eventually(node.is_alone, within_s=WITHIN_S)
    cluster.fail("forum")
    cluster.await_state("forum", "down")
    # Each location notifies: about the same alert if it began in the same second, otherwise about its own.
    eventually(lambda: cluster.kinds("forum") == ["problem", "problem"], within_s=WITHIN_S)
    eventually(lambda: time.monotonic() - stopped_s >= OUTAGE_S, within_s=OUTAGE_S + 1)
    cluster.mon1.systemctl("start", "postgresql")
    cluster.await_complete("fra", "hel")
    opened = [alert for alert in cluster.alerts() if alert[0].startswith("forum")]
    assert cluster.kinds("forum") == ["problem", "problem"]
    cluster.restore("blog")
    cluster.restore("forum")
    for site in ("blog", "forum"):
        cluster.await_state(site, "up")
    cluster.await_alerts(["blog problem", "blog recovery"], *([*alert, "forum recovery"] for alert in opened))


def test_upgrade_of_a_node_during_an_outage_loses_and_repeats_no_notification(
    cluster: Cluster, deb: Path
) -> None:
    become_a_pair(cluster)
    mon1, mon2 = cluster.nodes
    cluster.fail("wiki")
    cluster.await_state("wiki", "down")
    cluster.await_alerts(["wiki problem"])
    newer = next_version(deb, mon1.machine.root / "root")
    # Both nodes check some of them.
    cluster.fail("mail")
    cluster.fail("news")
    mon1.machine.run("apt-get", "--yes", "install", f"/root/{newer.name}")
    for site in ("mail", "news"):
        cluster.await_state(site, "down")
    cluster.await_complete("fra")
    assert len({node["version"] for node in mon2.cluster()["nodes"]}) == 2
    for site in ("wiki", "mail", "news"):
        cluster.restore(site)
        cluster.await_state(site, "up")
    cluster.await_alerts(*([f"{site} problem", f"{site} recovery"] for site in ("wiki", "mail", "news")))


def test_older_node_works_with_the_tables_of_a_newer_release(cluster: Cluster, deb: Path) -> None:
    become_a_pair(cluster)
    mon1, mon2 = cluster.nodes
    cluster.fail("tickets")
    cluster.await_state("tickets", "down")
    newer = next_version(deb, mon2.machine.root / "root", {"cluster/database/schema.py": LATER_MIGRATION})
    mon2.machine.run("apt-get", "--yes", "install", f"/root/{newer.name}")
    # The newer node does not take part before the migration, and the other node continues.
    eventually(
        lambda: "run monitorctl cluster init" in mon2.cluster()["database"]["error"], within_s=WITHIN_S
    )
    cluster.fail("files")
    eventually(lambda: mon1.state_of("files") == "down", within_s=WITHIN_S)
    cluster.await_alerts(["files problem"], ["tickets problem"])
    assert "migrated the tables from version" in mon2.machine.run("monitorctl", "cluster", "init").stdout
    cluster.await_complete("fra")
    for site in ("tickets", "files"):
        cluster.restore(site)
        cluster.await_state(site, "up")
    cluster.await_alerts(*([f"{site} problem", f"{site} recovery"] for site in ("tickets", "files")))


def become_a_pair(cluster: Cluster) -> None:
    """Move the second node to the location of the first. It does not become alone while its tables are migrated."""
    if cluster.mon2.cluster()["location"] != "fra":
        cluster.mon2.configure_at("fra", alone_after="1h")
        cluster.mon2.systemctl("restart", "monitord")
    cluster.await_complete("fra")
