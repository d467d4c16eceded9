"""Monitor type `container`: containers of Docker and Podman, one by name or many by patterns and labels.

    type = "container"
    container = "web"

A check is requested at once when a container ends, crashes or becomes unhealthy. A container that crashed and was
restarted by its restart policy since the previous check fails the check. A container that was stopped or replaced has
the time `grace` to run again, as during an update.

Without conditions, each container must run, and must not be unhealthy; a container that has ended with exit code 0, and
has no policy by which it would be restarted, is a finished job. At least one container must match a pattern.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from monitord.clock import time_text
from monitord.conditions import COUNT, EXIT_STATUS, LATENCY, FieldType, Vocabulary
from monitord.config import Table
from monitord.errors import InvalidValueError
from monitord.health import HealthPolicy
from monitord.model import EXCERPT, FieldValue, Observation, Reason
from monitord.monitors.base import Monitor, MonitorSettings, Stopwatch, Tools
from monitord.monitors.check_requester import CheckRequester
from monitord.monitors.container.restarts import ContainerRestarts
from monitord.monitors.services import OnCrash, UnexpectedState
from monitord.monitors.systemd.common import compile_patterns
from monitord.net.containers import (
    ContainerEvent,
    ContainerState,
    ContainerSubscription,
    EngineError,
    EngineFailure,
)
from monitord.text import counted, first_of, plain, shortened
from monitord.units import format_duration

DEFAULT_SOCKET = "/run/docker.sock"
PODMAN_SOCKET = "/run/podman/podman.sock"
DEFAULT_GRACE_S = 30.0
SETTLE_S = 2.0
"""A container that has failed is reported after this time: a user may just be restarting it."""
MAX_QUERIED = 100
"""Containers of a pattern that a check queries individually; only the listed state of the others is used."""
MAX_RECORDED = 1000
"""Containers whose events are recorded between two checks."""
MAX_SOCKET_BYTES = 107  # unix(7)
MAX_NAMED = 5
MAX_STATUS_CHARACTERS = 40

_FIRST_SIGNAL, _LAST_SIGNAL = 129, 192
"""Exit codes of programs that were terminated by signals, as in shells: 128 and the number of the signal."""
# Exit codes of a program that `docker stop` or `podman stop` has ended: 0, SIGTERM, SIGKILL.
_STOPPED = frozenset({0, 128 + 15, 128 + 9})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_ALWAYS = frozenset({"always", "unless-stopped"})

VOCABULARY = Vocabulary(
    {
        "response_time": FieldType.DURATION,
        "container.status": FieldType.TEXT,
        "container.health": FieldType.TEXT,
        "container.exit_code": FieldType.NUMBER,
        "container.oom_killed": FieldType.FLAG,
        "container.restarts": FieldType.NUMBER,
        "container.crashes": FieldType.NUMBER,
        "container.image": FieldType.TEXT,
        "container.age": FieldType.DURATION,
        "container.since": FieldType.DURATION,
        "container.count": FieldType.NUMBER,
        "container.running": FieldType.NUMBER,
        "container.failed": FieldType.NUMBER,
        "container.failed_containers": FieldType.TEXTS,
    },
    {
        "response_time": LATENCY,
        "container.exit_code": EXIT_STATUS,
        **dict.fromkeys(
            (
                "container.restarts",
                "container.crashes",
                "container.count",
                "container.running",
                "container.failed",
            ),
            COUNT,
        ),
    },
)
_OF_ONE = (
    *("container.status", "container.health", "container.exit_code", "container.oom_killed"),
    *("container.restarts", "container.image", "container.age", "container.since"),
)


@lru_cache(maxsize=256)
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return compile_patterns(patterns or ("*",))


class ContainerExpectation(Enum):
    """The expected state of a container."""

    RUNNING = "running"
    RUNNING_OR_FINISHED = "running_or_finished"


_REASON_OF_CRASH = {
    OnCrash.FAIL: Reason.CONTAINER_FAILED,
    OnCrash.WARN: Reason.CONTAINER_RESTARTED,
    OnCrash.IGNORE: Reason.OK,
}

_WORST_FIRST = (
    Reason.CONTAINER_FAILED,
    Reason.CONTAINER_UNHEALTHY,
    Reason.CONTAINER_STOPPED,
    Reason.CONTAINER_RESTARTED,
    Reason.CONTAINER_STARTING,
    Reason.OK,
)
_FAILURES = _WORST_FIRST[:3]


@dataclass(frozen=True, slots=True)
class ContainerOptions:
    """`container`: the name of a single container; if it is empty, `patterns` and `labels` are used.

    `labels`: names of labels, each with its value or None for any value; a container must have all of them.
    """

    container: str = ""
    patterns: tuple[str, ...] = ()
    labels: tuple[tuple[str, str | None], ...] = ()
    socket: str = DEFAULT_SOCKET
    expect: ContainerExpectation = ContainerExpectation.RUNNING_OR_FINISHED
    on_crash: OnCrash = OnCrash.FAIL
    grace_s: float = DEFAULT_GRACE_S

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        """Return whether a container with this name and these labels is meant."""
        if self.container:
            return name == self.container
        return _compiled(self.patterns).match(name) is not None and all(
            label in labels and value in {None, labels[label]} for label, value in self.labels
        )

    @property
    def subject(self) -> str:
        """The containers in words."""
        if self.container:
            return self.container
        labels = [name if value is None else f"{name}={value}" for name, value in self.labels]
        return " ".join((*self.patterns, *labels))


@dataclass(slots=True)
class _ContainerOutcome:
    """The outcome of one check, or the evaluation of one container."""

    reason: Reason
    text: str
    is_as_expected: bool = False
    crashes: int = 0
    fields: dict[str, FieldValue] = field(default_factory=dict)
    excerpt: str = ""


class ContainerMonitor(Monitor[ContainerOptions]):
    type_name: ClassVar[str] = "container"
    default_policy: ClassVar[HealthPolicy] = HealthPolicy(fail_after=1, degrade_after=1)
    uses_network = False
    vocabulary: ClassVar[Vocabulary] = VOCABULARY

    def __init__(self, settings: MonitorSettings, tools: Tools) -> None:
        super().__init__(settings, tools)
        self._subscription: ContainerSubscription | None = None
        self._requester: CheckRequester | None = None
        self._unexpected = UnexpectedState(tools.clock)
        self._restarts: dict[str, ContainerRestarts] = {}
        """By id. A container that is replaced has another id."""
        self._problems: frozenset[str] = frozenset()
        self._is_missing = False

    @classmethod
    def read_options(cls, table: Table) -> ContainerOptions:
        container = table.value("container", parse_container_name, default="")
        patterns = table.one_or_more("containers", parse_container_pattern, default=())
        labels = table.one_or_more("labels", parse_label, default=())
        written = {key: table.raw(key) for key in ("container", "containers", "labels")}
        if all(value is None for value in written.values()):
            table.error(
                "",
                "has neither container nor containers nor labels",
                'write container = "web" or containers = "shop-*"',
            )
        for key in ("containers", "labels"):
            if written["container"] is not None and written[key] is not None:
                table.error(key, "conflicts with container", "write only one of them")
            if written[key] == []:
                table.error(key, "is empty", "write at least one, or remove it")
        socket = table.value("socket", parse_socket, default=DEFAULT_SOCKET)
        _warn_without_socket(table, socket)
        return ContainerOptions(
            container=container,
            patterns=patterns,
            labels=labels,
            socket=socket,
            expect=table.choice(
                "expect", ContainerExpectation, default=ContainerExpectation.RUNNING_OR_FINISHED
            ),
            on_crash=table.choice("on_crash", OnCrash, default=OnCrash.FAIL),
            grace_s=table.duration("grace", default=DEFAULT_GRACE_S),
        )

    @classmethod
    def absent_fields(cls, options: ContainerOptions) -> Mapping[str, str]:
        if options.container:
            return {}
        return dict.fromkeys(_OF_ONE, "is available only with container")

    # Events

    def start(self, wake: Callable[[], None]) -> None:
        self._requester = CheckRequester(wake)
        self._subscription = self.tools.containers.follow(self.options.socket, self._on_event)

    async def close(self) -> None:
        if self._subscription is not None:
            self.tools.containers.unfollow(self._subscription)
            self._subscription = None
        if self._requester is not None:
            self._requester.close()

    def dump_state(self) -> Mapping[str, Any] | None:
        if self._unexpected.checked_at is None:
            return None
        return {
            "subject": self.options.subject,
            **self._unexpected.dump_state(),
            "containers": {name: restarts.dump_state() for name, restarts in self._restarts.items()},
        }

    def restore_state(self, state: Mapping[str, Any]) -> None:
        if state.get("subject", self.options.subject) != self.options.subject:
            return
        containers = state.get("containers")
        if not isinstance(containers, Mapping) or not self._unexpected.restore_state(state):
            return
        for container_id, stored in containers.items():
            if isinstance(stored, Mapping) and len(self._restarts) < MAX_RECORDED:
                self._restarts_of(str(container_id)).restore_state(stored)

    def _on_event(self, event: ContainerEvent | None) -> None:
        if event is None:
            # The first check is scheduled by the dispatcher, which spreads first checks over a few seconds.
            if self._unexpected.checked_at is not None:
                self._request_check()
            return
        if not self.options.matches(event.name, event.labels):
            return
        if event.id in self._restarts or len(self._restarts) < MAX_RECORDED:
            self._restarts_of(event.id).record(event)
        # On a busy host jobs start and end all the time.
        if self.options.container or event.name in self._problems or self._is_missing:
            needs_check = event.action != "kill"
        else:
            has_failed = event.action == "die" and event.exit_code != 0
            needs_check = has_failed or event.health == "unhealthy" or event.action in {"oom", "pause"}
        if needs_check:
            self._request_check()

    def _request_check(self, after_s: float = 0.0) -> None:
        if self._requester is not None:
            self._requester.request(after_s)

    def _restarts_of(self, container_id: str) -> ContainerRestarts:
        return self._restarts.setdefault(container_id, ContainerRestarts())

    # Checks

    async def check(self) -> Observation:
        watch = Stopwatch(self.tools.clock)
        options = self.options
        deadline = watch.began_s + self.settings.timeout_s
        for restarts in self._restarts.values():
            restarts.begin_check()
        try:
            outcome = await (self._check_one(deadline) if options.container else self._check_all(deadline))
        except EngineError as error:
            subject = self.options.subject
            result = f"the container engine cannot be queried: {error.detail}"
            reason = Reason.ENGINE_UNAVAILABLE
            if error.failure is EngineFailure.FORBIDDEN:
                reason = Reason.PROBER_FORBIDDEN
                result += f"; {permission_hint(self.options.socket)}"
            elif error.failure is EngineFailure.AWAY:
                # Containers may run without their engine, but nothing restarts them or checks their health.
                self._unexpected.record(is_expected=False)
                if self._accepted(reason, "", self.options.grace_s, None).reason is reason:
                    reason = Reason.REFUSED
            return watch.observation(reason, f"{subject}: {result}", subject=subject, outcome=result)
        self._unexpected.record(is_expected=outcome.is_as_expected)
        self._unexpected.checked_at = watch.started_at
        fields: dict[str, FieldValue] = {
            "response_time": watch.elapsed_s,
            "container.crashes": outcome.crashes,
        }
        excerpt = outcome.excerpt
        reason = outcome.reason
        if self.settings.up_when and reason in _FAILURES:  # it replaces the expected state
            reason = Reason.CONDITION_FAILED
        elif self.settings.up_when and reason is Reason.CONTAINER_STARTING:
            reason = Reason.OK
        if outcome.crashes and reason in {Reason.OK, Reason.CONTAINER_STARTING, Reason.CONDITION_FAILED}:
            by_crash = _REASON_OF_CRASH[self.options.on_crash]
            reason = reason if by_crash is Reason.OK else by_crash
        return watch.observation(
            reason,
            f"{options.subject} {outcome.text}",
            fields | outcome.fields,
            response_data=(lambda name, _: excerpt if name == EXCERPT else None) if excerpt else None,
            subject=options.subject,
            outcome=outcome.text,
        )

    async def _check_one(self, deadline: float) -> _ContainerOutcome:
        options, since = self.options, self._unexpected.checked_at
        state = await self.tools.containers.inspect(options.socket, options.container, deadline=deadline)
        # The engine also finds a container whose id begins with the name.
        if state is None or state.name != options.container:
            outcome = self._missing("not found")
            failed = () if outcome.reason is Reason.OK else (options.container,)
            outcome.fields = {"container.status": "missing", **_counts(0, 0, failed)}
            return outcome
        outcome = self._evaluate(state)
        outcome.crashes = self._count_crashes(state, since)
        self._restarts = {state.id: self._restarts_of(state.id)}
        if outcome.crashes and state.status != "restarting":
            times = "once" if outcome.crashes == 1 else counted(outcome.crashes, "time")
            previous = "" if since is None else f" since {time_text(since)}"
            outcome.text += f", crashed and was restarted {times}{previous}"
        failed = (state.name,) if outcome.reason in _FAILURES else ()
        fields: dict[str, FieldValue] = {
            "container.status": state.status,
            "container.health": state.health or "none",
            "container.oom_killed": state.is_oom_killed,
            "container.restarts": state.restarts,
            "container.image": state.image,
        }
        is_running = state.status in {"running", "paused"}
        if not is_running and state.status != "created":
            fields["container.exit_code"] = state.exit_code
        changed_at = state.started_at if is_running else state.finished_at or state.created_at
        for name, moment in (("container.age", state.created_at), ("container.since", changed_at)):
            if (age_s := self._age_s(moment)) is not None:
                fields[name] = age_s
        outcome.fields = fields | _counts(1, int(state.is_running), failed)
        outcome.excerpt = state.health_output if state.health == "unhealthy" else ""
        return outcome

    async def _check_all(self, deadline: float) -> _ContainerOutcome:
        options, since = self.options, self._unexpected.checked_at
        rows = await self.tools.containers.list(options.socket, deadline=deadline)
        matching = [row for row in rows if self.options.matches(row.name, row.labels)]
        # Containers that may have failed first, because the number of queries is limited.
        matching.sort(key=lambda row: (row.status == "running", row.name))
        self._is_missing = not matching
        states: list[ContainerState] = []
        for row in matching[:MAX_QUERIED]:
            state = await self.tools.containers.inspect(options.socket, row.id, deadline=deadline)
            if state is not None:  # it may have been removed since
                states.append(state)
        # The list contains no exit code of the other containers, so a container that has ended counts as finished.
        states += [ContainerState(row.id, row.name, row.status) for row in matching[MAX_QUERIED:]]
        if not states:
            missing = self._missing("no container matches")
            missing.fields = _counts(0, 0, ())
            return missing
        outcomes = [(state, self._evaluate(state)) for state in states]
        crashes = {
            state.name: count
            for state in states[:MAX_QUERIED]
            if (count := self._count_crashes(state, since))
        }
        self._restarts = {state.id: self._restarts_of(state.id) for state in states[:MAX_QUERIED]}
        problems = [
            (state.name, outcome)
            for state, outcome in outcomes
            if outcome.reason is not Reason.OK or not outcome.is_as_expected
        ]
        self._problems = frozenset(name for name, _ in problems)
        failed = tuple(state.name for state, outcome in outcomes if outcome.reason in _FAILURES)
        running = sum(state.is_running for state in states)
        text = f"{counted(len(states), 'container')}, {running} running"
        if problems:
            text = f"{len(problems)} of {counted(len(states), 'container')} with problems: "
            text += first_of([f"{name} {outcome.text}" for name, outcome in problems], MAX_NAMED)
        named = [name for name in crashes if name not in failed]
        if named:
            text += f"; crashed and restarted: {first_of(named, MAX_NAMED)}"
        return _ContainerOutcome(
            min((outcome.reason for _, outcome in outcomes), key=_WORST_FIRST.index),
            text,
            is_as_expected=all(outcome.is_as_expected for _, outcome in outcomes),
            crashes=sum(crashes.values()),
            fields=_counts(len(states), running, failed),
        )

    def _count_crashes(self, state: ContainerState, since: datetime | None) -> int:
        is_new = since is not None and state.created_at is not None and state.created_at > since
        return self._restarts_of(state.id).count_crashes(state, is_new=is_new)

    def _evaluate(self, state: ContainerState) -> _ContainerOutcome:
        """Compare the state of a container with the expected one. Requests a check for the end of `grace`."""
        text = _state_text(state)
        match state.status:
            case "running":
                is_unhealthy = state.health == "unhealthy"
                reason = Reason.CONTAINER_UNHEALTHY if is_unhealthy else Reason.OK
                if state.health == "starting":
                    reason = Reason.CONTAINER_STARTING
                return _ContainerOutcome(reason, text, is_as_expected=not is_unhealthy)
            case "restarting" if state.exit_code or state.is_oom_killed:
                if self.options.on_crash is not OnCrash.IGNORE:
                    return _ContainerOutcome(_REASON_OF_CRASH[self.options.on_crash], text)
            case "dead":
                return _ContainerOutcome(Reason.CONTAINER_FAILED, text)
            case "exited" | "stopped":
                return self._evaluate_end(state, text)
        since = state.created_at if state.status == "created" else state.finished_at
        if state.status not in {"created", "restarting"}:
            since = None
        return self._accepted(Reason.CONTAINER_STOPPED, text, self.options.grace_s, self._age_s(since))

    def _evaluate_end(self, state: ContainerState, text: str) -> _ContainerOutcome:
        """Evaluate the state of a container that has ended."""
        grace_s, age_s = self.options.grace_s, self._age_s(state.finished_at)
        is_stopped = self._restarts_of(state.id).is_stopped_by_user
        has_failed = state.is_oom_killed or (state.exit_code not in _STOPPED and not is_stopped)
        if state.exit_code == 0 and not is_stopped and state.policy not in _ALWAYS:
            if self.options.expect is ContainerExpectation.RUNNING_OR_FINISHED:
                return _ContainerOutcome(Reason.OK, f"{text}, finished", is_as_expected=True)
        elif has_failed and state.policy not in _ALWAYS:
            # With such a policy, a container that has ended was stopped by a user, or is about to be restarted.
            return self._accepted(Reason.CONTAINER_FAILED, text, min(SETTLE_S, grace_s), age_s)
        return self._accepted(Reason.CONTAINER_STOPPED, text, grace_s, age_s)

    def _missing(self, text: str) -> _ContainerOutcome:
        """Return the outcome without a container."""
        return self._accepted(Reason.CONTAINER_STOPPED, text, self.options.grace_s, None)

    def _accepted(self, reason: Reason, text: str, grace_s: float, age_s: float | None) -> _ContainerOutcome:
        """Return the outcome of a state that is accepted for `grace_s`. `age_s`: the age of the state, if known."""
        # The shorter time: after a boot, a container that has not been started yet ended long ago.
        ages_s = [known_s for known_s in (age_s, self._unexpected.age_s) if known_s is not None]
        left_s = grace_s - min(ages_s, default=grace_s)
        if left_s <= 0:
            return _ContainerOutcome(reason, text)
        self._request_check(left_s)
        return _ContainerOutcome(Reason.OK, f"{text}, accepted for {format_duration(grace_s)} (grace)")

    def _age_s(self, moment: datetime | None) -> float | None:
        """Return the time since then by the wall clock; None if it is not known."""
        return None if moment is None else max((self.tools.clock.now() - moment).total_seconds(), 0.0)


def _counts(count: int, running: int, failed: tuple[str, ...]) -> dict[str, FieldValue]:
    return {
        "container.count": count,
        "container.running": running,
        "container.failed": len(failed),
        "container.failed_containers": failed,
    }


# Reading


def parse_container_name(text: str) -> str:
    """Return the name of a container without a leading slash. Raises InvalidValueError."""
    name = text.removeprefix("/")
    if any(character in name for character in "*?["):
        raise InvalidValueError("is a pattern", 'write containers = "…" for several containers')
    if not _NAME.fullmatch(name):
        raise InvalidValueError("is not the name of a container", 'write a value such as "web"')
    return name


def parse_container_pattern(text: str) -> str:
    """Return a pattern for names of containers, as in a shell. Raises InvalidValueError."""
    if not text or "/" in text or any(character.isspace() for character in text):
        raise InvalidValueError("is not a pattern for names of containers", 'write a value such as "shop-*"')
    return text


def parse_label(text: str) -> tuple[str, str | None]:
    """Return the name of a label, and its value if there is one: "app=shop", "app". Raises InvalidValueError."""
    name, equals, value = text.partition("=")
    if not name or name.strip() != name:
        raise InvalidValueError("is not a label", 'write "name=value", or "name" for any value')
    return name, value if equals else None


def parse_socket(text: str) -> str:
    """Return the path of a Unix socket. Raises InvalidValueError."""
    path = text.removeprefix("unix://")
    if not path.startswith("/") or "\0" in path:
        raise InvalidValueError(
            "is not the path of a Unix socket", f'write a value such as "{DEFAULT_SOCKET}"'
        )
    if len(path.encode()) > MAX_SOCKET_BYTES:
        raise InvalidValueError(f"is longer than {MAX_SOCKET_BYTES} bytes (unix(7))", "choose a shorter path")
    return path


def _warn_without_socket(table: Table, socket: str) -> None:
    try:
        if Path(socket).exists():
            return
        other = next(
            (path for path in (DEFAULT_SOCKET, PODMAN_SOCKET) if path != socket and Path(path).exists()), ""
        )
    except OSError:
        return  # the check reports the missing permission
    hint = f'write socket = "{other}"' if other else "install docker.io, or podman and enable podman.socket"
    table.warn("socket", f"containers cannot be checked: there is no socket {socket}", hint)


def permission_hint(socket: str) -> str:
    """Return how the service gets permission to use the socket of this engine."""
    if Path(socket).name == Path(PODMAN_SOCKET).name:
        return (
            "the service needs permission to use the socket: see /usr/share/doc/monitord/guide/containers.md"
        )
    return (
        "the service needs the group of the socket: SupplementaryGroups=docker in a drop-in (systemctl edit monitord); "
        "see monitord-monitors(5)"
    )


# Texts


def _state_text(state: ContainerState) -> str:
    """Return the state: "exited (status 3) since 2026-01-31 18:00:00 UTC", "running (unhealthy) since …"."""
    details, since = "", state.finished_at
    if state.status == "running":
        details, since = state.health, state.started_at
    elif state.status == "paused":
        since = None
    elif state.status == "created":
        details, since = "never started", state.created_at
    else:
        # How the last run has ended: "status 3", "signal 9, out of memory".
        code = state.exit_code
        text = f"signal {code - 128}" if _FIRST_SIGNAL <= code <= _LAST_SIGNAL else f"status {code}"
        details = f"{text}, out of memory" if state.is_oom_killed else text
    shown = shortened(plain(state.status), MAX_STATUS_CHARACTERS) or "in an unknown state"
    return (
        shown
        + (f" ({shortened(plain(details), MAX_STATUS_CHARACTERS)})" if details else "")
        + ("" if since is None else f" since {time_text(since)}")
    )
