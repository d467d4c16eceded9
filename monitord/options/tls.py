"""TLS options, and the fields of results about TLS connections and streams."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from monitord.conditions import EXPIRY, IP_VERSION, LATENCY, Bounds, FieldType
from monitord.config import Table, value_text
from monitord.errors import problem_and_hint
from monitord.model import FieldValue
from monitord.net import CertificateFields, Phase, TlsFields, TlsOptions, TlsVersion, make_context
from monitord.net.stream.client import StreamOutcome

PHASE_FIELDS = {phase: f"phase.{phase.value}" for phase in Phase}
"""The field for the seconds of each phase: one string that all results share."""

TLS_FIELDS = {
    "tls.version": FieldType.TEXT,
    "tls.cipher": FieldType.TEXT,
    "certificate.expires_in": FieldType.DURATION,
    "certificate.expires_at": FieldType.TEXT,
    "certificate.subject": FieldType.TEXT,
    "certificate.issuer": FieldType.TEXT,
    "certificate.names": FieldType.TEXTS,
}
"""Fields of a TLS connection in the vocabulary of conditions."""

STREAM_FIELDS = {
    "response_time": FieldType.DURATION,
    **{f"phase.{phase.value}": FieldType.DURATION for phase in Phase if phase is not Phase.TRANSFER},
    "address": FieldType.TEXT,
    "ip_version": FieldType.NUMBER,
    **TLS_FIELDS,
}

ONLY_WITH_TLS = dict.fromkeys(TLS_FIELDS, "is available only with TLS")

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

TLS_KEYS = ("verify", "ca_file", "client_certificate_file", "client_key_file", "min_tls_version")
"""The keys that `read_tls` reads."""


def fields_of_tls(tls: TlsFields, now: datetime) -> Mapping[str, FieldValue]:
    fields: dict[str, FieldValue] = {"tls.version": tls.version, "tls.cipher": tls.cipher}
    if tls.certificate is not None:
        fields |= fields_of_certificate(tls.certificate, now)
    return fields


def fields_of_certificate(certificate: CertificateFields, now: datetime) -> Mapping[str, FieldValue]:
    return {
        "certificate.expires_in": (certificate.expires_at - now).total_seconds(),
        "certificate.expires_at": certificate.expires_at.isoformat(),
        "certificate.subject": certificate.subject,
        "certificate.issuer": certificate.issuer,
        "certificate.names": tuple(certificate.names),
    }


def fields_of_stream(outcome: StreamOutcome, now: datetime) -> dict[str, FieldValue]:
    fields: dict[str, FieldValue] = {"response_time": outcome.duration_s}
    fields.update((PHASE_FIELDS[phase], seconds) for phase, seconds in outcome.phases.items())
    if outcome.address is not None:
        fields["address"] = outcome.address
    if outcome.ip_version is not None:
        fields["ip_version"] = outcome.ip_version
    if outcome.tls is not None:
        fields.update(fields_of_tls(outcome.tls, now))
    return fields


def read_tls(table: Table, *, alpn: tuple[str, ...] = ("http/1.1",)) -> TlsOptions:
    ca_file = _path(table, "ca_file")
    certificate = _path(table, "client_certificate_file")
    key = _path(table, "client_key_file")
    options = TlsOptions(
        verify=table.flag("verify", default=True),
        ca_file=ca_file,
        certificate_file=certificate,
        key_file=key,
        min_version=table.choice("min_tls_version", TlsVersion, default=TlsVersion.TLS_1_2),
        alpn=alpn,
    )
    if key is not None and certificate is None:
        table.error(
            "client_key_file",
            "set without client_certificate_file",
            'write client_certificate_file = "/path"',
        )
    elif certificate is not None:
        check_files(
            table,
            "client_certificate_file",
            TlsOptions(verify=False, certificate_file=certificate, key_file=key),
        )
    if ca_file is not None:
        check_files(table, "ca_file", TlsOptions(ca_file=ca_file))
        if not options.verify:
            table.error("ca_file", "has no effect with verify = false", "remove one of them")
    return options


def check_tls_keys(
    table: Table,
    *,
    hint: str = "write tls = true, or remove it",
    keys: Iterable[str] = (*TLS_KEYS, "server_name"),
) -> None:
    """Record an error for each of the keys that is set, as the monitor does not use TLS."""
    for key in keys:
        if key in table:
            table.error(key, "has no effect without TLS", hint)


def _path(table: Table, key: str) -> str | None:
    path = table.text(key, default=None)
    if path is not None and not path.startswith("/"):
        table.error(key, f"{value_text(path)} is not an absolute path", f'write {key} = "/path/to/file.pem"')
        return None
    return path


def check_files(table: Table, key: str, options: TlsOptions) -> None:
    """Record an error if the files cannot be read or used."""
    try:
        make_context(options)
    except PermissionError as error:
        table.unreadable(key, str(error.filename))
    except (OSError, ValueError) as error:
        table.error(key, *problem_and_hint(error))
