"""`monitorctl cluster init` and `monitorctl cluster remove`: work on the database of the cluster, without the daemon.

This needs the code of the daemon, so monitorctl executes this module as another process. The connection string is
never printed, as it may contain a password.
"""

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from monitord.cli.cluster_options import DETAILS, INIT, REMOVE, SUMMARY, add_cluster_options
from monitord.cli.daemon.service_user import drop_privileges_to_service_user
from monitord.cli.exit_status import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK
from monitord.cli.parsing import CommandLineParser
from monitord.clock import Clock, SystemClock
from monitord.cluster.settings import library_problem
from monitord.errors import ClusterError, ConfigError
from monitord.net import Resolver
from monitord.settings import read_settings
from monitord.status.model.cluster import short_version
from monitord.text import counted, plain

if TYPE_CHECKING:
    from monitord.cluster.database import Initialization

EXAMPLE = '--database "host=db1 dbname=monitord user=monitord"'

LARGE_OFFSET_S = 2.0
"""The clocks of host and database should not differ by more."""


def main(arguments: Sequence[str] | None = None, clock: Clock | None = None) -> int:
    parser = CommandLineParser(
        prog="monitorctl cluster", description=f"{SUMMARY}.", epilog=DETAILS, allow_abbrev=False
    )
    add_cluster_options(parser)
    parser.add_argument("--json", action="store_true", help="Print JSON for programs")
    options = parser.parse_args(arguments)
    clock = clock or SystemClock()
    try:
        match options.words:
            case [word] if word == INIT:
                asyncio.run(_initialize(options, clock))
            case [word, node] if word == REMOVE:
                asyncio.run(_remove(options, node, clock))
            case _:
                parser.error("write: cluster, cluster init, or cluster remove NODE")
    except ConfigError as error:
        print(error, file=sys.stderr)
        count = counted(len(error.diagnostics), "error")
        print(f"monitorctl cluster: the configuration is rejected; {count}", file=sys.stderr)
        return EXIT_FAILED
    except ClusterError as error:
        print(f"monitorctl cluster: {plain(str(error))}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return EXIT_OK


def connection_string(options: argparse.Namespace) -> str:
    """Return the connection string of the command line or of the configuration.

    Raises ClusterError without one, and ConfigError if the configuration is rejected.
    """
    if problem := library_problem():
        raise ClusterError(f"psycopg is missing: {problem}", hint="install the package python3-psycopg")
    config: Path = options.config
    option: str | None = options.database
    if option is not None:
        return option
    # As the service connects: its user must be able to read `passfile` and the certificates.
    settings = read_settings(config, access=drop_privileges_to_service_user(config), is_start=True)
    if settings.cluster is None:
        raise ClusterError(
            f"{config} has no [cluster]",
            hint=f"add [cluster] with database and location, or name the database: {EXAMPLE}",
        )
    if settings.cluster.hub is not None:
        raise ClusterError(
            f"{config} makes this host an agent, which has no access to the database",
            hint="run the command on a node with `database` in [cluster]",
        )
    database = settings.cluster.database.reveal()
    if not database:
        raise ClusterError(
            f"`database` in {config} is from a source that only the service can read",
            hint=f"name the database: {EXAMPLE}, with the password in ~/.pgpass",
        )
    return database


async def _initialize(options: argparse.Namespace, clock: Clock) -> None:
    conninfo = connection_string(options)
    from monitord.cluster.database import initialize  # noqa: PLC0415 - psycopg may be missing

    done = await initialize(conninfo, clock, Resolver())
    if options.json:
        print(json.dumps(asdict(done), indent=2))
    else:
        print("\n".join(initialization_lines(done)))


def initialization_lines(done: "Initialization") -> list[str]:
    """Return the result for people."""
    if not done.version_before:
        first = f"created the tables, version {done.version}"
    elif done.version_before < done.version:
        first = f"migrated the tables from version {done.version_before} to {done.version}"
    else:
        first = f"the tables are up to date, version {done.version}"
    lines = [
        first,
        f"server: PostgreSQL {plain(short_version(done.server_version))}",
        f"connection: {'encrypted with TLS' if done.is_encrypted else 'within this host, not encrypted'}",
        f"clock of this host: {abs(done.time_offset_s):.3f} s "
        f"{'behind' if done.time_offset_s < 0 else 'ahead of'} that of the database",
    ]
    if done.warning is not None:
        lines.append(f"warning: {plain(done.warning)}")
    if abs(done.time_offset_s) > LARGE_OFFSET_S:
        lines.append(
            "warning: the clocks differ; set both by NTP, and check them with timedatectl: "
            "times in notifications and incidents are those of the nodes"
        )
    return lines


async def _remove(options: argparse.Namespace, name: str, clock: Clock) -> None:
    conninfo = connection_string(options)
    from monitord.cluster.database import ClusterDatabase  # noqa: PLC0415 - psycopg may be missing

    database = ClusterDatabase(conninfo, clock, Resolver())
    try:
        before = (await database.overview()).membership
        node = next((node for node in before.nodes if node.name == name), None)
        if node is None:
            names = ", ".join(sorted(known.name for known in before.nodes)) or "none"
            raise ClusterError(f"no node has the name {name!r}", hint=f"known nodes: {names}")
        if node.is_live:
            raise ClusterError(
                f"{name} is live: its last heartbeat was {node.seen_ago_s:.0f} s ago",
                hint=f"remove [cluster] from the configuration of {name} and restart monitord there, or stop it with "
                "systemctl stop monitord.socket monitord.service",
            )
        await database.remove_node(name)
        after = (await database.overview()).membership
    finally:
        await database.close()
    is_last = node.location not in {other.location for other in after.nodes}
    if options.json:
        print(json.dumps({"node": name, "location": node.location, "is_location_removed": is_last}, indent=2))
        return
    location = plain(node.location)
    print(f"removed {plain(name)}" + (f", the last node of location {location}" if is_last else ""))


if __name__ == "__main__":
    # The outcome is printed: no log messages.
    logging.disable(logging.CRITICAL)
    sys.exit(main())
