"""The explanation of a monitor's state in sentences, composed from the data of `GET …/monitors/NAME/explain`.

The API shows the sentences with times in UTC, monitorctl composes them from the same data in the time zone of the user.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from monitord.clock import time_text
from monitord.text import counted, joined
from monitord.units import approximate_duration, format_duration

Explanation = Mapping[str, Any]
"""The data: `status/model/explain.py` composes it, `Explanation` in the OpenAPI document describes it."""

FLAPPING_ENDS_AT_PERCENT = 25


class TimeFormat(Protocol):
    """The format of times in sentences."""

    def moment(self, moment: str) -> str:
        """Format a time of the API (RFC 3339)."""
        ...

    def in_text(self, text: str) -> str:
        """Replace the times in a text of the daemon, which `clock.time_text` formats."""
        ...


class UtcTimes:
    """Times in UTC, each with the name of the zone, as programs quote single sentences."""

    def moment(self, moment: str) -> str:
        return time_text(datetime.fromisoformat(moment))

    def in_text(self, text: str) -> str:
        return text


def sentences(explanation: Explanation, times: TimeFormat) -> list[str]:
    """Explain the state, the most important first."""
    name, state, since = explanation["name"], explanation["state"], explanation["since"]
    source = explanation.get("source")
    labels = {"title": "Title", "description": "Description", "runbook": "Runbook", "contact": "Contact"}
    return [
        f"{name} has been {state} since {times.moment(since)}." if since else f"{name} is {state}.",
        *(f"{label}: {explanation[key]}" for key, label in labels.items() if explanation.get(key)),
        *_last_check(explanation, times),
        # In the order of the sentences: the first time names the zone.
        *filter(None, [cause_text(explanation, times)]),
        *votes_texts(explanation["cluster"], times),
        *_streak(explanation, times),
        *_parents(explanation),
        *_interventions(explanation, times),
        *(notifier_text(explanation, notifier, times) for notifier in explanation["notifiers"]),
        *_next_check(explanation["next"], times),
        *([f"This is an automatic monitor, provided by the source {source}."] if source is not None else []),
    ]


def _last_check(explanation: Explanation, times: TimeFormat) -> list[str]:
    last = explanation["last_result"]
    if last is None:
        return ["It has not been checked yet."]
    at, outcome = times.moment(last["started_at"]), _OUTCOMES[last["verdict"]]
    sentences = [f"The last check, at {at}, {outcome}: {times.in_text(last['detail'])}."]
    if last["reason"] != "ok":
        decider = explanation["decided_by"]
        # The detail of the result already names the conditions.
        why = last["reason"] if decider["kind"] == "conditions" else f"{decider['detail']} ({last['reason']})"
        sentences.append(f"Reason: {why}.")
    return sentences


_OUTCOMES = {
    "pass": "passed",
    "warn": "ended with a warning",
    "fail": "failed",
    "inconclusive": "was inconclusive",
}


def cause_text(explanation: Explanation, times: TimeFormat) -> str | None:  # noqa: C901, PLR0911 - a case for each kind
    """Explain a state that the verdicts of the monitor do not explain; None for other states."""
    match explanation["cause"]:
        case {"kind": "parents_down", "parents": names}:
            parents = f"its parent {names[0]} is" if len(names) == 1 else f"its parents {joined(names)} are"
            states = _states_of_parents(explanation, names)
            return (
                f"It is unreachable because {parents} {states}. "
                f"After the {'parent recovers' if len(names) == 1 else 'parents recover'}, "
                f"the failures of {explanation['name']} are counted from zero."
            )
        case {"kind": "alternatives_down", "parents": names}:
            states = _states_of_parents(explanation, names)
            return f"It is unreachable because all of its alternative parents, {joined(names)}, are {states}."
        case {"kind": "parents_recovered", "fail_after": count}:
            return (
                "It was unreachable because of a parent that is no longer down: "
                f"it goes down after {counted(count, 'consecutive failure')}, and up when a check passes."
            )
        case {"kind": "not_checked"}:
            return f"It is pending {_until_check(explanation, times)}: no check has ended yet."
        case {"kind": "inconclusive", "reason": reason}:
            until = _until_check(explanation, times)
            return f"It is pending at least {until}: no check has been conclusive yet ({reason})."
        case {"kind": "parents_failing", "parents": names}:
            parents = f"parent{'' if len(names) == 1 else 's'} {joined(names)}"
            return f"It is pending until the state of its {parents} is confirmed."
        case {"kind": "isolation_suspected"}:
            return (
                f"It is pending {_until_check(explanation, times)}: its check failed, and monitord is testing "
                "whether this host is isolated."
            )
        case {"kind": "unconfirmed", "failures": count, "fail_after": needed}:
            until = _until_check(explanation, times)
            return (
                f"It is pending {until}: {count} of {needed} consecutive failures, and no check has passed."
            )
        case {"kind": "no_conclusive_check", "since": since}:
            return (
                f"It is unknown because no check has been conclusive since {times.moment(since)}; "
                "the next conclusive check restores the previous state."
            )
        case {"kind": "paused"}:
            pause = explanation["pause"]
            by = f"{pause['by']}{_comment(pause['comment'])}"
            return f"Paused by {by}. To resume checks: monitorctl resume {explanation['name']}"
        case _:
            return None


def _states_of_parents(explanation: Explanation, names: Sequence[str]) -> str:
    """Return "down", "unreachable" or "down or unreachable": the states of these parents.

    A paused parent is among them if its own parents are down: it is unreachable.
    """
    states = {parent["state"] for parent in explanation["parents"] if parent["name"] in names}
    return " or ".join(sorted({"down" if state == "down" else "unreachable" for state in states}))


def _until_check(explanation: Explanation, times: TimeFormat) -> str:
    at = explanation["next"]["at"]
    return "until its check ends" if at is None else f"until the next check, at {times.moment(at)}"


def _streak(explanation: Explanation, times: TimeFormat) -> list[str]:
    streak, flapping = explanation["streak"], explanation["flapping"]
    sentences = []
    if streak is not None and streak["needed"] is not None and streak["length"] < streak["needed"]:
        count, verdict = streak["length"], _VERDICT_NOUNS[streak["verdict"]]
        plural = "" if count == 1 else "es" if verdict.endswith("s") else "s"
        # In a cluster, the checks of this node lead to a vote only.
        what = "it" if explanation["cluster"] is None else "it, as seen from this location,"
        sentences.append(
            f"{count} consecutive {verdict}{plural} since {times.moment(streak['since'])}; "
            f"{what} {_CHANGES[streak['leads_to']]} after {streak['needed']}."
        )
    if flapping["is_flapping"]:
        # In a cluster, the changes of the decisions count, not the results of this node.
        change = f" ({flapping['change_percent']} % change, ends at {FLAPPING_ENDS_AT_PERCENT} %)"
        sentences.append(
            f"It is flapping{change if explanation['cluster'] is None else ''}: "
            "notifications about single changes are suppressed."
        )
    if explanation["is_isolated"]:
        sentences.append(
            "Nearly all network checks fail: this host is assumed to be isolated, and failures are inconclusive."
        )
    elif explanation["is_isolation_suspected"]:
        sentences.append(
            "This host may be isolated: other monitors are being checked, and no failure is confirmed until then."
        )
    return sentences


def configuration_differences_text(differences: Mapping[str, Any]) -> str:
    """Return how the configuration of another node of a cluster differs from that of this node."""
    missing, added, changed = differences["missing"], differences["added"], differences["changed"]
    parts = []
    if missing:
        parts.append(f"it lacks {joined(missing)}")
    if added:
        parts.append(f"it also has {joined(added)}")
    if changed:
        parts.append(f"{joined(changed)} {'differs' if len(changed) == 1 else 'differ'}")
    more = differences["total"] - len(missing) - len(added) - len(changed)
    if more:
        parts.append(f"and {counted(more, 'more difference')}")
    return ", ".join(parts)


def votes_texts(cluster: Mapping[str, Any] | None, times: TimeFormat) -> list[str]:
    """Explain how the locations of a cluster see the monitor, and how many of them must agree."""
    if cluster is None:
        return []
    if cluster["is_alone"]:
        texts = [
            "This node is not connected to the cluster: it decides without the other locations. Their last votes:"
        ]
    else:
        texts = [f"{quorum_text(cluster)}."]
    locations = cluster["locations"]
    return texts + [
        f"Location {location['location']}: {vote_text(location, times)}." for location in locations
    ]


def quorum_text(cluster: Mapping[str, Any]) -> str:
    """Explain how many votes are needed for a change: "2 of 3 votes are needed for a change (quorum majority)."."""
    voters, for_problem, for_up = (cluster[key] for key in ("voters", "votes_needed", "votes_needed_for_up"))
    if not voters:
        return f"No location has a vote yet, so its state does not change (quorum {cluster['quorum']})"
    needed = (
        f"{for_problem} of {counted(voters, 'vote')} {'is' if for_problem == 1 else 'are'} needed for a change"
        if for_problem == for_up
        else f"Of {counted(voters, 'vote')}, {for_problem} {'is' if for_problem == 1 else 'are'} needed for a problem, "
        f"and {for_up} for up"
    )
    settling = (
        ""
        if cluster["is_settled"]
        else "; all known locations count until the set of live locations has been the same for a few seconds"
    )
    return f"{needed} (quorum {cluster['quorum']}){settling}"


def vote_text(location: Mapping[str, Any], times: TimeFormat) -> str:
    """Explain the vote of a location: "down since …, connection refused (node mon1)"."""
    state = location["state"]
    if state is None:
        return "no conclusive check yet" if location["is_live"] else "no node is live"
    detail = f", {times.in_text(location['detail'])}" if location["detail"] and state != "up" else ""
    not_counted = (
        ""
        if location["is_counted"]
        else "; it does not count, because no node of the location is live"
        if not location["is_live"]
        else "; it does not count"
    )
    since = f" since {times.moment(location['since'])}"
    return f"{state}{since}{detail} (node {location['node']}){not_counted}"


SHOWN_MONITORS = 5


def users_of_location(monitors: Sequence[str], count: int, notifiers: Iterable[str]) -> str:
    """Return the objects whose `locations` contain a location. `monitors`: at least the first of `count` names."""
    shown = monitors[:SHOWN_MONITORS]
    others = [counted(count - len(shown), "other monitor")] if count > len(shown) else []
    return joined(
        [*(f"monitor {name}" for name in shown), *others, *(f"notifier {name}" for name in notifiers)]
    )


def other_views_text(locations: Iterable[Mapping[str, Any]], state: str) -> str:
    """Return the votes for states other than this state, the worst first: "down at fra and hel, degraded at nyc"."""
    by_state: dict[str, list[str]] = {}
    for location in locations:
        if location["is_counted"] and location["state"] != state:
            by_state.setdefault(location["state"], []).append(location["location"])
    order = ("down", "unreachable", "degraded", "up")
    return ", ".join(f"{state} at {joined(by_state[state])}" for state in order if state in by_state)


_VERDICT_NOUNS = {
    "pass": "success",
    "warn": "warning",
    "fail": "failure",
    "inconclusive": "inconclusive check",
}
_CHANGES = {"up": "is up", "degraded": "becomes degraded", "down": "goes down"}


def _parents(explanation: Explanation) -> list[str]:
    sentences = []
    for parent in explanation["parents"]:
        name, state = parent["name"], parent["state"] or "not configured"
        is_failing = parent["effect"] == "not_confirmed"
        effect = (
            f" and has failed: failures are not confirmed until the state of {name} is" if is_failing else ""
        )
        sentences.append(f"It depends on {name}, which is {state}{effect}.")
    return sentences


def _interventions(explanation: Explanation, times: TimeFormat) -> list[str]:
    incident, silence = explanation["incident"], explanation["silence"]
    sentences = []
    if incident is not None:
        opened = times.moment(incident["opened_at"])
        sentences.append(
            f"Incident {incident['id']} has been open since {opened}: {times.in_text(incident['detail'])}."
        )
        if incident["acknowledged_by"] is not None:
            sentences.append(f"Acknowledged by {incident['acknowledged_by']}{_comment(incident['comment'])}.")
    if explanation["maintenance_window"] is not None:
        until = explanation["maintenance_until"]
        sentences.append(
            f"The maintenance window {explanation['maintenance_window']} is open"
            f"{f' until {times.moment(until)}' if until else ''}{_comment(explanation['maintenance_comment'])}; "
            "no incident is opened, and the time does not count towards the uptime."
        )
    if silence is not None:
        until = times.moment(silence["until"])
        sentences.append(f"Silenced until {until} by {silence['by']}{_comment(silence['comment'])}.")
    return sentences


def _comment(text: str | None) -> str:
    return f": {text}" if text else ""


def notifier_text(explanation: Explanation, notifier: Mapping[str, Any], times: TimeFormat) -> str:
    """Explain why a notifier receives a notification now, or none, and the delivery of its last notification."""
    decision, last = notifier["decision"], notifier["last_notification"]
    # Otherwise the last notification shows that it has been notified.
    is_shown = last is None or not decision["is_notified"]
    texts = [decision_text(decision, explanation, times)] if is_shown else []
    if last is not None:
        at, status = times.moment(last["at"]), _DELIVERY_STATUSES[last["status"]]
        response = (
            f" ({times.in_text(last['response'])})" if last["response"] and last["status"] != "sent" else ""
        )
        by = last["delivered_by"]
        is_by_fallback = by != notifier["name"] and last["status"] in _STATUSES_OF_FALLBACK
        fallback = f" by the fallback {by}" if is_by_fallback else ""
        described = f'"{last["title"]}" of {at}'
        subject = f"the last notification, {described}," if is_shown else f"notification {described}"
        texts.append(f"{subject} {status}{fallback}{response}")
        if last["status"] == "queued" and notifier["error"] is not None:
            # The error of another notification, behind which this one is queued.
            texts.append(
                f"deliveries have failed since {times.moment(notifier['failing_since'])}: {notifier['error']}"
            )
    return f"{notifier['name']}: {'; '.join(texts)}."


_DELIVERY_STATUSES = {
    "queued": "is queued",
    "retrying": "is being retried",
    "rerouted": "is being delivered",
    "sent": "was sent",
    "expired": "has expired",
    "cancelled": "was cancelled",
}
_STATUSES_OF_FALLBACK = frozenset({"rerouted", "retrying", "sent"})


def decision_text(  # noqa: PLR0911 - a case for each kind
    decision: Mapping[str, Any], explanation: Explanation, times: TimeFormat
) -> str:
    """Explain why a notifier receives a notification now, or none."""
    match decision:
        case {"kind": "notified", "at": at}:
            return f"notified at {times.moment(at)}"
        case {"kind": "notified_of_flapping", "at": at}:
            return f"notified of the flapping at {times.moment(at)}"
        case {"kind": "suppressed", "suppression": suppression}:
            return f"suppressed: {_suppression_text(suppression, explanation, times)}"
        case {"kind": "delayed", "after_s": after_s}:
            return f"no notification unless the problem lasts {format_duration(after_s)}"
        case {"kind": "quiet_hours"}:
            return "no notification during quiet hours"
        case {"kind": "no_route_for_unknown"}:
            return (
                "no notification is sent: the monitor is unknown, "
                "and no route for unknown monitors has this notifier"
            )
        case {"kind": "no_route"}:
            return "no notification is sent: no matching route has this notifier"
        case {"kind": "unconfirmed"}:
            return "no notification yet: the failure is not confirmed"
        case {"kind": "state_without_notifications", "state": state}:
            return f"no notification is sent: the monitor is {state}"
        case _:
            return _no_alert_text(explanation)


def _suppression_text(suppression: Mapping[str, Any], explanation: Explanation, times: TimeFormat) -> str:
    match suppression:
        case {"reason": "maintenance", "maintenance_window": window}:
            return f"maintenance window {window}"
        case {"reason": "silenced", "until": until, "by": by}:
            return f"silenced until {times.moment(until)} by {by}"
        case {"reason": "acknowledged", "by": by}:
            return f"acknowledged by {by}"
        case {"reason": "isolated"}:
            return "this host is isolated"
        case _:
            return f"no conclusive check since monitord started or {explanation['name']} was resumed"


def _no_alert_text(explanation: Explanation) -> str:
    match explanation["state"]:
        case "up":
            return "no notification is sent: there is no problem"
        case "unreachable":
            down = [parent["name"] for parent in explanation["parents"] if parent["effect"] == "unreachable"]
            because = f" because {joined(down)} {'is' if len(down) == 1 else 'are'} " if down else ""
            states = _states_of_parents(explanation, down) if down else ""
            return f"no notification is sent: the monitor is unreachable{because}{states}"
        case "unknown":
            return "no notification is sent: the monitor is unknown, and no route includes this state"
        case "paused":
            return "no notification is sent: the monitor is paused"
        case state:
            return f"no notification yet: the monitor is {state}"


def _next_check(upcoming: Mapping[str, Any], times: TimeFormat) -> list[str]:
    match upcoming:
        case {"status": "scheduled", "in_s": in_s, "at": at, "interval": interval, "interval_s": interval_s}:
            return [
                f"Next check in {format_duration(float(round(in_s)))}, at {times.moment(at)} "
                f"({interval} is {format_duration(interval_s)})."
            ]
        case {"status": "running"}:
            return ["A check is running."]
        case {"status": "queued"}:
            return ["Its check is queued for a slot."]
        case {"status": "at_other_node"}:
            return ["Another node at this location checks it."]
        case {"status": "at_other_locations"}:
            return [
                "It is checked at other locations: `locations` does not contain the location of this node."
            ]
        case _:  # paused
            return []


def error_budget_text(left_percent: float, left_s: float) -> str:
    """ "51 % (22m) of the error budget left", or by how much it is exceeded. Negative: the objective is missed."""
    if left_s < 0:
        return f"error budget exceeded by {approximate_duration(-left_s)}"
    return f"{left_percent:.0f} % ({approximate_duration(left_s)}) of the error budget left"
