"""TLS client: shared contexts, handshake hooks, and the fields of a TLS connection.

Contexts are shared between connections, because creating one reads files. Data of a single connection (the start of
the handshake, the server name) is passed as a `Handshake` in a context variable. `HookedSSLContext.wrap_bio` reads it;
both asyncio and uvloop call that method.
"""

import os
import re
import ssl
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol, cast

from monitord.errors import InvalidValueError
from monitord.net.base.x509 import parse_certificate

MAX_CONTEXTS = 256
"""The size of the cache."""

WRONG_NAME_CODES = frozenset({62, 64})
"""X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH of openssl/x509_vfy.h."""

NO_ALTERNATIVE_NAME = "the certificate has no subjectAltName, and its common name is ignored (RFC 9525)"

_HASHED_NAME = re.compile(r"[0-9a-f]{8}\.[0-9]+")


class TlsVersion(Enum):
    """The minimum version. Versions before 1.2 are not supported: current OpenSSL disables them."""

    TLS_1_2 = "1.2"
    TLS_1_3 = "1.3"


_VERSIONS = {TlsVersion.TLS_1_2: ssl.TLSVersion.TLSv1_2, TlsVersion.TLS_1_3: ssl.TLSVersion.TLSv1_3}


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """Verification, client certificate and protocols. Without `key_file`, the key is in `certificate_file`."""

    verify: bool = True
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    min_version: TlsVersion | None = None
    alpn: tuple[str, ...] = ("http/1.1",)


@dataclass(frozen=True, slots=True)
class Handshake:
    """Parameters of one connection that uses a shared context. `server_name` replaces the caller's host name."""

    server_name: str
    on_start: Callable[[], None]


current_handshake: ContextVar[Handshake | None] = ContextVar("current_handshake", default=None)


class NoWaitSSLObject(ssl.SSLObject):
    """TLS connection that sends close_notify without waiting for the peer's (allowed by RFC 8446, section 6.1).

    asyncio would keep the socket open for up to 30 s if the peer does not send close_notify.
    """

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except ssl.SSLCertVerificationError as error:
            if error.verify_code in WRONG_NAME_CODES and _lacks_alternative_names(self):
                error.verify_message = NO_ALTERNATIVE_NAME
            raise

    def unwrap(self) -> None:
        try:
            super().unwrap()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return


def _lacks_alternative_names(tls: ssl.SSLObject) -> bool:
    """Return whether the rejected certificate has no subjectAltName; False if Python does not expose it."""
    public = getattr(tls, "get_unverified_chain", None)  # Python 3.13
    if public is not None:
        chain: Sequence[bytes] = public()
    else:
        below = getattr(getattr(tls, "_sslobj", None), "get_unverified_chain", None)
        chain = [] if below is None else [item.public_bytes(_ENCODING_DER) for item in below() or ()]
    try:
        return bool(chain) and not parse_certificate(chain[0]).names
    except ValueError:
        return False


class HookedSSLContext(ssl.SSLContext):
    """Context that applies the `Handshake` of the current context variable to each connection."""

    sslobject_class = NoWaitSSLObject

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002 - the signature is ssl's
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        handshake = current_handshake.get()
        if handshake is None:
            return super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)
        handshake.on_start()
        return super().wrap_bio(incoming, outgoing, server_side, handshake.server_name, session)


class TlsContexts:
    """A cache of contexts by options. A changed file (a renewed client certificate) creates a new context."""

    def __init__(self) -> None:
        self._contexts: OrderedDict[TlsOptions, tuple[object, ssl.SSLContext]] = OrderedDict()

    def get(self, options: TlsOptions) -> ssl.SSLContext:
        """Return a context. Raises ValueError if a file is missing or unusable and no earlier context is cached."""
        known = self._contexts.get(options)
        try:
            files = (options.ca_file, options.certificate_file, options.key_file)
            stamp = [_file_stamp(file) for file in files if file is not None]
            if known is not None and known[0] == stamp:
                self._contexts.move_to_end(options)
                return known[1]
            context = make_context(options)
        except (OSError, ValueError) as error:
            # A renewal writes certificate and key one after the other: until both match, use the old pair.
            if known is not None:
                return known[1]
            raise ValueError(str(error)) from error
        self._contexts[options] = (stamp, context)
        while len(self._contexts) > MAX_CONTEXTS:
            self._contexts.popitem(last=False)
        return context


def _file_stamp(file: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(file)  # noqa: PTH116 - once for each TLS connection; a Path costs more than the call
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def make_context(options: TlsOptions) -> ssl.SSLContext:
    """Create a client context.

    Raises InvalidValueError if a file is missing or has the wrong content, PermissionError if this user cannot read it.
    """
    context = HookedSSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(options.alpn)
    # RFC 9525, section 2: the common name is not a host name. Browsers have ignored it since 2017.
    context.hostname_checks_common_name = False
    if options.min_version is not None:
        context.minimum_version = _VERSIONS[options.min_version]
    if not options.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif options.ca_file is not None:
        _load(
            (options.ca_file,),
            "does not contain certificates in PEM format",
            "write the path of a file with authorities in PEM format",
            lambda: context.load_verify_locations(options.ca_file),
        )
    else:
        trust_authorities(context, *_system_authorities())
    if options.certificate_file is not None:
        _load(
            (options.certificate_file, options.key_file or options.certificate_file),
            "and its key are not a matching pair in PEM format without a passphrase",
            "write the certificate and its own key, without a passphrase",
            lambda: context.load_cert_chain(
                cast(str, options.certificate_file), options.key_file, password=_no_passphrase
            ),
        )
    return context


def trust_authorities(context: ssl.SSLContext, bundle: str | None, directory: str | None) -> None:
    """Trust the authorities of a bundle file, or of a directory with hashed names (openssl-rehash(1))."""
    # Not `set_default_verify_paths`: with it, OpenSSL 3.0 to 3.3 read the whole directory again in each handshake
    # whose chain has an intermediate, 0.2 to 0.4 ms (openssl/openssl#21067, #24140). Loading the bundle takes 30 ms
    # and 2 MB per context. A hashed directory is read on demand: an unknown authority costs one stat(2).
    if bundle is not None or directory is not None:
        context.load_verify_locations(bundle, directory)


def _system_authorities() -> tuple[str | None, str | None]:
    """Return the system's bundle and directory. A bundle set in the environment is always used, else one suffices."""
    paths = ssl.get_default_verify_paths()
    directory = None
    with suppress(OSError):
        names = os.listdir(paths.capath) if paths.capath else []  # noqa: PTH208 - names, not paths
        directory = paths.capath if any(map(_HASHED_NAME.fullmatch, names)) else None
    bundle = paths.cafile if directory is None or paths.openssl_cafile_env in os.environ else None
    return bundle, directory


def _load(files: tuple[str, ...], problem: str, hint: str, load: Callable[[], object]) -> None:
    try:
        load()
    except ssl.SSLError:
        raise InvalidValueError(f"{files[0]} {problem}", hint) from None
    except OSError as error:
        # OpenSSL does not report which of the files failed.
        file = next((file for file in files if not os.access(file, os.R_OK)), files[0])
        if isinstance(error, PermissionError):
            raise PermissionError(error.errno, error.strerror, file) from None
        raise InvalidValueError(
            f"{file} cannot be read: {os.strerror(error.errno or 0)}", "write the path of a readable PEM file"
        ) from None


def _no_passphrase() -> str:
    # Without a callback, OpenSSL would prompt on the terminal and block.
    raise ssl.SSLError("a key with a passphrase")


# Fields of a connection


@dataclass(frozen=True, slots=True)
class CertificateFields:
    """Fields of the peer's certificate. `expires_at` is the earliest expiry in the verified chain.

    Without verification, or if Python does not expose the chain, it is the peer's certificate alone and
    `chain_length` is 1.
    """

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime
    expires_at: datetime
    chain_length: int


@dataclass(frozen=True, slots=True)
class TlsFields:
    """Fields of a TLS connection. `certificate` is None if it was not requested or cannot be parsed."""

    version: str
    cipher: str
    certificate: CertificateFields | None


class _ChainCertificate(Protocol):
    def public_bytes(self, encoding: int, /) -> bytes: ...


def tls_fields(tls: ssl.SSLObject, *, certificate: bool) -> TlsFields:
    """Return the fields of a connection after the handshake."""
    cipher = tls.cipher()
    return TlsFields(
        version=tls.version() or "",
        cipher=cipher[0] if cipher else "",
        certificate=_certificate_fields(tls) if certificate else None,
    )


def _certificate_fields(tls: ssl.SSLObject) -> CertificateFields | None:
    leaf_der = tls.getpeercert(binary_form=True)
    if leaf_der is None:
        return None
    try:
        leaf = parse_certificate(leaf_der)
        chain = [leaf, *(parse_certificate(der) for der in _verified_chain(tls) if der != leaf_der)]
    except ValueError:
        return None
    return CertificateFields(
        subject=leaf.subject,
        issuer=leaf.issuer,
        names=leaf.names,
        not_before=leaf.not_before,
        expires_at=min(certificate.not_after for certificate in chain),
        chain_length=len(chain),
    )


def _verified_chain(tls: ssl.SSLObject) -> list[bytes]:
    """Return each certificate from the peer's to the authority in DER; empty without verification."""
    if tls.context.verify_mode is ssl.CERT_NONE:
        return []
    public = getattr(tls, "get_verified_chain", None)  # Python 3.13
    if public is not None:
        return list(public())
    # Python 3.10 to 3.12 have a private method. Those versions get security fixes only, so it will not change. Without
    # it, only the peer's certificate is evaluated.
    below = getattr(getattr(tls, "_sslobj", None), "get_verified_chain", None)
    if below is None:
        return []
    chain: Sequence[_ChainCertificate] | None = below()
    return [certificate.public_bytes(_ENCODING_DER) for certificate in chain or ()]


_ENCODING_DER = 2  # _ssl.ENCODING_DER, X509_FILETYPE_ASN1
