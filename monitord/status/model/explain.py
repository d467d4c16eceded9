"""Why a monitor stands as it does, and what happens next: as fields, and as sentences that a tired person can read.

Reads the dispatcher's own state only, so it is right at this moment, and tells no more than that state decides by.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from monitord.alerts import Alerts, Decision, decision_text
from monitord.clock import Clock
from monitord.dispatch import Dispatcher, Pipeline, Silence, Watched
from monitord.health import Parents
from monitord.model import Decider, Json, State, Verdict
from monitord.status.model.forms import result_of, text_of
from monitord.text import joined
from monitord.units import format_duration

_BAD = frozenset({State.DOWN, State.UNREACHABLE})

_WHY_NOTHING = {
    State.UNKNOWN: "no notification, as no route includes this state",
    State.PAUSED: "no notification",
}
"""By state, where there is no alert; in the other ones there may be one soon."""


class Explanations:
    """Explains one monitor at a time."""

    def __init__(self, dispatcher: Dispatcher, pipeline: Pipeline, alerts: Alerts, clock: Clock) -> None:
        self._dispatcher = dispatcher
        self._pipeline = pipeline
        self._alerts = alerts
        self._clock = clock

    def explain(self, name: str) -> Json:
        """Raises KeyError for an unknown name."""
        watched = self._dispatcher.watched[name]
        now = self._clock.now()
        silence = self._pipeline.registry.silence_of(watched, now)
        decisions = self._alerts.decisions(name)
        fields: Json = {
            "name": name,
            "type": watched.monitor.type_name,
            "state": watched.state.stands.value,
            "since": text_of(watched.state.stands_since),
            "last": None if watched.state.last is None else result_of(watched.state.last),
            "decided_by": _decided_by(watched),
            "cause": None,
            "streak": _streak(watched),
            "flapping": {
                "is_flapping": watched.state.health.flapping.is_flapping,
                "change_percent": round(watched.state.health.flapping.value, 1),
            },
            "parents": self._parents(watched),
            "is_isolated": self._pipeline.isolation.is_isolated,
            "is_isolation_suspected": self._pipeline.isolation.is_suspected,
            "maintenance": None if watched.state.window is None else watched.state.window.name,
            "maintenance_until": None
            if watched.state.window is None
            else text_of(watched.state.window.until),
            "maintenance_comment": None if watched.state.window is None else watched.state.window.comment,
            "silence": _silence(silence),
            "pause": _pause(watched),
            "incident": _incident(watched),
            "notifiers": self._notifiers(watched, decisions),
            "next": self._next(watched, now),
        }
        fields["cause"] = self._cause(watched, fields, now)
        aware = frozenset(notifier for notifier, decision in decisions.items() if decision.is_aware)
        return {**fields, "sentences": _sentences(fields, aware)}

    def _parents(self, watched: Watched) -> list[Json]:
        settings = watched.monitor.settings
        registry = self._pipeline.registry
        return [
            {
                "name": name,
                "state": registry.watched[name].state.stands.value if name in registry.watched else None,
                "effect": registry.as_parent(name).name.lower(),
                "is_alternative": name in settings.depends_on_any,
            }
            for name in (*settings.depends_on, *settings.depends_on_any)
        ]

    def _cause(self, watched: Watched, fields: Json, now: datetime) -> str | None:
        """Why it is in a state that no verdict of its own explains, and until when."""
        match watched.state.stands:
            case State.UNREACHABLE:
                return _cause_of_unreachable(watched, fields["parents"])
            case State.PENDING:
                return _cause_of_pending(watched, fields)
            case State.UNKNOWN:
                since = now - timedelta(seconds=self._clock.monotonic_s() - watched.state.conclusive_at)
                return (
                    f"It is unknown because no check has had a conclusive result since {text_of(since)}; "
                    "the next conclusive check ends that."
                )
            case State.PAUSED:
                return f"Checks are stopped until it is resumed (monitorctl resume {watched.name})."
            case _:
                return None

    def _notifiers(self, watched: Watched, decisions: Mapping[str, Decision]) -> list[Json]:
        """Of the alert that there is: what each notifier was told last, and why, or why nothing."""
        name = watched.name
        why = {notifier: decision_text(decision) for notifier, decision in decisions.items()}
        otherwise = self._why_nothing(watched)
        last = {entry.notification.notifier: entry for entry in reversed(self._alerts.entries(name))}
        return [
            {
                "name": notifier,
                "decision": why.get(notifier, otherwise),
                "last": last[notifier].notification.title if notifier in last else None,
                "last_at": text_of(last[notifier].notification.at) if notifier in last else None,
                "status": last[notifier].status.value if notifier in last else None,
                "response": last[notifier].response if notifier in last else None,
            }
            for notifier in self._alerts.workers
        ]

    def _why_nothing(self, watched: Watched) -> str:
        """Why no notification is due where there is no alert: only of a monitor that is up nothing is wrong."""
        stands, is_failing = watched.state.stands, watched.state.health.is_soft
        if stands is State.UP:
            return "no notification yet: the failure is not confirmed" if is_failing else "nothing is wrong"
        if stands is State.UNREACHABLE:
            culprits = joined([one["name"] for one in self._parents(watched) if _is_down(one)])
            return f"no notification: it is unreachable{f'; see {culprits}' if culprits else ''}"
        return f"{_WHY_NOTHING.get(stands, 'no notification yet')}: it is {stands.value}"

    def _next(self, watched: Watched, now: datetime) -> Json:
        if watched.cycle.is_checking:
            return {"at": None, "in_s": None, "detail": "is being checked"}
        if watched.cycle.is_queued:
            return {"at": None, "in_s": None, "detail": "waits for a place among the checks at once"}
        if watched.state.pause is not None:
            return {"at": None, "in_s": None, "detail": "paused"}
        in_s = max(0.0, watched.cycle.due_at - self._clock.monotonic_s())
        settings = watched.monitor.settings
        every = settings.retry_every_s if watched.state.wants_retry else settings.check_every_s
        key = "retry_every" if watched.state.wants_retry else "check_every"
        return {
            "at": text_of(now + timedelta(seconds=in_s)),
            "in_s": round(in_s, 3),
            "detail": f"{key} is {format_duration(every)}",
        }


def _is_down(parent: Json) -> bool:
    return bool(parent["effect"] == Parents.DOWN.name.lower())


def _cause_of_unreachable(watched: Watched, parents: Sequence[Json]) -> str:
    needed = [one["name"] for one in parents if _is_down(one) and not one["is_alternative"]]
    alternatives = [one for one in parents if one["is_alternative"]]
    if not needed and alternatives and all(map(_is_down, alternatives)):
        names = joined([one["name"] for one in alternatives])
        return f"It is unreachable because {names}, of which it needs one, are all down."
    if needed:
        what = f"its parent {needed[0]} is" if len(needed) == 1 else f"its parents {joined(needed)} are"
        return f"It is unreachable because {what} down; the next check after the recovery decides."
    policy = watched.monitor.settings.policy
    return (
        "It was unreachable behind a parent, which is no longer down: "
        f"{policy.fail_after} failures from now on make it down, a success makes it up."
    )


def _cause_of_pending(watched: Watched, fields: Json) -> str:
    at = fields["next"]["at"]
    until = f"until the next check, at {at}" if at is not None else "until its check ends"
    last, policy = watched.state.last, watched.monitor.settings.policy
    if last is None:
        return f"It is pending {until}: no check has ended yet."
    if last.verdict is Verdict.INCONCLUSIVE:
        reason = last.observation.reason.value
        return f"It is pending because no check has been conclusive yet ({reason}), at least {until}."
    count, needed = watched.state.health.streak_length, policy.fail_after
    failing = [one["name"] for one in fields["parents"] if one["effect"] == Parents.FAILING.name.lower()]
    if failing and count >= needed:
        return f"It is pending until the state of {joined(failing)}, on which it depends, is confirmed."
    if count >= needed or fields["is_isolation_suspected"]:
        return (
            f"It is pending because it failed, and whether this host is isolated is not clear yet; {until}."
        )
    return f"It is pending because {count} of {needed} failures that make it down were seen, and no success; {until}."


def _decided_by(watched: Watched) -> str | None:
    """What made the last verdict: the conditions that were not as wanted, or the meaning of the reason."""
    last = watched.state.last
    if last is None:
        return None
    match last.decided_by:
        case Decider.CONDITIONS:
            what = "degraded" if last.verdict is Verdict.WARN else "not met"
            return f"{what}: {', '.join(last.deciding_conditions)}"
        case Decider.INVERT if last.verdict is Verdict.FAIL:
            return "passed, but is expected to fail (invert)"
        case Decider.TYPE:
            type_name = watched.monitor.type_name
            return (
                f"what type {type_name} takes for well by itself did not hold, and no up_when takes its place"
            )
        case _:
            return last.observation.reason.meaning.replace("`", "")


def _streak(watched: Watched) -> Json | None:
    """How many verdicts of a kind in a row there are, how many it takes, and what they lead to."""
    health, policy = watched.state.health, watched.monitor.settings.policy
    if health.streak is None:
        return None
    now = health.health
    if health.streak is Verdict.FAIL:
        needed, leads_to = policy.fail_after, State.DOWN
    elif health.streak is Verdict.WARN:
        needed, leads_to = (policy.recover_after if now in _BAD else policy.degrade_after), State.DEGRADED
    else:
        needed, leads_to = policy.recover_after, State.UP
    return {
        "verdict": health.streak.value,
        "length": health.streak_length,
        "since": text_of(health.streak_since),
        "needed": None if now is leads_to else needed,
        "leads_to": None if now is leads_to else leads_to.value,
    }


def _silence(silence: Silence | None) -> Json | None:
    if silence is None:
        return None
    return {
        "id": silence.id,
        "until": text_of(silence.until),
        "by": silence.by,
        "comment": silence.comment,
    }


def _pause(watched: Watched) -> Json | None:
    pause = watched.state.pause
    if pause is None:
        return None
    return {"by": pause.by, "at": text_of(pause.at), "comment": pause.comment}


def _incident(watched: Watched) -> Json | None:
    incident = watched.state.incident
    if incident is None:
        return None
    return {
        "id": incident.id,
        "opened_at": text_of(incident.opened_at),
        "reason": incident.reason.value,
        "detail": incident.detail,
        "acknowledged_by": incident.acknowledged_by,
        "acknowledged_at": text_of(incident.acknowledged_at),
        "comment": incident.comment,
    }


def _sentences(fields: Json, aware: Collection[str]) -> list[str]:
    """The same in words, the most important first. `aware`: notifiers that know of the state."""
    name, state = fields["name"], fields["state"]
    said = [f"{name} is {state}" + (f" since {fields['since']}." if fields["since"] else ".")]
    last = fields["last"]
    if last is None:
        said.append("It has not been checked yet.")
    else:
        said.append(f"The last check at {last['started_at']} {_WAS[last['verdict']]}: {last['detail']}.")
        if last["reason"] != "ok":
            said.append(f"What decided: {fields['decided_by']} ({last['reason']}).")
    if fields["cause"] is not None:
        said.append(fields["cause"])
    said += _of_the_streak(fields)
    said += [
        f"It depends on {parent['name']}, which is {parent['state'] or 'not configured'}"
        f"{_PARENT_SAYS[parent['effect']]}."
        for parent in fields["parents"]
    ]
    said += _of_people(fields)
    said += _of_notifiers(fields["notifiers"], aware)
    upcoming = fields["next"]
    if upcoming["at"] is None:
        said.append(f"Next: {upcoming['detail']}.")
    else:
        in_words = format_duration(float(round(upcoming["in_s"])))
        said.append(f"Next check in {in_words}, at {upcoming['at']} ({upcoming['detail']}).")
    return said


_WAS = {
    "pass": "was a pass",
    "warn": "was a warning",
    "fail": "was a failure",
    "inconclusive": "was inconclusive",
}

_PARENT_SAYS = {
    Parents.WELL.name.lower(): "",
    Parents.FAILING.name.lower(): " and has failed: until it is clear how it stands, failures here are not believed",
    Parents.DOWN.name.lower(): ": failures here are put down to it",
}


def _of_the_streak(fields: Json) -> list[str]:
    streak, said = fields["streak"], []
    if streak is not None and streak["needed"] is not None and streak["length"] < streak["needed"]:
        said.append(
            f"{streak['length']} {streak['verdict']} in a row since {streak['since']}; "
            f"{streak['needed']} make it {streak['leads_to']}."
        )
    flapping = fields["flapping"]
    if flapping["is_flapping"]:
        said.append(
            f"It is flapping ({flapping['change_percent']} % change; over at 25 %): "
            "single changes are not told as warnings."
        )
    if fields["is_isolated"]:
        said.append(
            "Nearly all monitors fail: this host is taken for cut off, and failures are inconclusive."
        )
    elif fields["is_isolation_suspected"]:
        said.append(
            "This host may be isolated: other monitors are being checked, and until then no failure is confirmed."
        )
    return said


def _of_people(fields: Json) -> list[str]:
    said = []
    incident = fields["incident"]
    if incident is not None:
        said.append(
            f"An incident is open since {incident['opened_at']} ({incident['id']}): {incident['detail']}."
        )
        if incident["acknowledged_by"] is not None:
            said.append(f"{incident['acknowledged_by']} sees to it{_comment(incident['comment'])}.")
    if fields["maintenance"] is not None:
        until = f" until {fields['maintenance_until']}" if fields["maintenance_until"] else ""
        said.append(
            f"The maintenance window {fields['maintenance']} is open{until}{_comment(fields['maintenance_comment'])}; "
            "no incident opens, and the time does not count."
        )
    if fields["silence"] is not None:
        silence = fields["silence"]
        said.append(f"Silenced until {silence['until']} by {silence['by']}{_comment(silence['comment'])}.")
    if fields["pause"] is not None:
        pause = fields["pause"]
        said.append(f"Paused since {pause['at']} by {pause['by']}{_comment(pause['comment'])}.")
    return said


def _of_notifiers(notifiers: list[Json], aware: Collection[str]) -> list[str]:
    said = []
    for one in notifiers:
        if one["last"] is None:
            said.append(f"{one['name']}: {one['decision']}.")
            continue
        # That it was told is said by its last notification.
        sentence = f"{one['name']}: " + ("" if one["name"] in aware else f"{one['decision']}; ")
        sentence += (
            f"the last notification, of {one['last_at']}, is {_DELIVERY_WORDS[one['status']]} ({one['last']})"
        )
        if one["response"] and one["status"] != "sent":
            sentence += f": {one['response']}"
        said.append(f"{sentence}.")
    return said


_DELIVERY_WORDS = {"queued": "not delivered yet", "sent": "delivered", "expired": "expired"}


def _comment(text: str | None) -> str:
    return f": {text}" if text else ""
