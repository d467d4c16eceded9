"""`monitorctl cluster`: the nodes and locations, as the daemon of this host sees them."""

import argparse
from collections.abc import Iterator
from http import HTTPStatus

from monitord.cli.client.connection import API, HTTPStatusError
from monitord.cli.client.requests import client_of, print_json
from monitord.cli.cluster_options import DETAILS, SUMMARY, add_cluster_options
from monitord.cli.command import Command
from monitord.cli.commands.daemon import execute
from monitord.cli.exit_status import EXIT_FAILED, EXIT_OK
from monitord.cli.output.tables import connection_problems, table
from monitord.cli.output.terminal import max_columns
from monitord.cli.output.wording import local_with_zone, short_time
from monitord.errors import ControlError
from monitord.explanation import configuration_differences_text, users_of_location
from monitord.model import Json
from monitord.text import counted, joined, plain
from monitord.units import approximate_duration

LARGE_OFFSET_S = 2.0
MAX_DECISION_LAG_S = 30.0
"""The clocks of nodes and database should not differ by more."""


def _run(options: argparse.Namespace) -> int:
    if options.words:
        arguments = [*options.words, "--config", str(options.config)]
        arguments += [] if options.database is None else ["--database", options.database]
        execute("-m", "monitord.cli.cluster", *arguments, *(["--json"] if options.json else []))
    client = client_of(options)
    try:
        cluster = client.get(f"{API}/cluster")
    except HTTPStatusError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        raise ControlError(
            "this host is not a node of a cluster",
            hint="add [cluster] to the configuration; see monitord.toml(5)",
        ) from None
    problems = list(cluster_problems(cluster))
    if options.json:
        print_json(cluster)
    else:
        print("\n".join(cluster_lines(cluster, max_columns=max_columns())))
    return EXIT_FAILED if problems else EXIT_OK


def cluster_lines(cluster: Json, *, max_columns: int | None) -> list[str]:
    nodes = cluster["nodes"]
    live = [node for node in nodes if node["status"] == "live"]
    locations = [location for location in cluster["locations"] if location["is_live"]]
    database = cluster["database"]
    version = database["server_version"]
    server = "" if version is None else f" (PostgreSQL {plain(version)})"
    parts = ["connected" if database["is_available"] else "not connected"]
    if database["is_available"] and database["latency_s"] is not None:
        parts.append(f"a heartbeat takes {short_time(database['latency_s'])}")
    if database["is_available"] and database["queued_notifications"] is not None:
        parts.append(f"{counted(database['queued_notifications'], 'notification')} queued")
    tables = [
        "",
        *node_table(nodes, max_columns=max_columns),
        "",
        *location_table(cluster["locations"], max_columns=max_columns),
    ]
    return [
        f"node {plain(cluster['node'])} at {plain(cluster['location'])}: "
        f"{len(live)} of {counted(len(nodes), 'node')} and {len(locations)} of "
        f"{counted(len(cluster['locations']), 'location')} live, "
        f"{counted(cluster['shared_monitors'], 'shared monitor')}",
        *cluster_problems(cluster),
        *(tables if nodes else []),
        "",
        *(_agent(cluster["agent"]) if cluster["agent"] else [f"database{server}: {', '.join(parts)}"]),
        *_reports(cluster),
    ]


def cluster_problems(cluster: Json) -> Iterator[str]:
    """Yield a line for each problem."""
    database, nodes = cluster["database"], cluster["nodes"]
    yield from connection_problems(
        database["error"],
        database["unavailable_since"],
        cluster["alone_since"],
        is_connected=database["is_available"],
        is_agent=cluster["agent"] is not None,
    )
    if nodes and not database["is_available"]:
        yield "the nodes and votes are shown as they were at the last connection"
    yield from _node_problems(nodes)
    for unknown in cluster["unknown_locations"]:
        users = users_of_location(unknown["first_monitors"], unknown["monitors"], unknown["notifiers"])
        yield f"no node is at the location {plain(unknown['name'])} in `locations` of {plain(users)}"


def _node_problems(nodes: list[Json]) -> Iterator[str]:
    for node in nodes:
        name = plain(node["name"])
        if node["status"] == "not_responding":
            age = approximate_duration(node["heartbeat_age_s"])
            yield (
                f"{name} has sent no heartbeat for {age}; if it has been shut down permanently: "
                f"monitorctl cluster remove {name}"
            )
        if abs(node["clock_offset_s"]) > LARGE_OFFSET_S:
            yield f"{name}: its clock differs by {node['clock_offset_s']:+.1f} s from that of the database"
        if node["status"] == "live" and node["decision_lag_s"] > MAX_DECISION_LAG_S:
            age = approximate_duration(node["decision_lag_s"])
            yield f"{name} has not compared the votes with its decisions for {age}: see its journal"
        if node["is_isolated"]:
            yield f"{name} is isolated: nearly all of its network checks fail"
        if node["configuration_differences"] is not None:
            differences = plain(configuration_differences_text(node["configuration_differences"]))
            yield f"the configuration of {name} differs from that of this node: {differences}"
    different = [
        plain(node["name"])
        for node in nodes
        if node["is_configuration_equal"] is False and node["configuration_differences"] is None
    ]
    if different:
        yield f"the monitors, routes or notifiers of {joined(different)} differ from those of this node"
    versions = sorted({plain(node["version"]) for node in nodes if node["status"] != "not_responding"})
    if len(versions) > 1:
        yield f"the nodes have several versions: {', '.join(versions)}"


def node_table(nodes: list[Json], *, max_columns: int | None) -> list[str]:
    head = (
        "NODE",
        "LOCATION",
        "ROLE",
        "STATUS",
        "HEARTBEAT",
        "CHECKS",
        "SHARE",
        "LATENESS",
        "CLOCK",
        "CONFIG",
        "VERSION",
    )
    rows = [
        (
            node["name"] + ("*" if node["is_this_node"] else ""),
            node["location"],
            node["role"],
            node["status"].replace("_", " "),
            f"{approximate_duration(node['heartbeat_age_s'])} ago",
            str(node["checked_monitors"]),
            "-" if node["share_of_location"] is None else f"{node['share_of_location'] * 100:.0f} %",
            short_time(node["lateness_s"]),
            # Adding 0.0 makes the negative zero positive.
            f"{round(node['clock_offset_s'], 3) + 0.0:+.3f} s",
            node["configuration"][:8],
            node["version"],
        )
        for node in nodes
    ]
    return table(
        head, rows, max_columns=max_columns, colour=False, optional=(9, 7, 8, 6, 5), min_last=len("VERSION")
    )


def location_table(locations: list[Json], *, max_columns: int | None) -> list[str]:
    head = ("LOCATION", "LIVE", "VOTES")
    rows = [
        (
            location["name"],
            "yes" if location["is_live"] else "no",
            ", ".join(f"{count} {state}" for state, count in sorted(location["votes"].items())) or "-",
        )
        for location in locations
    ]
    return table(head, rows, max_columns=max_columns, colour=False)


def _agent(agent: Json) -> list[str]:
    """Return the hubs of an agent, and its reports."""
    acknowledged = (
        "no report acknowledged yet"
        if agent["acknowledged_at"] is None
        else f"report {agent['acknowledged']} acknowledged at {local_with_zone(agent['acknowledged_at'])}"
    )
    return [
        f"agent: {acknowledged}, {counted(agent['spooled_votes'], 'vote')} and "
        f"{counted(agent['spooled_heartbeats'], 'heartbeat')} spooled",
        *(
            f"hub {plain(hub['url'])}{' (current)' if hub['is_current'] else ''}: "
            + (
                "available"
                if hub["error"] is None and hub["is_current"]
                else plain(hub["error"] or "not used")
            )
            for hub in agent["hubs"]
        ),
    ]


def _reports(cluster: Json) -> list[str]:
    """Return a line about the reports that this node has received as a hub."""
    reports = cluster["reports"]
    if not any(reports.values()):
        return []
    return [
        f"reports of agents to this node: {reports['stored']} stored, {reports['repeated']} repeated, "
        f"{reports['rejected']} rejected"
    ]


CLUSTER = Command("cluster", SUMMARY, _run, add_cluster_options, has_json_option=True, details=DETAILS)
