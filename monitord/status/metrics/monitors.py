"""The metrics of monitors as a table: name, help text, and a function that reads the values of a monitor.

`probe_*` have the names of blackbox_exporter. Differences: the label is `monitor` instead of `instance`;
`probe_icmp_duration_seconds` has no phase `setup`; `probe_success` is that of the last conclusive check, where a
warning is a success.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitord.dispatch import MonitorState
from monitord.health.objectives import burn_windows_s
from monitord.model import FieldValue, State, Verdict
from monitord.monitors.objective import BURN_RATES, ObjectiveOptions
from monitord.status.model.read_model import MonitorRecord
from monitord.units import format_duration

HTTP_PHASES = ("resolve", "connect", "processing", "tls", "transfer")
DNS_PHASES = {"resolve": "resolve", "connect": "connect", "request": "processing"}
PERFDATA = "perfdata."

Values = Iterable[tuple[tuple[str, ...], float]]


@dataclass(frozen=True, slots=True)
class ScrapedMonitor:
    """One monitor in a scrape. `labels`: its name and its tags; `plain`: its name alone."""

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
    """`extra`: names of further labels. `has_tags`: its series have the labels of the tags as well.

    `follows`: the values that it depends on, if they rarely change. Its lines are cached until they do.
    """

    name: str
    description: str
    read: Callable[[ScrapedMonitor], Values]
    extra: tuple[str, ...] = ()
    kind: str = "gauge"
    has_tags: bool = True
    follows: Callable[[ScrapedMonitor], Hashable] | None = None


def _number(field: str) -> Callable[[ScrapedMonitor], Values]:
    def read(row: ScrapedMonitor) -> Values:
        value = row.fields.get(field)
        if isinstance(value, int | float):
            yield (), float(value)

    return read


def _of_http(field: str) -> Callable[[ScrapedMonitor], Values]:
    """0 if the check got no response, as in blackbox_exporter."""

    def read(row: ScrapedMonitor) -> Values:
        if row.type_name == "http" and row.state.last is not None:
            yield (), _float(row.fields.get(field))

    return read


def _float(value: FieldValue) -> float:
    try:
        return float(value) if isinstance(value, str | int | float) else 0.0
    except ValueError:
        return 0.0


def _success(row: ScrapedMonitor) -> Values:
    """The result of the last conclusive check: an inconclusive check gives no information about the target."""
    last = row.state.last
    if last is not None and last.verdict is not Verdict.INCONCLUSIVE:
        yield (), float(last.verdict is not Verdict.FAIL)
    elif row.record.has_passed is not None:
        yield (), float(row.record.has_passed)


def _duration(row: ScrapedMonitor) -> Values:
    if row.state.last is not None:
        yield (), row.state.last.observation.duration_s


def _http_phases(row: ScrapedMonitor) -> Values:
    if row.type_name == "http" and row.state.last is not None:
        for phase in HTTP_PHASES:
            yield (phase,), _float(row.fields.get(f"phase.{phase}"))


def _http_ssl(row: ScrapedMonitor) -> Values:
    if row.type_name == "http" and row.state.last is not None:
        yield (), float("tls.version" in row.fields)


def _dns_phases(row: ScrapedMonitor) -> Values:
    if row.type_name == "dns" and row.state.last is not None:
        for label, phase in DNS_PHASES.items():
            yield (label,), _float(row.fields.get(f"phase.{phase}"))


def _icmp_phases(row: ScrapedMonitor) -> Values:
    if row.type_name == "icmp" and row.state.last is not None:
        yield ("resolve",), _float(row.fields.get("phase.resolve"))
        yield ("rtt",), _float(row.fields.get("ping.rtt"))


def _certificate_expiry(row: ScrapedMonitor) -> Values:
    last = row.state.last
    expires_at, expires_in_s = (
        row.fields.get("certificate.expires_at"),
        row.fields.get("certificate.expires_in"),
    )
    if isinstance(expires_at, str):
        yield (), datetime.fromisoformat(expires_at).timestamp()
    elif last is not None and isinstance(expires_in_s, int | float):
        ended_at = last.observation.started_at + timedelta(seconds=last.observation.duration_s)
        yield (), (ended_at + timedelta(seconds=expires_in_s)).replace(microsecond=0).timestamp()


def _perfdata(row: ScrapedMonitor) -> Values:
    for name, value in row.fields.items():
        if name.startswith(PERFDATA) and isinstance(value, int | float):
            yield (name[len(PERFDATA) :],), float(value)


def _info(row: ScrapedMonitor) -> Values:
    context = row.record.monitor.settings.context
    yield (row.type_name, context.title, context.description, context.severity.value), 1.0


_STATES = tuple(((state.value,), state) for state in State)


def _state(row: ScrapedMonitor) -> Values:
    current = row.state.effective
    for labels, state in _STATES:
        yield labels, 1.0 if current is state else 0.0


def _state_seconds(row: ScrapedMonitor) -> Values:
    for state, seconds in row.record.seconds.items():
        yield (state.value,), seconds


def _checks(row: ScrapedMonitor) -> Values:
    for verdict in Verdict:
        count = row.record.count(verdict)
        if count or verdict in _ALWAYS_SHOWN:
            yield (verdict.value,), float(count)


_ALWAYS_SHOWN = frozenset({Verdict.PASS, Verdict.FAIL})


def _in_maintenance(row: ScrapedMonitor) -> Values:
    yield (), float(row.state.maintenance is not None)


def _last_check(row: ScrapedMonitor) -> Values:
    if row.state.last is not None:
        yield (), row.state.last.observation.started_at.timestamp()


def _objective_target(row: ScrapedMonitor) -> Values:
    options = row.record.monitor.settings.options
    if isinstance(options, ObjectiveOptions):
        yield (), options.objective.target_ratio


def _ratio(field: str) -> Callable[[ScrapedMonitor], Values]:
    """A percentage as a ratio."""

    def read(row: ScrapedMonitor) -> Values:
        value = row.fields.get(field)
        if isinstance(value, int | float):
            yield (), value / 100

    return read


def _burn_rates(row: ScrapedMonitor) -> Values:
    options = row.record.monitor.settings.options
    if isinstance(options, ObjectiveOptions):
        windows_s = burn_windows_s(options.objective)
        for field, window_s in zip(BURN_RATES, windows_s, strict=True):
            rate = row.fields.get(field)
            if isinstance(rate, int | float):
                yield (format_duration(window_s),), float(rate)


MONITOR_METRICS = (
    MonitorMetric(
        "probe_success",
        "Whether the last conclusive check was a success; a warning counts as a success.",
        _success,
    ),
    MonitorMetric("probe_duration_seconds", "Duration of the last check.", _duration),
    MonitorMetric("probe_ip_protocol", "IP version of the last check: 4 or 6.", _number("ip_version")),
    MonitorMetric(
        "probe_dns_lookup_time_seconds", "Duration of the name resolution.", _number("phase.resolve")
    ),
    MonitorMetric(
        "probe_http_duration_seconds",
        "Duration of the HTTP request by phase, summed over all redirects.",
        _http_phases,
        ("phase",),
    ),
    MonitorMetric(
        "probe_http_status_code",
        "HTTP status code of the response; 0 without a response.",
        _of_http("status"),
    ),
    MonitorMetric("probe_http_version", "HTTP version of the response.", _of_http("http_version")),
    MonitorMetric("probe_http_redirects", "Number of redirects followed.", _of_http("redirects")),
    MonitorMetric("probe_http_ssl", "Whether TLS was used for the final request.", _http_ssl),
    MonitorMetric(
        "probe_ssl_earliest_cert_expiry",
        "Unix timestamp of the earliest expiry in the certificate chain.",
        _certificate_expiry,
    ),
    MonitorMetric(
        "probe_dns_duration_seconds", "Duration of the DNS query by phase.", _dns_phases, ("phase",)
    ),
    MonitorMetric(
        "probe_dns_answer_rrs", "Number of records in the answer section.", _number("dns.answer_count")
    ),
    MonitorMetric("probe_dns_serial", "Serial number of the zone.", _number("dns.serial")),
    MonitorMetric("probe_icmp_duration_seconds", "Duration of the ping by phase.", _icmp_phases, ("phase",)),
    MonitorMetric(
        "monitord_perfdata",
        "Performance data of the plugin, in the unit of the plugin.",
        _perfdata,
        ("label",),
    ),
    MonitorMetric(
        "monitord_objective_target_ratio",
        "Target of the objective: the ratio of good time.",
        _objective_target,
    ),
    MonitorMetric(
        "monitord_objective_achieved_ratio",
        "Ratio of good time in the window of the objective.",
        _ratio("objective.achieved_percent"),
    ),
    MonitorMetric(
        "monitord_error_budget_remaining_ratio",
        "Ratio of the error budget of the objective that is left; negative if the objective is missed.",
        _ratio("error_budget.left_percent"),
    ),
    MonitorMetric(
        "monitord_burn_rate",
        "Burn rate of the error budget over a window; 1 uses it up within the window of the objective.",
        _burn_rates,
        ("window",),
    ),
    MonitorMetric(
        "monitord_monitor_info",
        "Type, title, description, severity and tags of the monitor; the value is always 1.",
        _info,
        ("type", "title", "description", "severity"),
        follows=lambda row: (row.type_name, row.record.monitor.settings.context, *row.labels.items()),
    ),
    MonitorMetric(
        "monitord_monitor_state",
        "Whether the monitor is in this state.",
        _state,
        ("state",),
        has_tags=False,
        follows=lambda row: (row.plain["monitor"], row.state.effective),
    ),
    MonitorMetric(
        "monitord_monitor_state_seconds",
        "Total time in each state since the start of the daemon.",
        _state_seconds,
        ("state",),
        kind="counter",
        has_tags=False,
    ),
    MonitorMetric(
        "monitord_monitor_checks",
        "Total number of completed checks by verdict.",
        _checks,
        ("verdict",),
        kind="counter",
        has_tags=False,
    ),
    MonitorMetric(
        "monitord_monitor_in_maintenance",
        "Whether a maintenance window of the monitor is open.",
        _in_maintenance,
        has_tags=False,
    ),
    MonitorMetric(
        "monitord_monitor_last_check_timestamp_seconds",
        "Unix timestamp of the start of the last check.",
        _last_check,
        has_tags=False,
    ),
)
