"""Certificates for tests, good and bad, made with python3-cryptography (a build dependency only).

authority = Authority()
good = authority.issue("localhost", directory)           # files: certificate with chain, and key
server_context = good.server_context()
"""

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Issued:
    """PEM files: `chain_file` holds the certificate and what is between it and the root; `key_file` its key."""

    chain_file: Path
    key_file: Path
    certificate: x509.Certificate

    def server_context(self, *, maximum: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain_file, self.key_file)
        if maximum is not None:
            context.maximum_version = maximum
        return context


class Authority:
    """A root, or an intermediate authority with `parent`. Valid for `days` from now."""

    def __init__(
        self, name: str = "Test Root", *, parent: "Authority | None" = None, days: float = 3650
    ) -> None:
        self._parent = parent
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        now = datetime.now(UTC)
        builder = _builder(self._name, parent.subject if parent else self._name, self._key.public_key())
        self.certificate = (
            builder.not_valid_before(now - DAY)
            .not_valid_after(now + days * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .add_extension(_CA_USAGE, critical=True)
            .sign(parent._key if parent else self._key, hashes.SHA256())
        )

    @property
    def subject(self) -> x509.Name:
        return self._name

    @cached_property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def write(self, file: Path) -> Path:
        file.write_bytes(self.pem)
        return file

    def write_key(self, file: Path) -> Path:
        file.write_bytes(
            self._key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return file

    def issue(
        self,
        *names: str,
        directory: Path,
        file: str = "server",
        valid_from: timedelta = -DAY,
        valid_until: timedelta = 90 * DAY,
        passphrase: bytes | None = None,
        has_alternative_names: bool = True,
    ) -> Issued:
        """Issue a certificate for these names or addresses; the first is the common name. Writes two files."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        builder = (
            _builder(_name(names[0]), self._name, key.public_key())
            .not_valid_before(now + valid_from)
            .not_valid_after(now + valid_until)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )
        if has_alternative_names:
            alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        chain = certificate.public_bytes(serialization.Encoding.PEM)
        above: Authority | None = self
        while above is not None and above._parent is not None:
            chain += above.pem
            above = above._parent
        issued = Issued(directory / f"{file}.pem", directory / f"{file}.key", certificate)
        issued.chain_file.write_bytes(chain)
        issued.key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(passphrase)
                if passphrase
                else serialization.NoEncryption(),
            )
        )
        return issued


_CA_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tests"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
    )
