"""Why an exchange with a peer came to nothing: a closed list, and how errors of the system fall into it.

A failure is a value. Whoever talks to a peer notes the phase it is in, so that the same error code can mean
what it means there: a peer that hangs up is one thing in a TLS handshake and another in a body.
"""

import errno
import os
import ssl
from enum import Enum

from monitord.net.base.phases import Phase, PhaseTimer


class FailureKind(Enum):
    """What went wrong. The names are published: add to them, never rename."""

    TIMEOUT_RESOLVE = "timeout_resolve"
    TIMEOUT_CONNECT = "timeout_connect"
    TIMEOUT_TLS = "timeout_tls"
    TIMEOUT_RESPONSE = "timeout_response"
    TIMEOUT_BODY = "timeout_body"
    RESOLVE_FAILED = "resolve_failed"
    REFUSED = "refused"
    RESET = "reset"
    UNREACHABLE = "unreachable"
    TLS_EXPIRED = "tls_expired"
    TLS_NAME_MISMATCH = "tls_name_mismatch"
    TLS_UNTRUSTED = "tls_untrusted"
    TLS_FAILED = "tls_failed"
    PROTOCOL_ERROR = "protocol_error"
    TOO_LARGE = "too_large"
    TOO_MANY_REDIRECTS = "too_many_redirects"
    REDIRECT_REFUSED = "redirect_refused"
    PROBER_EXHAUSTED = "prober_exhausted"  # our own machine ran out of something
    PROBER_FORBIDDEN = "prober_forbidden"  # our own machine does not let us


CUT_SHORT = "the peer closed the connection before the end of the body"


class Ended(Exception):  # noqa: N818 - not an error: an end found by ourselves
    """An exchange that ends in a failure which this program has found itself."""

    def __init__(self, kind: FailureKind, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


_TIMEOUTS = {
    Phase.RESOLVE: (FailureKind.TIMEOUT_RESOLVE, "no answer in time"),
    Phase.CONNECT: (FailureKind.TIMEOUT_CONNECT, "timed out"),
    Phase.TLS: (FailureKind.TIMEOUT_TLS, "the handshake did not end in time"),
    Phase.PROCESSING: (FailureKind.TIMEOUT_RESPONSE, "no response in time"),
    Phase.TRANSFER: (FailureKind.TIMEOUT_BODY, "the body did not end in time"),
}

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN})
_RESET = frozenset({errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED, errno.ESHUTDOWN})

# X509_V_ERR_* of openssl/x509_vfy.h
_NOT_YET_VALID = 9
_EXPIRED = 10
_WRONG_NAME = 62
_WRONG_ADDRESS = 64

# What OpenSSL calls it (1.1.1, 3.0, 3.2 and later differ) when the answer to a ClientHello is no TLS.
_NOT_TLS = frozenset(
    {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST"}
)
_WRONG_VERSION = frozenset({"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "NO_PROTOCOLS_AVAILABLE"})


def failure_of_timeout(timer: PhaseTimer) -> tuple[FailureKind, str]:
    if timer.has_lost_time():
        queued = f"{timer.queued_s:.1f} s were lost in the queue for a look-up thread"
        return FailureKind.PROBER_EXHAUSTED, f"{queued}: too many names hang"
    return _TIMEOUTS[timer.current]


def failure_of_error(error: OSError, phase: Phase) -> tuple[FailureKind, str]:  # noqa: PLR0911 - a table in the form of code
    """The kind of failure, and a readable detail, of what a socket or a TLS connection raised in this phase."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _failure_of_certificate(error)
    if isinstance(error, ssl.SSLError):
        return FailureKind.TLS_FAILED, _text_of_tls(error)
    if error.errno in _EXHAUSTED:
        return FailureKind.PROBER_EXHAUSTED, os.strerror(error.errno)
    if error.errno == errno.ETIMEDOUT:
        return _TIMEOUTS[phase]
    if phase is Phase.TLS:
        # asyncio ends a handshake of over a minute by itself, with a ConnectionAbortedError that has no number.
        if isinstance(error, ConnectionAbortedError) and error.errno is None:
            return _TIMEOUTS[Phase.TLS]
        return FailureKind.TLS_FAILED, "the peer closed the connection during the handshake"
    if phase is Phase.CONNECT and error.errno is not None:
        return _failure_of_connect(error.errno)
    return FailureKind.RESET, "the connection was reset by the peer"


def with_place(kind: FailureKind, detail: str, phase: Phase, place: str) -> str:
    """The detail after what failed where: "connect to 192.0.2.1:80 refused"; unchanged after connection and TLS."""
    match phase:
        case Phase.RESOLVE:
            return f"resolve {place}: {detail}"
        case Phase.CONNECT:
            joint = " " if kind in {FailureKind.REFUSED, FailureKind.TIMEOUT_CONNECT} else ": "
            return f"connect to {place}{joint}{detail}"
        case Phase.TLS:
            return f"TLS with {place}: {detail}"
        case _:
            return detail


def _failure_of_connect(number: int) -> tuple[FailureKind, str]:
    if number == errno.ECONNREFUSED:
        return FailureKind.REFUSED, "refused"
    if number in _RESET:
        return FailureKind.RESET, "the connection was reset by the peer"
    if number == errno.EADDRNOTAVAIL:
        # connect(2): no local port is left. For IPv6 it is the answer of a host that has IPv6 switched off.
        return FailureKind.PROBER_EXHAUSTED, os.strerror(number)
    return FailureKind.UNREACHABLE, os.strerror(number)


def _failure_of_certificate(error: ssl.SSLCertVerificationError) -> tuple[FailureKind, str]:
    code = error.verify_code
    message = error.verify_message
    if code == _EXPIRED:
        return FailureKind.TLS_EXPIRED, "the certificate has expired"
    if code == _NOT_YET_VALID:
        return FailureKind.TLS_EXPIRED, "the certificate is not valid yet"
    if code in {_WRONG_NAME, _WRONG_ADDRESS}:
        return FailureKind.TLS_NAME_MISMATCH, _sentence(message)
    return FailureKind.TLS_UNTRUSTED, f"the certificate is not trusted: {_sentence(message)}"


def _text_of_tls(error: ssl.SSLError) -> str:
    reason = str(getattr(error, "reason", None) or "")  # only those that OpenSSL raised have one
    if reason in _NOT_TLS:
        return "the peer does not speak TLS on this port"
    if reason in _WRONG_VERSION:
        return "no TLS version that both sides accept"
    if "EOF" in reason:
        return "the peer closed the connection during the handshake"
    return f"TLS failed: {reason.replace('_', ' ').lower()}" if reason else "TLS failed"


def _sentence(text: str) -> str:
    """OpenSSL's message within a line of ours: no full stop, no capital."""
    stripped = text.strip().rstrip(".")
    return (
        stripped if stripped[1:2].isupper() else stripped[:1].lower() + stripped[1:]
    )  # "IP address mismatch"
