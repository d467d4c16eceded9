"""The meaning of an error in each phase; errors that a real peer can cause are in test_http_failures.py."""

import errno
import ssl

import pytest

from monitord.net import FailureKind, Phase
from monitord.net.base.errors import failure_of_error, failure_of_timeout
from monitord.net.base.phases import PhaseTimer


def verification_error(code: int, message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, message
    return error


def tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "phase", "kind"),
    [
        (OSError(errno.ECONNREFUSED, ""), Phase.CONNECT, FailureKind.REFUSED),
        (OSError(errno.ECONNRESET, ""), Phase.CONNECT, FailureKind.RESET),
        (OSError(errno.ECONNRESET, ""), Phase.PROCESSING, FailureKind.RESET),
        (OSError(errno.EPIPE, ""), Phase.TRANSFER, FailureKind.RESET),
        (ConnectionResetError(), Phase.PROCESSING, FailureKind.RESET),
        (OSError(errno.EHOSTUNREACH, ""), Phase.CONNECT, FailureKind.HOST_UNREACHABLE),
        (OSError(errno.ENETUNREACH, ""), Phase.CONNECT, FailureKind.HOST_UNREACHABLE),
        (OSError(errno.EACCES, ""), Phase.CONNECT, FailureKind.HOST_UNREACHABLE),
        (OSError(errno.EPERM, ""), Phase.CONNECT, FailureKind.HOST_UNREACHABLE),
        (OSError(errno.ETIMEDOUT, ""), Phase.CONNECT, FailureKind.TIMEOUT_CONNECT),
        (OSError(errno.ETIMEDOUT, ""), Phase.TLS, FailureKind.TIMEOUT_TLS),
        (OSError(errno.ETIMEDOUT, ""), Phase.TRANSFER, FailureKind.TIMEOUT_BODY),
        (OSError(errno.EMFILE, ""), Phase.CONNECT, FailureKind.PROBER_EXHAUSTED),
        (OSError(errno.ENFILE, ""), Phase.CONNECT, FailureKind.PROBER_EXHAUSTED),
        (OSError(errno.ENOBUFS, ""), Phase.CONNECT, FailureKind.PROBER_EXHAUSTED),
        (OSError(errno.ENOMEM, ""), Phase.TRANSFER, FailureKind.PROBER_EXHAUSTED),
        (OSError(errno.EADDRNOTAVAIL, ""), Phase.CONNECT, FailureKind.PROBER_EXHAUSTED),
        (ConnectionResetError(), Phase.TLS, FailureKind.TLS_FAILED),
        (ConnectionAbortedError("SSL handshake is taking longer"), Phase.TLS, FailureKind.TIMEOUT_TLS),
        (verification_error(9, "not yet"), Phase.TLS, FailureKind.TLS_NOT_YET_VALID),
        (verification_error(10, "expired"), Phase.TLS, FailureKind.TLS_EXPIRED),
        (verification_error(62, "Hostname mismatch"), Phase.TLS, FailureKind.TLS_NAME_MISMATCH),
        (verification_error(64, "IP address mismatch"), Phase.TLS, FailureKind.TLS_NAME_MISMATCH),
        (verification_error(18, "self-signed certificate"), Phase.TLS, FailureKind.TLS_UNTRUSTED),
        (verification_error(23, "certificate revoked"), Phase.TLS, FailureKind.TLS_UNTRUSTED),
        (tls_error("WRONG_VERSION_NUMBER"), Phase.TLS, FailureKind.TLS_FAILED),
        (ssl.SSLError(), Phase.TLS, FailureKind.TLS_FAILED),
    ],
)
def test_failure_kind_depends_on_the_phase(error: OSError, phase: Phase, kind: FailureKind) -> None:
    seen, detail = failure_of_error(error, phase)
    assert seen is kind
    assert detail
    assert "\n" not in detail


@pytest.mark.parametrize(
    ("reason", "detail"),
    [
        ("WRONG_VERSION_NUMBER", "the peer does not speak TLS on this port"),
        ("RECORD_LAYER_FAILURE", "the peer does not speak TLS on this port"),
        ("TLSV1_ALERT_PROTOCOL_VERSION", "no common TLS version"),
        ("UNSUPPORTED_PROTOCOL", "no common TLS version"),
        ("UNEXPECTED_EOF_WHILE_READING", "the peer closed the connection during the handshake"),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", "TLS failed: sslv3 alert handshake failure"),
    ],
)
def test_openssl_errors_have_readable_texts(reason: str, detail: str) -> None:
    assert failure_of_error(tls_error(reason), Phase.TLS) == (FailureKind.TLS_FAILED, detail)


@pytest.mark.parametrize(
    ("message", "detail"),
    [
        ("IP address mismatch", "IP address mismatch"),
        (
            "Hostname mismatch, certificate is not valid for 'a'.",
            "hostname mismatch, certificate is not valid for 'a'",
        ),
    ],
)
def test_abbreviation_of_openssl_keeps_its_capitals(message: str, detail: str) -> None:
    assert detail in failure_of_error(verification_error(64, message), Phase.TLS)[1]


def test_each_phase_has_its_own_timeout_kind() -> None:
    timer = PhaseTimer()
    kinds: list[str] = []
    for phase in Phase:
        timer.enter(phase)
        kinds.append(failure_of_timeout(timer)[0].value)
    assert kinds == [
        "timeout_resolve",
        "timeout_connect",
        "timeout_tls",
        "timeout_response",
        "timeout_body",
    ]


@pytest.mark.parametrize("phase", Phase)
def test_timeout_after_time_lost_in_a_queue_is_a_probe_error(phase: Phase) -> None:
    timer = PhaseTimer()
    timer.enter(phase)
    timer.discount(3.0)
    kind, detail = failure_of_timeout(timer)
    assert (kind, detail.split(":")[0]) == (
        FailureKind.PROBER_EXHAUSTED,
        "waited 3.0 s for a resolver thread",
    )
