"""Monitor type `domain`: the registration of a domain, from its registry by RDAP or WHOIS.

    type = "domain"
    domain = "example.org"

Without conditions, a check fails if the domain is not registered, is on hold or about to be deleted, or expires within
FAIL_BEFORE_S; it warns within WARN_BEFORE_S.

Registries limit queries. Therefore a response is used for most of `check_every` and at least for MIN_AGE_S, even after
a restart of the daemon, and `Registries` spreads the queries of all monitors. If a registry does not respond, this
gives no information about the domain: the previous response is used as long as it is good and not too old.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from monitord.clock import time_text
from monitord.conditions import EXPIRY, LATENCY, FieldType, Vocabulary
from monitord.config import Table
from monitord.errors import InvalidValueError
from monitord.health import HealthPolicy
from monitord.model import FieldValue, Observation, Reason
from monitord.monitors.base import Monitor, MonitorSettings, Stopwatch, Tools
from monitord.monitors.check_requester import CheckRequester
from monitord.net import TlsOptions, parse_target
from monitord.net.base.addressing import parse_host
from monitord.net.registry import whois
from monitord.net.registry.bootstrap import BootstrapError, rdap_server
from monitord.net.registry.client import RegistryClient
from monitord.net.registry.limits import WHOIS_PORT, RegistrySource
from monitord.net.registry.registration import NotRegisteredError, Registration, RegistryError
from monitord.net.stream.client import StreamClient
from monitord.text import first_of, plain, shortened

CHECK_EVERY_S = 12 * 3600.0
TIMEOUT_S = 20.0
MIN_AGE_S = 3600.0
"""A response is used for at least this time, however often the monitor is checked."""
AGE_SHARE = 0.9
"""The share of `check_every` for which a response is used."""
MAX_AGE_S = 7 * 86400.0
"""Maximum age of a response that is still used."""
CONFIRM_AFTER_S = 900.0
"""A missing domain is confirmed by a second response, at least this time after the first."""
RETRY_FIRST_S = 900.0
RETRY_LAST_S = 6 * 3600.0
"""Interval of queries to a registry that does not respond: doubled after each failure, with jitter."""
MAX_WAIT_S = 5.0
"""The longest wait of a check for the limit on queries; beyond it, another check is requested."""

WARN_BEFORE_S = 21 * 86400.0
FAIL_BEFORE_S = 7 * 86400.0
MAX_SHOWN = 3
LEVELS = 2
"""Labels of a registrable domain, unless its registry has domains of its own at the second level."""
COUNTRY_CODE_CHARACTERS = 2

_HELD = frozenset({"clientHold", "serverHold", "redemptionPeriod", "pendingDelete", "pendingRestore"})
"""Statuses in which a domain does not resolve, or is going to be deleted (RFC 5731, RFC 3915)."""

# Registries whose responses have no expiry date.
WITHOUT_EXPIRY = frozenset({"at", "be", "ch", "de", "es", "eu", "gr", "hu", "li", "lu", "lv", "nl", "no"})

# Second-level domains below which country-code registries register names.
_SECOND_LEVEL = frozenset(
    {
        *(
            "ac",
            "adv",
            "asn",
            "asso",
            "co",
            "com",
            "edu",
            "eng",
            "gen",
            "go",
            "gob",
            "gouv",
            "gov",
            "govt",
            "gr",
        ),
        *("gub", "id", "ind", "info", "lg", "ltd", "me", "med", "mil", "ne", "net", "nhs", "nom", "ny", "or"),
        *("org", "plc", "pro", "re", "sch", "school", "tm", "web"),
    }
)
_ONLY_THIRD_LEVEL = frozenset({"jp", "nz", "uk", "za"})
"""Registries whose second-level domains in `_SECOND_LEVEL` are never registered by others."""

VOCABULARY = Vocabulary(
    {
        "response_time": FieldType.DURATION,
        "domain.expires_in": FieldType.DURATION,
        "domain.expires_at": FieldType.TEXT,
        "domain.registered": FieldType.FLAG,
        "domain.registrar": FieldType.TEXT,
        "domain.statuses": FieldType.TEXTS,
        "domain.nameservers": FieldType.TEXTS,
        "domain.dnssec": FieldType.FLAG,
        "domain.protocol": FieldType.TEXT,
        "domain.response_age": FieldType.DURATION,
    },
    {"response_time": LATENCY, "domain.expires_in": EXPIRY},
)


@dataclass(frozen=True, slots=True)
class DomainOptions:
    """`server`: where the registration is queried; None if the configuration has an error."""

    domain: str
    server: RegistrySource | None = None
    warn_before_s: float = WARN_BEFORE_S
    fail_before_s: float = FAIL_BEFORE_S
    publishes_expiry: bool = True
    tls: TlsOptions = field(default_factory=TlsOptions)


@dataclass(frozen=True, slots=True)
class _RegistryResponse:
    """The last response of the registry. `registration` None: there is no such domain."""

    registration: Registration | None
    at: datetime
    is_confirmed: bool = True


class DomainMonitor(Monitor[DomainOptions]):
    type_name: ClassVar[str] = "domain"
    default_policy: ClassVar[HealthPolicy] = HealthPolicy(fail_after=1, degrade_after=1)
    default_check_every_s: ClassVar[float] = CHECK_EVERY_S
    default_timeout_s: ClassVar[float] = TIMEOUT_S
    vocabulary: ClassVar[Vocabulary] = VOCABULARY

    def __init__(self, settings: MonitorSettings, tools: Tools) -> None:
        super().__init__(settings, tools)
        streams = StreamClient(tools.resolver, tools.tls_contexts)
        self._client = RegistryClient(tools.http, streams, tools.registries, tools.clock.now)
        self._requester: CheckRequester | None = None
        self._known: _RegistryResponse | None = None
        self._problem = ""
        self._failures = 0
        self._is_reserved = False
        self._next_query_at: datetime | None = None
        """The time before which the registry is not queried."""

    @property
    def pool(self) -> str | None:
        return None if self.options.server is None else self.options.server.key

    @classmethod
    def read_options(cls, table: Table) -> DomainOptions:
        domain = table.value("domain", parse_domain_name, default="", required=True)
        bootstrap = table.value("bootstrap", _absolute_path, default="")
        server = table.value("server", parse_server, default=None)
        fail_before_s = table.duration("fail_before", default=FAIL_BEFORE_S)
        warn_before_s = table.duration("warn_before", default=max(WARN_BEFORE_S, fail_before_s))
        if warn_before_s < fail_before_s:
            table.error("warn_before", "is less than fail_before", "write a longer time")
        default_server = _source_of(table, domain, bootstrap)
        name = domain.rpartition(".")[2]
        publishes_expiry = server is not None or name not in WITHOUT_EXPIRY
        if not publishes_expiry:
            table.warn(
                "domain",
                f"the registry of .{name} publishes no expiry date: only the registration and its status are checked",
            )
        return DomainOptions(domain, server or default_server, warn_before_s, fail_before_s, publishes_expiry)

    @classmethod
    def absent_fields(cls, options: DomainOptions) -> Mapping[str, str]:
        if options.publishes_expiry:
            return {}
        return dict.fromkeys(
            ("domain.expires_in", "domain.expires_at"), "is not published by the registry of this domain"
        )

    def start(self, wake: Callable[[], None]) -> None:
        self._requester = CheckRequester(wake)

    async def close(self) -> None:
        if self._requester is not None:
            self._requester.close()

    # Stored state

    def dump_state(self) -> Mapping[str, Any] | None:
        known, next_query_at = self._known, self._next_query_at
        state: dict[str, Any] = {
            "domain": self.options.domain,
            "failures": self._failures,
            "problem": self._problem,
        }
        if next_query_at is not None:
            state["next_query_at"] = next_query_at.isoformat()
        if known is not None:
            state |= {"at": known.at.isoformat(), "is_confirmed": known.is_confirmed}
            if known.registration is not None:
                registration = known.registration
                expires_at = registration.expires_at
                state["registration"] = {
                    "expires_at": None if expires_at is None else expires_at.isoformat(),
                    "registrar": registration.registrar,
                    "statuses": list(registration.statuses),
                    "nameservers": list(registration.nameservers),
                    "has_dnssec": registration.has_dnssec,
                }
        return state

    def restore_state(self, state: Mapping[str, Any]) -> None:
        if state.get("domain") != self.options.domain:
            return
        failures, problem = state.get("failures"), state.get("problem")
        self._failures = failures if isinstance(failures, int) else 0
        self._problem = problem if isinstance(problem, str) else ""
        self._next_query_at = _moment(state.get("next_query_at"))
        at, stored = _moment(state.get("at")), state.get("registration")
        if at is None or at > self.tools.clock.now():
            return
        registration = _restored(stored) if isinstance(stored, Mapping) else None
        if (registration is None) == (stored is None):
            self._known = _RegistryResponse(registration, at, state.get("is_confirmed") is True)

    # Checks

    async def check(self) -> Observation:
        watch = Stopwatch(self.tools.clock)
        was_queried = await self._refresh(watch.began_s + self.settings.timeout_s)
        known, now = self._known, self.tools.clock.now()
        reason, result = self._evaluate(known, now)
        if self._problem:
            is_good = reason is Reason.OK and known is not None
            result = f"{result}; " if known is not None else ""
            result += f"the registry cannot be queried: {self._problem}"
            if not is_good:
                reason = Reason.DOMAIN_QUERY_FAILED
        fields: dict[str, FieldValue] = {"response_time": watch.elapsed_s}
        if known is not None and reason is not Reason.DOMAIN_QUERY_FAILED:
            fields |= self._fields(known, now)
        if self.settings.up_when and reason in {
            Reason.DOMAIN_EXPIRING,
            Reason.DOMAIN_NOT_RENEWED,
            Reason.DOMAIN_EXPIRED,
            Reason.DOMAIN_HELD,
        }:
            reason = Reason.CONDITION_FAILED
        domain = self.options.domain
        return watch.observation(
            reason,
            f"{domain}: {result}",
            fields,
            subject=domain,
            outcome=result,
            shows_connectivity=True if was_queried and not self._problem else None,
        )

    async def _refresh(self, deadline: float) -> bool:
        """Query the registry if that is due and permitted. Return whether it was queried."""
        now, source = self.tools.clock.now(), self.options.server
        if source is None:
            return False
        if not self._is_due(now):
            # Even after a restart, and if the timer was a little earlier than the wall clock.
            if self._next_query_at is not None and self._requester is not None:
                self._requester.request((self._next_query_at - now).total_seconds())
            return False
        registries = self.tools.registries
        # A monitor that has waited for its query reserves another query only if the server has been blocked since then.
        is_reserved, self._is_reserved = self._is_reserved and not registries.is_blocked(source), False
        delay_s = 0.0 if is_reserved else registries.reserve(source)
        if delay_s > MAX_WAIT_S:
            if self._known is None:
                self._problem = "queued, because the rate of queries is limited"
            self._postpone(now, delay_s)
            self._is_reserved = True
            return False
        if delay_s > 0:
            await asyncio.sleep(delay_s)
        try:
            registration: Registration | None = await self._client.query(
                source, self.options.domain, deadline=deadline, tls=self.options.tls
            )
        except NotRegisteredError:
            registration = None
        except RegistryError as error:
            self._problem = shortened(plain(error.detail), 200)
            self._failures += 1
            wait_s = min(RETRY_FIRST_S * 2 ** min(self._failures - 1, 10), RETRY_LAST_S)
            self._postpone(now, max(wait_s * random.uniform(0.8, 1.2), error.retry_after_s or 0.0))  # noqa: S311 - jitter
            return True
        before, self._problem, self._failures, self._next_query_at = self._known, "", 0, None
        was_missing = before is not None and before.registration is None
        self._known = _RegistryResponse(registration, now, registration is not None or was_missing)
        if not self._known.is_confirmed:
            self._postpone(now, CONFIRM_AFTER_S)
        return True

    def _is_due(self, now: datetime) -> bool:
        if self._next_query_at is not None:
            # After a step of the clock, the time may be far in the future.
            return not now < self._next_query_at <= now + timedelta(seconds=2 * 86400)
        if self._known is None or not self._known.is_confirmed:
            return True
        age_s = (now - self._known.at).total_seconds()
        return age_s < 0 or age_s >= max(self.settings.check_every_s * AGE_SHARE, MIN_AGE_S)

    def _postpone(self, now: datetime, seconds: float) -> None:
        self._next_query_at = now + timedelta(seconds=seconds)
        if self._requester is not None:
            self._requester.request(seconds)

    def _evaluate(self, known: _RegistryResponse | None, now: datetime) -> tuple[Reason, str]:
        """Return the default verdict on a response, and the registration in words."""
        if known is None:
            return Reason.DOMAIN_QUERY_FAILED, "not queried yet"
        if (now - known.at).total_seconds() > MAX_AGE_S:
            return Reason.DOMAIN_QUERY_FAILED, f"last response at {time_text(known.at)}"
        if known.registration is not None:
            return self._evaluate_registration(known.registration, now)
        if known.is_confirmed:
            return Reason.DOMAIN_MISSING, "not registered"
        return Reason.DOMAIN_QUERY_FAILED, "not registered; another query will confirm it"

    def _evaluate_registration(self, registration: Registration, now: datetime) -> tuple[Reason, str]:
        if held := [status for status in registration.statuses if status in _HELD]:
            return Reason.DOMAIN_HELD, f"status {first_of(held, MAX_SHOWN)}"
        if registration.expires_at is None:
            return Reason.OK, "registered, without an expiry date"
        left_s = (registration.expires_at - now).total_seconds()
        result = f"{'expired' if left_s <= 0 else 'expires'} at {time_text(registration.expires_at)}"
        if left_s < max(self.options.fail_before_s, 0.001):
            return Reason.DOMAIN_EXPIRED if left_s <= 0 else Reason.DOMAIN_NOT_RENEWED, result
        return Reason.DOMAIN_EXPIRING if left_s < self.options.warn_before_s else Reason.OK, result

    def _fields(self, known: _RegistryResponse, now: datetime) -> dict[str, FieldValue]:
        registration = known.registration
        fields: dict[str, FieldValue] = {
            "domain.registered": registration is not None,
            "domain.protocol": "" if self.options.server is None else self.options.server.protocol,
            "domain.response_age": max((now - known.at).total_seconds(), 0.0),
        }
        if registration is None:
            return fields
        fields |= {
            "domain.registrar": registration.registrar,
            "domain.statuses": registration.statuses,
            "domain.nameservers": registration.nameservers,
        }
        if registration.has_dnssec is not None:
            fields["domain.dnssec"] = registration.has_dnssec
        if registration.expires_at is not None:
            fields |= {
                "domain.expires_in": (registration.expires_at - now).total_seconds(),
                "domain.expires_at": registration.expires_at.isoformat(),
            }
        return fields


def _restored(stored: Mapping[str, Any]) -> Registration | None:
    statuses, nameservers, dnssec = (
        stored.get("statuses"),
        stored.get("nameservers"),
        stored.get("has_dnssec"),
    )
    expires_at = _moment(stored.get("expires_at"))
    if not (isinstance(statuses, list) and isinstance(nameservers, list)):
        return None
    if expires_at is None and stored.get("expires_at") is not None:
        return None
    return Registration(
        expires_at=expires_at,
        registrar=str(stored.get("registrar", "")),
        statuses=tuple(map(str, statuses)),
        nameservers=tuple(map(str, nameservers)),
        has_dnssec=dnssec if isinstance(dnssec, bool) else None,
    )


def _moment(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None


# Reading


def _source_of(table: Table, domain: str, bootstrap: str) -> RegistrySource | None:
    """Return the server of the registry, by the bootstrap file."""
    try:
        url = rdap_server(domain, bootstrap)
    except PermissionError:
        table.unreadable("bootstrap", bootstrap)
        return None
    except OSError as error:
        table.error(
            "bootstrap", f"{bootstrap} cannot be read: {error.strerror}", "write the path of the file"
        )
        return None
    except BootstrapError as error:
        table.error("bootstrap", f"{bootstrap} {error}", "download https://data.iana.org/rdap/dns.json")
        return None
    if url is not None:
        return RegistrySource(url)
    return RegistrySource(whois_host=whois.SERVERS.get(domain.rpartition(".")[2], ""))


def parse_domain_name(text: str) -> str:
    """Return a registrable domain in its ASCII form. Raises InvalidValueError."""
    try:
        name = parse_host(text).rstrip(".")
    except ValueError:
        name = ""
    labels = name.split(".")
    if len(labels) < LEVELS or ":" in name or labels[-1].isdigit():
        raise InvalidValueError("is not a domain", 'write a value such as "example.org"')
    # "example.co.uk", "example.or.jp": the registry has domains of its own at the second level. A short name may also
    # be a registered domain: then the registry responds that there is none below it.
    has_second_level = len(labels[-1]) == COUNTRY_CODE_CHARACTERS and (
        labels[-2] in _SECOND_LEVEL or len(labels[-2]) <= COUNTRY_CODE_CHARACTERS
    )
    levels = LEVELS + 1 if has_second_level and len(labels) > LEVELS else LEVELS
    if len(labels) == LEVELS and labels[-1] in _ONLY_THIRD_LEVEL and labels[0] in _SECOND_LEVEL:
        raise InvalidValueError(
            "is a domain of its registry", f'write a name below it, such as "example.{name}"'
        )
    if len(labels) > levels:
        raise InvalidValueError(
            "is a subdomain, which has no registration", f'write domain = "{".".join(labels[-levels:])}"'
        )
    return name


def parse_server(text: str) -> RegistrySource:
    """Return the server of "https://host/path/" (RDAP) or "whois://host:port". Raises InvalidValueError."""
    hint = 'write "https://rdap.example/" or "whois://whois.example"'
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in {"https", "http", "whois"}:
        raise InvalidValueError("is not a server", hint)
    try:
        target, userinfo = parse_target(f"{'http' if scheme == 'whois' else scheme}://{rest}")
    except ValueError:
        raise InvalidValueError("is not a server", hint) from None
    if userinfo is not None or target.query is not None:
        raise InvalidValueError("has a user or a query, which are not used", hint)
    if scheme != "whois":
        return RegistrySource(f"{target.shown_origin}{target.path.removesuffix('/')}/")
    has_port = ":" in rest.rpartition("]")[2]
    if target.path not in {"", "/"}:
        raise InvalidValueError("has a path, which WHOIS does not use", hint)
    return RegistrySource(whois_host=target.host, whois_port=target.port if has_port else WHOIS_PORT)


def _absolute_path(text: str) -> str:
    if not Path(text).is_absolute():
        raise InvalidValueError("is not an absolute path", 'write a value such as "/etc/monitord/dns.json"')
    return text
