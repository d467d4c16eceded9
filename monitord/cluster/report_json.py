"""The reports of agents and the answers of hubs as JSON: `POST /api/v1/reports`.

Reports come from other hosts, so each value is checked, and the errors have a correction. Answers come from a
hub that the agent has authenticated; only their form is checked.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from monitord.alerts.lifecycle import Alert, alert_from_record, alert_record
from monitord.cluster.model import (
    AgentReport,
    Changes,
    ClusterDecision,
    HostMonitor,
    Intervention,
    InterventionKind,
    Membership,
    Node,
    Role,
    SharedHeartbeat,
    Vote,
)
from monitord.config import check_location
from monitord.errors import InvalidValueError, problem_and_hint
from monitord.model import Json, Reason, State
from monitord.monitors.heartbeat.record import (
    MAX_EXIT_STATUS,
    MAX_MESSAGE_BYTES,
    MAX_RUN_ID_CHARACTERS,
    HeartbeatSignal,
)
from monitord.monitors.heartbeat.shared import MAX_SIGNALS, HeartbeatFacts, ReceivedSignal
from monitord.text import plain, printable, readable_lines

MAX_ITEMS = 500
"""Votes, monitors of the host, or heartbeat monitors, in a report."""
MAX_ITEMS_BYTES = 256 * 1024
"""An agent divides a longer queue among several reports. A hub accepts reports of up to 1 MiB."""
MAX_ALERTS = 100
MAX_HOST_NAMES = 5000
MAX_TAGS = 1000
MAX_NUMBER = 2**53 - 1
"""The largest integer that every JSON implementation represents exactly."""
YEARS = range(1970, 9999)
"""Of the times in a report. They exist in every time zone."""
MAX_RUN_CHARACTERS = 64
MAX_TEXT_CHARACTERS = 1000
MAX_MONITOR_CHARACTERS = 500
MAX_CHECKED_MONITORS = 10_000_000

T = TypeVar("T")
Alerts = Mapping[str, Mapping[str, Any] | None]


@dataclass(frozen=True, slots=True)
class FeedPosition:
    """The last change that an agent has received from a hub. `hub`: the run of that hub."""

    hub: str
    number: int


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """A report as it was received. `alerts`: changed by the agent in alone mode, to be merged."""

    report: AgentReport
    position: FeedPosition | None = None
    alerts: Alerts | None = None


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Changes that an agent has not received yet, up to `position`. There are more unless it `is_last`."""

    position: FeedPosition
    changes: Changes = Changes()  # noqa: RUF009 - frozen
    is_last: bool = True


@dataclass(frozen=True, slots=True)
class ReportAnswer:
    """The answer of a hub after the report is stored. `alerts`: the results of the merge."""

    acknowledged: int
    membership: Membership
    page: FeedPage
    alerts: Alerts | None = None


# -- reports ----------------------------------------------------------------------------------------------


def encoded_vote(vote: Vote) -> str:
    """Return a vote in a report, without location and node, which are those of the report."""
    values = vote_record(vote)
    return json.dumps({key: value for key, value in values.items() if key not in {"location", "node"}})


def encoded_host_monitor(monitor: HostMonitor) -> str:
    """Return a monitor of the host of an agent in a report, without the node."""
    return json.dumps(
        {
            "monitor": monitor.monitor,
            "type": monitor.type_name,
            "tags": monitor.tags,
            "state": None if monitor.state is None else monitor.state.value,
            "since": None if monitor.since is None else monitor.since.isoformat(),
            "reason": monitor.reason.value,
            "detail": monitor.detail,
            "acknowledged_by": monitor.acknowledged_by,
            "maintenance": monitor.maintenance,
        }
    )


def encoded_heartbeat(heartbeat: SharedHeartbeat) -> str:
    """Return the signals that an agent has received from a job, in a report, without the node."""
    facts = heartbeat.facts
    return json.dumps(
        {
            "monitor": heartbeat.monitor,
            "last_signal_at": _text_of(facts.last_signal_at),
            "starts": [{"at": each.at.isoformat(), "run": each.run_id} for each in facts.starts],
            "ends": [
                {
                    "at": each.at.isoformat(),
                    "signal": each.signal.value,
                    "exit_status": each.exit_status,
                    "run": each.run_id,
                }
                for each in facts.ends
            ],
            "succeeded_at": _text_of(facts.succeeded_at),
            "message_at": _text_of(facts.message_at),
            "message": facts.message,
        }
    )


def _text_of(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def parts_of(encoded: Iterable[str]) -> Iterator[list[str]]:
    """Divide encoded votes, monitors or heartbeats into parts that fit into a report; at least one part."""
    part: list[str] = []
    size = 0
    for text in encoded:
        if part and (len(part) >= MAX_ITEMS or size + len(text) > MAX_ITEMS_BYTES):
            yield part
            part, size = [], 0
        part.append(text)
        size += len(text)
    yield part


def encoded_report(
    report: AgentReport,
    votes: Sequence[str],
    sent_at: datetime,
    position: FeedPosition | None,
    alerts: Alerts | None = None,
    host_monitors: Sequence[str] = (),
    heartbeats: Sequence[str] = (),
) -> bytes:
    """Return the body of a request, with votes, monitors of the host and heartbeats that are encoded already."""
    node = report.node
    document: Json = {
        "node": node.name,
        "location": node.location,
        "run": report.run,
        "number": report.number,
        "is_complete": report.is_complete,
        "sent_at": sent_at.isoformat(),
        "is_ready": node.is_ready,
        "version": node.version,
        "configuration": node.configuration,
        "lateness_s": node.lateness_s,
        "checked_monitors": node.checked_monitors,
        "shares_checks": node.shares_checks,
        "follows_decisions": node.follows_decisions,
        "is_isolated": node.is_isolated,
    }
    if position is not None:
        document["changes"] = {"hub": position.hub, "number": position.number}
    if alerts is not None:
        document["alerts"] = dict(alerts)
    if report.host_names is not None:
        document["host_names"] = list(report.host_names)
    encoded = {"votes": votes, "host_monitors": host_monitors, "heartbeats": heartbeats}
    lists = "".join(f', "{key}": [{", ".join(items)}]' for key, items in encoded.items())
    return (json.dumps(document)[:-1] + lists + "}").encode()


def report_of(
    values: Mapping[str, Any], now: datetime, permitted_locations: Sequence[str] = ()
) -> ReportRequest:
    """Return the report of the values of `REPORT_KEYS` in a body. `now`: by the clock of the hub, on arrival.

    `permitted_locations`: those of the token; empty: all.
    """
    node = Node(
        name=values["node"],
        location=values["location"],
        is_ready=values["is_ready"],
        version=values.get("version", ""),
        configuration=values.get("configuration", ""),
        lateness_s=values.get("lateness_s", 0.0),
        checked_monitors=values.get("checked_monitors", 0),
        time_offset_s=(values["sent_at"] - now).total_seconds(),
        role=Role.AGENT,
        shares_checks=values.get("shares_checks", True),
        is_isolated=values.get("is_isolated", False),
        follows_decisions=values.get("follows_decisions", values.get("shares_checks", True)),
    )
    votes = tuple(make(node) for make in values.get("votes", ()))
    report = AgentReport(
        node,
        values["run"],
        values["number"],
        votes,
        values.get("is_complete", True),
        tuple(make(node) for make in values.get("host_monitors", ())),
        values.get("host_names"),
        tuple(make(node, now) for make in values.get("heartbeats", ())),
        permitted_locations,
    )
    return ReportRequest(report, values.get("changes"), values.get("alerts"))


def _text(
    limit: int, *, may_be_empty: bool = True, clean: Callable[[str], str] = printable
) -> Callable[[object], str]:
    """`clean`: returns the text without characters that are not printable."""

    def read(value: object) -> str:
        if not isinstance(value, str):
            raise InvalidValueError("is not a string", 'write "…"')
        if len(value) > limit:
            raise InvalidValueError(f"is longer than {limit} characters", "shorten it")
        if not value and not may_be_empty:
            raise InvalidValueError("is empty", 'write "…"')
        return clean(value)

    return read


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidValueError("is neither true nor false", "write true or false")
    return value


def _integer(minimum: int, maximum: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= maximum:
            raise InvalidValueError(f"is not an integer from {minimum} to {maximum}", f"write {minimum}")
        return value

    return read


def _seconds(value: object) -> float:
    # `math.isfinite` cannot convert every integer.
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= MAX_NUMBER:
        raise InvalidValueError(
            f"is not a number from -{MAX_NUMBER} to {MAX_NUMBER}", "write a number of seconds"
        )
    return float(value)


def _time(value: object) -> datetime:
    try:
        if isinstance(value, str) and (time := datetime.fromisoformat(value)).tzinfo is not None:
            return _checked_time(time)
    except (ValueError, OverflowError):
        pass
    raise InvalidValueError(
        f"is not a time with a time zone in the years {YEARS[0]} to {YEARS[-1]}",
        'write "2026-01-31T12:00:00Z"',
    )


def _checked_time(time: datetime) -> datetime:
    """Return the time in UTC. Raises ValueError or OverflowError for a time that no clock of a host can show."""
    time = time.astimezone(UTC)
    if time.year not in YEARS:
        raise ValueError("the year is out of range")
    return time


def _state(value: object) -> State:
    try:
        return State(value)
    except ValueError:
        names = ", ".join(state.value for state in State)
        raise InvalidValueError("is not a state", f"write one of: {names}") from None


def _name(value: object) -> str:
    text = _text(MAX_TEXT_CHARACTERS)(value)
    try:
        return check_location(text)
    except InvalidValueError:
        raise InvalidValueError(
            "is not the name of a node or location", 'write printable characters, such as "fra"'
        ) from None


_read_monitor = _text(MAX_MONITOR_CHARACTERS, may_be_empty=False)

_VOTE_KEYS: Mapping[str, Callable[[object], Any]] = {
    "monitor": _read_monitor,
    "state": _state,
    "since": _time,
    "reason": Reason.of_code,
    "detail": _text(MAX_TEXT_CHARACTERS, clean=plain),
    "excerpt": _text(MAX_TEXT_CHARACTERS, clean=readable_lines),
    "checked_at": _time,
}


def _read_object(value: object, keys: Mapping[str, Callable[[object], Any]]) -> dict[str, Any]:
    """Return the values of an object that has exactly these keys. Raises InvalidValueError for the first error."""
    if not isinstance(value, dict):
        raise InvalidValueError("is not an object", "write { … }")
    if unknown := sorted(value.keys() - keys.keys()):
        raise InvalidValueError(
            f"{unknown[0][:100]!a}: unknown key", f"allowed are: {', '.join(sorted(keys))}"
        )
    values: dict[str, Any] = {}
    for key, read in keys.items():
        if key not in value:
            raise InvalidValueError(f"{key}: missing", f'add "{key}"')
        try:
            values[key] = read(value[key])
        except ValueError as error:
            problem, hint = problem_and_hint(error)
            raise InvalidValueError(f"{key}: {problem}", hint) from None
    return values


def _read_objects(value: object, keys: Mapping[str, Callable[[object], Any]]) -> Iterator[dict[str, Any]]:
    if not isinstance(value, list):
        raise InvalidValueError("is not a list", "write [ … ]")
    if len(value) > MAX_ITEMS:
        raise InvalidValueError(f"has more than {MAX_ITEMS} items", "divide them among several reports")
    for number, item in enumerate(value):
        try:
            yield _read_object(item, keys)
        except InvalidValueError as error:
            raise InvalidValueError(f"item {number}: {error.problem}", error.hint) from None


def _read_votes(value: object) -> list[Callable[[Node], Vote]]:
    """Return functions that make the votes of an agent."""

    def maker(values: dict[str, Any]) -> Callable[[Node], Vote]:
        return lambda node: Vote(location=node.location, node=node.name, **values)

    return [maker(values) for values in _read_objects(value, _VOTE_KEYS)]


def _read_host_monitors(value: object) -> list[Callable[[Node], HostMonitor]]:
    """Return functions that make the monitors of the host of an agent."""

    def maker(values: dict[str, Any]) -> Callable[[Node], HostMonitor]:
        type_name = values.pop("type")
        return lambda node: HostMonitor(node=node.name, type_name=type_name, **values)

    return [maker(values) for values in _read_objects(value, _HOST_MONITOR_KEYS)]


def _read_heartbeats(value: object) -> list[Callable[[Node, datetime], SharedHeartbeat]]:
    """Return functions that make the heartbeats that an agent has received, from the agent and the time of arrival."""

    def maker(values: dict[str, Any]) -> Callable[[Node, datetime], SharedHeartbeat]:
        return lambda node, now: SharedHeartbeat(values["monitor"], _facts_of(values, node, now))

    return [maker(values) for values in _read_objects(value, _HEARTBEAT_KEYS)]


def _facts_of(values: Mapping[str, Any], node: Node, now: datetime) -> HeartbeatFacts:
    # The clock of an agent may be ahead, but nothing was received after the report. A time in the far future would
    # replace all later signals.
    starts = tuple(
        ReceivedSignal(min(each["at"], now), HeartbeatSignal.START, run_id=each["run"])
        for each in values["starts"]
    )
    ends = tuple(
        ReceivedSignal(min(each["at"], now), each["signal"], each["exit_status"], each["run"])
        for each in values["ends"]
    )
    last_signal_at = min(values["last_signal_at"], now)
    succeeded_at, message_at = (
        None if time is None else min(time, now) for time in (values["succeeded_at"], values["message_at"])
    )
    return HeartbeatFacts(
        began_at=min([last_signal_at, *(each.at for each in (*starts, *ends))]),
        node=node.name,
        last_signal_at=last_signal_at,
        starts=starts,
        ends=ends,
        succeeded_at=succeeded_at,
        message_at=message_at,
        message=values["message"],
    )


def _read_signals(keys: Mapping[str, Callable[[object], Any]]) -> Callable[[object], list[dict[str, Any]]]:
    def read(value: object) -> list[dict[str, Any]]:
        if isinstance(value, list) and len(value) > MAX_SIGNALS:
            raise InvalidValueError(f"has more than {MAX_SIGNALS} items", "send the newest only")
        return list(_read_objects(value, keys))

    return read


def _end(value: object) -> HeartbeatSignal:
    for signal in (HeartbeatSignal.SUCCESS, HeartbeatSignal.FAIL):
        if value == signal.value:
            return signal
    raise InvalidValueError("is not the end of a run", 'write "success" or "fail"')


def _texts(limit: int) -> Callable[[object], tuple[str, ...]]:
    read_text = _text(MAX_MONITOR_CHARACTERS)

    def read(value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or len(value) > limit:
            raise InvalidValueError(f"is not a list of up to {limit} strings", 'write ["…"]')
        return tuple(read_text(item) for item in value)

    return read


def _or_none(read: Callable[[object], T]) -> Callable[[object], T | None]:
    return lambda value: None if value is None else read(value)


def _read_position(value: object) -> FeedPosition:
    values = _read_object(
        value, {"hub": _text(MAX_RUN_CHARACTERS, may_be_empty=False), "number": _integer(0, MAX_NUMBER)}
    )
    return FeedPosition(values["hub"], values["number"])


def _read_alerts(value: object) -> Alerts:
    if not isinstance(value, dict) or len(value) > MAX_ALERTS:
        raise InvalidValueError(f"is not an object with up to {MAX_ALERTS} alerts", "divide them")
    alerts: dict[str, Mapping[str, Any] | None] = {}
    for monitor, record in value.items():
        try:
            alerts[_read_monitor(monitor)] = (
                None if record is None else alert_record(_cleaned_alert(alert_from_record(record)))
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            raise InvalidValueError(
                f"{monitor[:100]!a}: is not the record of an alert", "use the same release on agent and hub"
            ) from None
    return alerts


def _cleaned_alert(alert: Alert) -> Alert:
    """Return an alert with the texts and times that a vote may have. Raises ValueError or OverflowError."""
    read_name = _text(MAX_MONITOR_CHARACTERS)
    return replace(
        alert,
        id=read_name(alert.id),
        monitor=read_name(alert.monitor),
        opened_as=read_name(alert.opened_as),
        since=_checked_time(alert.since),
        notifiers={
            read_name(name): replace(
                progress,
                count=_integer(0, MAX_NUMBER)(progress.count),
                last_at=_checked_time(progress.last_at),
                problem_since=_checked_time(progress.problem_since),
                flapping_since=progress.flapping_since and _checked_time(progress.flapping_since),
                rerouted_to=progress.rerouted_to and read_name(progress.rerouted_to),
            )
            for name, progress in alert.notifiers.items()
        },
    )


_HOST_MONITOR_KEYS: Mapping[str, Callable[[object], Any]] = {
    "monitor": _read_monitor,
    "type": _text(MAX_MONITOR_CHARACTERS),
    "tags": _texts(MAX_TAGS),
    "state": _or_none(_state),
    "since": _or_none(_time),
    "reason": Reason.of_code,
    "detail": _text(MAX_TEXT_CHARACTERS, clean=plain),
    "acknowledged_by": _or_none(_text(MAX_TEXT_CHARACTERS, clean=plain)),
    "maintenance": _or_none(_text(MAX_TEXT_CHARACTERS, clean=plain)),
}

_RUN = _or_none(_text(MAX_RUN_ID_CHARACTERS, may_be_empty=False))
_START_KEYS: Mapping[str, Callable[[object], Any]] = {"at": _time, "run": _RUN}
_END_KEYS: Mapping[str, Callable[[object], Any]] = {
    "at": _time,
    "signal": _end,
    "exit_status": _or_none(_integer(0, MAX_EXIT_STATUS)),
    "run": _RUN,
}
_HEARTBEAT_KEYS: Mapping[str, Callable[[object], Any]] = {
    "monitor": _read_monitor,
    "last_signal_at": _time,
    "starts": _read_signals(_START_KEYS),
    "ends": _read_signals(_END_KEYS),
    "succeeded_at": _or_none(_time),
    "message_at": _or_none(_time),
    "message": _or_none(_text(MAX_MESSAGE_BYTES, clean=readable_lines)),
}

REPORT_KEYS: Mapping[str, Callable[[object], Any]] = {
    "node": _name,
    "location": _name,
    "run": _text(MAX_RUN_CHARACTERS, may_be_empty=False),
    "number": _integer(1, MAX_NUMBER),
    "is_complete": _flag,
    "sent_at": _time,
    "is_ready": _flag,
    "version": _text(MAX_TEXT_CHARACTERS),
    "configuration": _text(MAX_TEXT_CHARACTERS),
    "lateness_s": _seconds,
    "checked_monitors": _integer(0, MAX_CHECKED_MONITORS),
    "shares_checks": _flag,
    "follows_decisions": _flag,
    "is_isolated": _flag,
    "votes": _read_votes,
    "changes": _read_position,
    "alerts": _read_alerts,
    "host_monitors": _read_host_monitors,
    "host_names": _texts(MAX_HOST_NAMES),
    "heartbeats": _read_heartbeats,
}
"""How each key of a report is read."""
REQUIRED_KEYS = ("node", "location", "run", "number", "sent_at", "is_ready")


# -- answers ----------------------------------------------------------------------------------------------


def answer_json(answer: ReportAnswer) -> Json:
    page = answer.page
    return {
        "acknowledged": answer.acknowledged,
        "was_stale": answer.membership.was_stale,
        "nodes": [
            {
                "name": node.name,
                "location": node.location,
                "role": node.role.value,
                "is_ready": node.is_ready,
                "version": node.version,
                "configuration": node.configuration,
                "lateness_s": node.lateness_s,
                "checked_monitors": node.checked_monitors,
                "shares_checks": node.shares_checks,
                "seen_ago_s": round(node.seen_ago_s, 3),
                "clock_offset_s": round(node.time_offset_s, 3),
                "decision_lag_s": round(node.decision_lag_s, 3),
                "is_isolated": node.is_isolated,
            }
            for node in answer.membership.nodes
        ],
        "changes": {
            "hub": page.position.hub,
            "number": page.position.number,
            "is_last": page.is_last,
            "decisions": [
                {
                    "monitor": decision.monitor,
                    "state": decision.state.value,
                    "since": decision.since.isoformat(),
                    "reason": decision.reason.value,
                    "detail": decision.detail,
                    "version": decision.version,
                    "alert": decision.alert,
                }
                for decision in page.changes.decisions
            ],
            "votes": [vote_record(vote) for vote in page.changes.votes],
            "interventions": [
                {"kind": each.kind.value, "key": each.key, "record": each.record}
                for each in page.changes.interventions
            ],
        },
        "alerts": None if answer.alerts is None else dict(answer.alerts),
    }


def answer_of(document: Any) -> ReportAnswer:
    """Return an answer. Raises KeyError, TypeError, ValueError or AttributeError for another document."""
    changes = document["changes"]
    return ReportAnswer(
        int(document["acknowledged"]),
        Membership(
            tuple(
                Node(
                    name=node["name"],
                    location=node["location"],
                    is_ready=node["is_ready"],
                    version=node["version"],
                    configuration=node["configuration"],
                    lateness_s=float(node["lateness_s"]),
                    checked_monitors=node["checked_monitors"],
                    seen_ago_s=float(node["seen_ago_s"]),
                    time_offset_s=float(node["clock_offset_s"]),
                    role=Role(node["role"]),
                    shares_checks=node["shares_checks"],
                    decision_lag_s=float(node["decision_lag_s"]),
                    is_isolated=node["is_isolated"],
                )
                for node in document["nodes"]
            ),
            was_stale=document["was_stale"],
        ),
        FeedPage(
            FeedPosition(changes["hub"], int(changes["number"])),
            Changes(
                tuple(
                    ClusterDecision(
                        decision["monitor"],
                        State.of_code(decision["state"]),
                        _time(decision["since"]),
                        Reason.of_code(decision["reason"]),
                        decision["detail"],
                        decision["version"],
                        decision["alert"],
                    )
                    for decision in changes["decisions"]
                ),
                tuple(vote_of_record(vote) for vote in changes["votes"]),
                tuple(
                    Intervention(InterventionKind(each["kind"]), each["key"], each["record"])
                    for each in changes["interventions"]
                ),
            ),
            bool(changes["is_last"]),
        ),
        document.get("alerts"),
    )


def vote_record(vote: Vote) -> Json:
    """Return a vote as JSON, for reports and for the spool of an agent."""
    return {
        "monitor": vote.monitor,
        "location": vote.location,
        "state": vote.state.value,
        "since": vote.since.isoformat(),
        "reason": vote.reason.value,
        "detail": vote.detail,
        "excerpt": vote.excerpt,
        "node": vote.node,
        "checked_at": vote.checked_at.isoformat(),
    }


def vote_of_record(record: Mapping[str, Any]) -> Vote:
    """Return a vote. Raises KeyError, TypeError or ValueError for another record."""
    return Vote(
        record["monitor"],
        record["location"],
        State.of_code(record["state"]),
        _time(record["since"]),
        Reason.of_code(record["reason"]),
        record["detail"],
        record["excerpt"],
        record["node"],
        _time(record["checked_at"]),
    )
