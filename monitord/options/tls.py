"""What types of monitors on TLS, or on streams, have in common: their keys, and the facts of the peer."""

from collections.abc import Mapping
from datetime import datetime

from monitord.conditions import EXPIRY, IP_VERSION, LATENCY, Bounds, FactType
from monitord.config import Table, value_text
from monitord.errors import problem_and_hint
from monitord.model import Fact
from monitord.net import CertificateFacts, Phase, TlsFacts, TlsOptions, TlsVersion, make_context
from monitord.net.stream.client import StreamOutcome

TLS_FACTS = {
    "tls.version": FactType.TEXT,
    "tls.cipher": FactType.TEXT,
    "certificate.expires_in": FactType.DURATION,
    "certificate.expires_at": FactType.TEXT,
    "certificate.subject": FactType.TEXT,
    "certificate.issuer": FactType.TEXT,
    "certificate.names": FactType.TEXTS,
}
"""For a vocabulary."""

STREAM_FACTS = {
    "response_time": FactType.DURATION,
    **{f"phase.{phase.value}": FactType.DURATION for phase in Phase if phase is not Phase.TRANSFER},
    "address": FactType.TEXT,
    "ip_version": FactType.NUMBER,
    **TLS_FACTS,
}

ONLY_WITH_TLS = dict.fromkeys(TLS_FACTS, "there is only with TLS")

TLS_BOUNDS = {
    "certificate.expires_in": EXPIRY,
    "tls.version": Bounds(values=("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")),
}

STREAM_BOUNDS = {
    "response_time": LATENCY,
    **{f"phase.{phase.value}": LATENCY for phase in Phase if phase is not Phase.TRANSFER},
    "ip_version": IP_VERSION,
    **TLS_BOUNDS,
}

TLS_KEYS = ("verify", "ca_file", "client_certificate", "client_key", "min_tls")
"""Those that `read_tls` reads."""


def facts_of_tls(tls: TlsFacts, now: datetime) -> Mapping[str, Fact]:
    facts: dict[str, Fact] = {"tls.version": tls.version, "tls.cipher": tls.cipher}
    if tls.certificate is not None:
        facts |= facts_of_certificate(tls.certificate, now)
    return facts


def facts_of_certificate(certificate: CertificateFacts, now: datetime) -> Mapping[str, Fact]:
    return {
        "certificate.expires_in": (certificate.expires_at - now).total_seconds(),
        "certificate.expires_at": certificate.expires_at.isoformat(),
        "certificate.subject": certificate.subject,
        "certificate.issuer": certificate.issuer,
        "certificate.names": tuple(certificate.names),
    }


def facts_of_stream(outcome: StreamOutcome, now: datetime) -> dict[str, Fact]:
    facts: dict[str, Fact] = {"response_time": outcome.duration_s}
    facts.update((f"phase.{phase.value}", seconds) for phase, seconds in outcome.phases.items())
    if outcome.address is not None:
        facts["address"] = outcome.address
    if outcome.ip_version is not None:
        facts["ip_version"] = outcome.ip_version
    if outcome.tls is not None:
        facts.update(facts_of_tls(outcome.tls, now))
    return facts


def read_tls(table: Table, *, alpn: tuple[str, ...] = ("http/1.1",)) -> TlsOptions:
    ca_file = _path(table, "ca_file")
    certificate = _path(table, "client_certificate")
    key = _path(table, "client_key")
    options = TlsOptions(
        verify=table.flag("verify", default=True),
        ca_file=ca_file,
        certificate_file=certificate,
        key_file=key,
        min_version=table.choice("min_tls", TlsVersion, default=TlsVersion.TLS_1_2),
        alpn=alpn,
    )
    if key is not None and certificate is None:
        table.fault("client_key", "has no client_certificate beside it", 'write client_certificate = "/path"')
    elif certificate is not None:
        check_files(
            table, "client_certificate", TlsOptions(verify=False, certificate_file=certificate, key_file=key)
        )
    if ca_file is not None:
        check_files(table, "ca_file", TlsOptions(ca_file=ca_file))
        if not options.verify:
            table.fault("ca_file", "has no use with verify = false", "keep one of them")
    return options


def _path(table: Table, key: str) -> str | None:
    path = table.text(key, default=None)
    if path is not None and not path.startswith("/"):
        table.fault(key, f"{value_text(path)} is not an absolute path", f'write {key} = "/path/to/file.pem"')
        return None
    return path


def check_files(table: Table, key: str, options: TlsOptions) -> None:
    """That the files can be read and hold what they should."""
    try:
        make_context(options)
    except PermissionError as error:
        table.unreadable(key, str(error.filename))
    except (OSError, ValueError) as error:
        table.fault(key, *problem_and_hint(error))
