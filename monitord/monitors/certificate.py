"""Monitor type `certificate`: the expiry of certificates in a file.

    type = "certificate"
    file = "/etc/letsencrypt/live/example.org/fullchain.pem"

Without conditions, a check fails if a certificate of the file has expired or is not yet valid, and warns shortly before
that: WARN_BEFORE_S, or a part of its lifetime if that is less, because certificates for a few days are renewed late.
A key in the same file is ignored.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from monitord.clock import time_text
from monitord.conditions import EXPIRY, LATENCY, FieldType, Vocabulary
from monitord.config import Table
from monitord.errors import InvalidValueError
from monitord.model import FieldValue, Observation, Reason
from monitord.monitors.base import Monitor, Stopwatch
from monitord.monitors.files import read_file
from monitord.net.base.blocking import CallTimeoutError, TooManyCallsError
from monitord.net.base.x509 import Certificate, parse_certificate

MAX_FILE_BYTES = 1024 * 1024
MAX_CERTIFICATES = 200
"""More than a bundle of all public authorities has."""

WARN_BEFORE_S = 14 * 86400.0
WARN_PART_OF_LIFETIME = 1 / 6
"""Clients of ACME renew after two thirds of the lifetime: half of the rest is for retries."""

_PEM = re.compile(rb"-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END ", re.ASCII)

VOCABULARY = Vocabulary(
    {
        "response_time": FieldType.DURATION,
        "certificate.expires_in": FieldType.DURATION,
        "certificate.expires_at": FieldType.TEXT,
        "certificate.subject": FieldType.TEXT,
        "certificate.issuer": FieldType.TEXT,
        "certificate.names": FieldType.TEXTS,
        "certificate.count": FieldType.NUMBER,
    },
    {"response_time": LATENCY, "certificate.expires_in": EXPIRY},
)


@dataclass(frozen=True, slots=True)
class CertificateOptions:
    file: str


class CertificateMonitor(Monitor[CertificateOptions]):
    type_name: ClassVar[str] = "certificate"
    uses_network = False
    vocabulary: ClassVar[Vocabulary] = VOCABULARY

    @classmethod
    def read_options(cls, table: Table) -> CertificateOptions:
        return CertificateOptions(table.value("file", _path, default="", required=True))

    async def check(self) -> Observation:
        watch = Stopwatch(self.tools.clock)
        file = self.options.file
        fields: dict[str, FieldValue] = {}
        try:
            content = await self.tools.blocking.run(
                f"file {file}", lambda: read_file(file, MAX_FILE_BYTES), timeout_s=self.settings.timeout_s
            )
        except CallTimeoutError:
            reason, result = Reason.TIMEOUT_RESPONSE, "the file system does not respond"
        except TooManyCallsError:
            reason, result = Reason.PROBER_EXHAUSTED, "no thread is left to read the file"
        except PermissionError as error:
            reason, result = Reason.PROBER_FORBIDDEN, f"cannot be read: {error.strerror}"
        except OSError as error:
            reason, result = Reason.CERTIFICATE_MISSING, f"cannot be read: {error.strerror}"
        else:
            certificates = certificates_in(content)
            now = self.tools.clock.now()
            reason, result = evaluate(certificates, now)
            fields["certificate.count"] = len(certificates)
            if certificates:
                expires_at = min(certificate.not_after for certificate in certificates)
                fields |= {
                    "certificate.expires_in": (expires_at - now).total_seconds(),
                    "certificate.expires_at": expires_at.isoformat(),
                    "certificate.subject": certificates[0].subject,
                    "certificate.issuer": certificates[0].issuer,
                    "certificate.names": certificates[0].names,
                }
            if self.settings.up_when and reason in {Reason.TLS_EXPIRED, Reason.TLS_NOT_YET_VALID}:
                reason = Reason.CONDITION_FAILED
            if self.settings.degraded_when and reason is Reason.CERTIFICATE_EXPIRING:
                reason = Reason.OK
        fields["response_time"] = watch.elapsed_s
        return watch.observation(reason, f"{file}: {result}", fields, subject=file, outcome=result)


def certificates_in(content: bytes) -> list[Certificate]:
    """Return the certificates in PEM format, in the order of the file. Damaged certificates are skipped."""
    certificates: list[Certificate] = []
    for match in _PEM.finditer(content):
        try:
            certificates.append(
                parse_certificate(base64.b64decode(b"".join(match[1].split()), validate=True))
            )
        except (ValueError, binascii.Error):
            continue
        if len(certificates) >= MAX_CERTIFICATES:
            break
    return certificates


def evaluate(certificates: list[Certificate], now: datetime) -> tuple[Reason, str]:
    """Return the default verdict, and the validity in words. The earliest expiry counts."""
    if not certificates:
        return Reason.CERTIFICATE_MISSING, "contains no certificate in PEM format"
    first = min(certificates, key=lambda certificate: certificate.not_after)
    future = next((certificate for certificate in certificates if certificate.not_before > now), None)
    if first.not_after <= now:
        return Reason.TLS_EXPIRED, f"{_name(first)} expired at {time_text(first.not_after)}"
    if future is not None:
        return Reason.TLS_NOT_YET_VALID, f"{_name(future)} is not valid before {time_text(future.not_before)}"
    lifetime_s = (first.not_after - first.not_before).total_seconds()
    warn_before = timedelta(seconds=min(WARN_BEFORE_S, lifetime_s * WARN_PART_OF_LIFETIME))
    result = f"{_name(first)} is valid until {time_text(first.not_after)}"
    if first.not_after - now < warn_before:
        return Reason.CERTIFICATE_EXPIRING, f"{_name(first)} expires soon, at {time_text(first.not_after)}"
    return Reason.OK, result


def _name(certificate: Certificate) -> str:
    return certificate.names[0] if certificate.names else certificate.subject or "the certificate"


def _path(text: str) -> str:
    """Parse an absolute path. Raises InvalidValueError."""
    if not text.startswith("/") or "\0" in text:
        raise InvalidValueError(
            "is not an absolute path", 'write a path such as "/etc/ssl/private/example.org.pem"'
        )
    return text
