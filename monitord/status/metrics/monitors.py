"""The metrics of monitors as one table: name, what it says, and how it is read from one of them.

`probe_*` are named and valued as in blackbox_exporter, so that dashboards and rules made for it work.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitord.dispatch import MonitorState
from monitord.model import FieldValue, Result, State, Verdict
from monitord.status.model.read_model import MonitorRecord

HTTP_PHASES = ("resolve", "connect", "processing", "tls", "transfer")
DNS_PHASES = {"resolve": "resolve", "connect": "connect", "request": "processing"}
PERFDATA = "perfdata."

Values = Iterable[tuple[tuple[str, ...], float]]


@dataclass(frozen=True, slots=True)
class Row:
    """One monitor as it is scraped. `labels` are its name and its tags, `plain` is its name alone."""

    state: MonitorState
    record: MonitorRecord
    labels: dict[str, str]
    plain: dict[str, str]

    @property
    def fields(self) -> Mapping[str, FieldValue]:
        last = self.state.last
        return {} if last is None else last.observation.fields

    @property
    def type_name(self) -> str:
        return self.record.monitor.settings.type_name


@dataclass(frozen=True, slots=True)
class MonitorMetric:
    """`extra`: labels beside the monitor's own. `has_tags`: those of its tags are on it as well.

    `follows`: what of a monitor it is made of, where that changes seldom. Its lines are kept until then.
    """

    name: str
    about: str
    read: Callable[[Row], Values]
    extra: tuple[str, ...] = ()
    kind: str = "gauge"
    has_tags: bool = True
    follows: Callable[[Row], Hashable] | None = None


def _number(field: str) -> Callable[[Row], Values]:
    def read(row: Row) -> Values:
        value = row.fields.get(field)
        if isinstance(value, int | float):
            yield (), float(value)

    return read


def _of_http(field: str) -> Callable[[Row], Values]:
    """0 where a check came to nothing, as blackbox_exporter has it."""

    def read(row: Row) -> Values:
        if row.type_name == "http" and row.state.last is not None:
            yield (), _float(row.fields.get(field))

    return read


def _float(value: FieldValue) -> float:
    try:
        return float(value) if isinstance(value, str | int | float) else 0.0
    except ValueError:
        return 0.0


def _success(row: Row) -> Values:
    """Of the last sure check: one that says nothing of what is watched changes nothing."""
    last = row.state.last
    if last is not None and last.verdict is not Verdict.INCONCLUSIVE:
        yield (), float(last.verdict is not Verdict.FAIL)
    elif row.record.has_passed is not None:
        yield (), float(row.record.has_passed)


def _duration(row: Row) -> Values:
    if row.state.last is not None:
        yield (), row.state.last.observation.duration_s


def _http_phases(row: Row) -> Values:
    if row.type_name == "http" and row.state.last is not None:
        for phase in HTTP_PHASES:
            yield (phase,), _float(row.fields.get(f"phase.{phase}"))


def _http_ssl(row: Row) -> Values:
    if row.type_name == "http" and row.state.last is not None:
        yield (), float("tls.version" in row.fields)


def _dns_phases(row: Row) -> Values:
    if row.type_name == "dns" and row.state.last is not None:
        for phase, ours in DNS_PHASES.items():
            yield (phase,), _float(row.fields.get(f"phase.{ours}"))


def _icmp_phases(row: Row) -> Values:
    if row.type_name == "icmp" and row.state.last is not None:
        yield ("resolve",), _float(row.fields.get("phase.resolve"))
        yield ("rtt",), _float(row.fields.get("ping.rtt"))


def _certificate_ends(row: Row) -> Values:
    last = row.state.last
    if last is not None and (ends_at := _end_of_certificate(last)) is not None:
        yield (), ends_at.timestamp()


def _end_of_certificate(last: Result) -> datetime | None:
    fields = last.observation.fields
    ends_at, expires_in_s = fields.get("certificate.expires_at"), fields.get("certificate.expires_in")
    if isinstance(ends_at, str):
        return datetime.fromisoformat(ends_at)
    if isinstance(expires_in_s, int | float):
        ended_at = last.observation.started_at + timedelta(seconds=last.observation.duration_s)
        return (ended_at + timedelta(seconds=expires_in_s)).replace(microsecond=0)
    return None


def _perfdata(row: Row) -> Values:
    for name, value in row.fields.items():
        if name.startswith(PERFDATA) and isinstance(value, int | float):
            yield (name[len(PERFDATA) :],), float(value)


def _info(row: Row) -> Values:
    yield (row.type_name,), 1.0


_STATES = tuple(((health.value,), health) for health in State)


def _state(row: Row) -> Values:
    stands = row.state.effective
    for label, health in _STATES:
        yield label, 1.0 if stands is health else 0.0


def _state_seconds(row: Row) -> Values:
    for health, seconds in row.record.seconds.items():
        yield (health.value,), seconds


def _checks(row: Row) -> Values:
    for verdict in Verdict:
        if verdict in _COMMON or row.record.verdicts[verdict]:
            yield (verdict.value,), float(row.record.verdicts[verdict])


_COMMON = frozenset({Verdict.PASS, Verdict.FAIL})


def _in_maintenance(row: Row) -> Values:
    yield (), float(row.state.window is not None)


def _last_check(row: Row) -> Values:
    if row.state.last is not None:
        yield (), row.state.last.observation.started_at.timestamp()


MONITOR_METRICS = (
    MonitorMetric("probe_success", "Whether the last sure check passed, if only with a warning", _success),
    MonitorMetric("probe_duration_seconds", "How long the last check took", _duration),
    MonitorMetric("probe_ip_protocol", "Whether it went over IPv4 or IPv6", _number("ip_version")),
    MonitorMetric("probe_dns_lookup_time_seconds", "What looking up the name took", _number("phase.resolve")),
    MonitorMetric(
        "probe_http_duration_seconds", "What each phase took, over all redirects", _http_phases, ("phase",)
    ),
    MonitorMetric("probe_http_status_code", "The status of the response; 0: none came", _of_http("status")),
    MonitorMetric("probe_http_version", "The version of HTTP of the response", _of_http("http_version")),
    MonitorMetric("probe_http_redirects", "How many redirects were followed", _of_http("redirects")),
    MonitorMetric("probe_http_ssl", "Whether TLS was used for the last request", _http_ssl),
    MonitorMetric(
        "probe_ssl_earliest_cert_expiry", "When the first certificate of the chain ends", _certificate_ends
    ),
    MonitorMetric("probe_dns_duration_seconds", "What each phase took", _dns_phases, ("phase",)),
    MonitorMetric("probe_dns_answer_rrs", "How many records were answered", _number("dns.answer_count")),
    MonitorMetric("probe_dns_serial", "The serial of the zone", _number("dns.serial")),
    MonitorMetric("probe_icmp_duration_seconds", "What each phase took", _icmp_phases, ("phase",)),
    MonitorMetric(
        "monitord_perfdata", "What a plugin measured, in the unit that it gave", _perfdata, ("label",)
    ),
    MonitorMetric(
        "monitord_monitor_info",
        "What a monitor is, for joins",
        _info,
        ("type",),
        follows=lambda row: (row.type_name, *row.labels.items()),
    ),
    MonitorMetric(
        "monitord_monitor_state",
        "1 for the state that a monitor is in",
        _state,
        ("state",),
        has_tags=False,
        follows=lambda row: (row.plain["monitor"], row.state.effective),
    ),
    MonitorMetric(
        "monitord_monitor_state_seconds",
        "Time in each state since the daemon began",
        _state_seconds,
        ("state",),
        kind="counter",
        has_tags=False,
    ),
    MonitorMetric(
        "monitord_monitor_checks",
        "Checks since the daemon began",
        _checks,
        ("verdict",),
        kind="counter",
        has_tags=False,
    ),
    MonitorMetric(
        "monitord_monitor_in_maintenance", "Whether a window is open for it", _in_maintenance, has_tags=False
    ),
    MonitorMetric(
        "monitord_monitor_last_check_timestamp_seconds",
        "When the last check began",
        _last_check,
        has_tags=False,
    ),
)
