"""The kinds of network failures, and the mapping from system errors to them.

The mapping depends on the phase of the exchange: a closed connection has one meaning in a TLS handshake and another
in a body.
"""

import errno
import os
import ssl
from enum import Enum

from monitord.net.base.phases import Phase, PhaseTimer


class FailureKind(Enum):
    """The kind of a network failure. The values are public: they can be added, but are never renamed."""

    TIMEOUT_RESOLVE = "timeout_resolve"
    TIMEOUT_CONNECT = "timeout_connect"
    TIMEOUT_TLS = "timeout_tls"
    TIMEOUT_RESPONSE = "timeout_response"
    TIMEOUT_BODY = "timeout_body"
    RESOLVE_FAILED = "resolve_failed"
    REFUSED = "refused"
    RESET = "reset"
    HOST_UNREACHABLE = "host_unreachable"
    TLS_EXPIRED = "tls_expired"
    TLS_NOT_YET_VALID = "tls_not_yet_valid"
    TLS_NAME_MISMATCH = "tls_name_mismatch"
    TLS_UNTRUSTED = "tls_untrusted"
    TLS_FAILED = "tls_failed"
    PROTOCOL_ERROR = "protocol_error"
    TOO_LARGE = "too_large"
    TOO_MANY_REDIRECTS = "too_many_redirects"
    REDIRECT_REJECTED = "redirect_rejected"
    PROBER_EXHAUSTED = "prober_exhausted"  # this host has run out of a resource
    PROBER_FORBIDDEN = "prober_forbidden"  # this host does not permit the operation
    PROBER_SOURCE_ADDRESS = (
        "prober_source_address"  # this host does not have the source address, or cannot use it
    )


CUT_SHORT = "the peer closed the connection before the end of the body"


class ExchangeError(Exception):
    """A failure of an exchange that monitord detected itself, without a system error."""

    def __init__(self, kind: FailureKind, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


_TIMEOUTS = {
    Phase.RESOLVE: (FailureKind.TIMEOUT_RESOLVE, "no response within the timeout"),
    Phase.CONNECT: (FailureKind.TIMEOUT_CONNECT, "timed out"),
    Phase.TLS: (FailureKind.TIMEOUT_TLS, "the handshake was not complete within the timeout"),
    Phase.PROCESSING: (FailureKind.TIMEOUT_RESPONSE, "no response within the timeout"),
    Phase.TRANSFER: (FailureKind.TIMEOUT_BODY, "the body was not complete within the timeout"),
}

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN})
_RESET = frozenset({errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED, errno.ESHUTDOWN})

# X509_V_ERR_* of openssl/x509_vfy.h
_NOT_YET_VALID = 9
_EXPIRED = 10
_WRONG_NAME = 62
_WRONG_ADDRESS = 64

# Reasons of OpenSSL (1.1.1, 3.0, 3.2 and later differ) if the response to a ClientHello is not TLS.
_NOT_TLS = frozenset(
    {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST"}
)
_WRONG_VERSION = frozenset({"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "NO_PROTOCOLS_AVAILABLE"})


def failure_of_timeout(timer: PhaseTimer) -> tuple[FailureKind, str]:
    if timer.has_lost_time():
        queued = f"waited {timer.queued_s:.1f} s for a resolver thread"
        return FailureKind.PROBER_EXHAUSTED, f"{queued}: too many lookups are stuck"
    return _TIMEOUTS[timer.current]


def failure_of_error(error: OSError, phase: Phase) -> tuple[FailureKind, str]:  # noqa: PLR0911 - a table in the form of code
    """Return the kind of failure and a detail text for an error that a socket or TLS raised in this phase."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _failure_of_certificate(error)
    if isinstance(error, ssl.SSLError):
        return FailureKind.TLS_FAILED, _text_of_tls(error)
    if error.errno in _EXHAUSTED:
        return FailureKind.PROBER_EXHAUSTED, os.strerror(error.errno)
    if error.errno == errno.ETIMEDOUT:
        return _TIMEOUTS[phase]
    if phase is Phase.TLS:
        # asyncio aborts a handshake after one minute with a ConnectionAbortedError without an errno.
        if isinstance(error, ConnectionAbortedError) and error.errno is None:
            return _TIMEOUTS[Phase.TLS]
        return FailureKind.TLS_FAILED, "the peer closed the connection during the handshake"
    if phase is Phase.CONNECT and error.errno is not None:
        return _failure_of_connect(error.errno)
    return FailureKind.RESET, "the connection was reset by the peer"


def with_peer(kind: FailureKind, detail: str, phase: Phase, peer: str) -> str:
    """Return the detail with operation and peer: "connection to a.test:80 refused"; unchanged after the TLS phase."""
    match phase:
        case Phase.RESOLVE:
            return f"name resolution of {peer}: {detail}"
        case Phase.CONNECT:
            separator = " " if kind in {FailureKind.REFUSED, FailureKind.TIMEOUT_CONNECT} else ": "
            return f"connection to {peer}{separator}{detail}"
        case Phase.TLS:
            return f"TLS handshake with {peer}: {detail}"
        case _:
            return detail


def _failure_of_connect(number: int) -> tuple[FailureKind, str]:
    if number == errno.ECONNREFUSED:
        return FailureKind.REFUSED, "refused"
    if number in _RESET:
        return FailureKind.RESET, "the connection was reset by the peer"
    if number == errno.EADDRNOTAVAIL:
        # connect(2): no local port is free. A host with IPv6 disabled reports it for IPv6 addresses.
        return FailureKind.PROBER_EXHAUSTED, os.strerror(number)
    return FailureKind.HOST_UNREACHABLE, os.strerror(number)


def _failure_of_certificate(error: ssl.SSLCertVerificationError) -> tuple[FailureKind, str]:
    code = error.verify_code
    message = error.verify_message
    if code == _EXPIRED:
        return FailureKind.TLS_EXPIRED, "the certificate has expired"
    if code == _NOT_YET_VALID:
        return FailureKind.TLS_NOT_YET_VALID, "the certificate is not valid yet"
    if code in {_WRONG_NAME, _WRONG_ADDRESS}:
        return FailureKind.TLS_NAME_MISMATCH, _sentence(message)
    return FailureKind.TLS_UNTRUSTED, f"the certificate is not trusted: {_sentence(message)}"


def _text_of_tls(error: ssl.SSLError) -> str:
    reason = str(getattr(error, "reason", None) or "")  # only errors raised by OpenSSL have one
    if reason in _NOT_TLS:
        return "the peer does not speak TLS on this port"
    if reason in _WRONG_VERSION:
        return "no common TLS version"
    if "EOF" in reason:
        return "the peer closed the connection during the handshake"
    return f"TLS failed: {reason.replace('_', ' ').lower()}" if reason else "TLS failed"


def _sentence(text: str) -> str:
    """Return OpenSSL's message without full stop and initial capital, to be part of a sentence."""
    stripped = text.strip().rstrip(".")
    return (
        stripped if stripped[1:2].isupper() else stripped[:1].lower() + stripped[1:]
    )  # "IP address mismatch"
