"""The type `certificate`: files with certificates, good and bad, and the time before the expiry that is a warning."""

import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitord.conditions import Condition, parse_condition
from monitord.dispatch.judging import judge
from monitord.model import Reason, Verdict
from monitord.monitors.certificate import (
    MAX_CERTIFICATES,
    CertificateMonitor,
    CertificateOptions,
    certificates_in,
    evaluate,
)
from monitord.net.base.x509 import Certificate
from tests.certificates import DAY, Authority
from tests.configurations import options_of
from tests.fakes import monitor_settings
from tests.worlds import real_tools

NOW = datetime(2026, 6, 1, tzinfo=UTC)

Make = Callable[..., CertificateMonitor]


def conditions(text: str | None) -> tuple[Condition, ...]:
    return () if text is None else (parse_condition(text, CertificateMonitor.vocabulary),)


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    async with real_tools() as tools:

        def make(
            file: Path, *, up_when: str | None = None, degraded_when: str | None = None
        ) -> CertificateMonitor:
            options = options_of(CertificateMonitor, tmp_path, f'file = "{file}"')
            settings = monitor_settings(type_name="certificate", timeout_s=60.0, options=options)
            settings = replace(settings, up_when=conditions(up_when), degraded_when=conditions(degraded_when))
            return CertificateMonitor(settings, tools)

        yield make


def test_options_are_read(tmp_path: Path) -> None:
    options = options_of(CertificateMonitor, tmp_path, 'file = "/etc/ssl/a.pem"')
    assert options == CertificateOptions("/etc/ssl/a.pem")


async def test_valid_certificate_passes_with_one_line(
    make: Make, authority: Authority, tmp_path: Path
) -> None:
    issued = authority.issue("shop.test", "alias.test", directory=tmp_path, valid_until=60 * DAY)
    seen = await make(issued.chain_file).check()
    assert seen.reason is Reason.OK
    fields = dict(seen.fields)
    expires_at = datetime.fromisoformat(str(fields.pop("certificate.expires_at")))
    assert seen.outcome == f"shop.test is valid until {expires_at:%Y-%m-%d %H:%M:%S} UTC"
    assert seen.detail == f"{issued.chain_file}: {seen.outcome}"
    expires_in_s = fields.pop("certificate.expires_in")
    assert isinstance(expires_in_s, float)
    assert 59 * 86400 < expires_in_s <= 60 * 86400
    assert fields.pop("response_time") is not None
    assert fields == {
        "certificate.subject": "CN=shop.test, O=Tests",
        "certificate.issuer": "CN=Test Root, O=Tests",
        "certificate.names": ("shop.test", "alias.test"),
        "certificate.count": 1,
    }


async def test_expired_certificate_fails_and_one_about_to_expire_warns(
    make: Make, authority: Authority, tmp_path: Path
) -> None:
    expired = authority.issue("a.test", directory=tmp_path, valid_from=-90 * DAY, valid_until=-DAY)
    monitor = make(expired.chain_file)
    seen = await monitor.check()
    assert (seen.reason, judge(seen, monitor.settings, None).verdict) == (Reason.TLS_EXPIRED, Verdict.FAIL)
    soon = authority.issue("a.test", directory=tmp_path, valid_from=-80 * DAY, valid_until=10 * DAY)
    monitor = make(soon.chain_file)
    seen = await monitor.check()
    assert seen.reason is Reason.CERTIFICATE_EXPIRING
    assert str(seen.outcome).startswith("a.test expires soon, at 20")
    assert judge(seen, monitor.settings, None).verdict is Verdict.WARN


async def test_conditions_replace_the_defaults(make: Make, authority: Authority, tmp_path: Path) -> None:
    soon = authority.issue("a.test", directory=tmp_path, valid_from=-80 * DAY, valid_until=10 * DAY)
    for degraded_when, verdict in (
        ("certificate.expires_in < 7d", Verdict.PASS),
        ("certificate.expires_in < 30d", Verdict.WARN),
    ):
        monitor = make(soon.chain_file, degraded_when=degraded_when)
        assert judge(await monitor.check(), monitor.settings, None).verdict is verdict
    expired = authority.issue("a.test", directory=tmp_path, valid_from=-90 * DAY, valid_until=-DAY)
    monitor = make(expired.chain_file, up_when="certificate.count == 1")
    assert judge(await monitor.check(), monitor.settings, None).verdict is Verdict.PASS


def certificate(valid_from: timedelta, valid_until: timedelta, name: str = "a.test") -> Certificate:
    return Certificate(f"CN={name}", "CN=x", (name,), NOW + valid_from, NOW + valid_until)


@pytest.mark.parametrize(
    ("certificates", "reason"),
    [
        pytest.param([certificate(-60 * DAY, 30 * DAY)], Reason.OK, id="90 days, to be renewed"),
        pytest.param([certificate(-75 * DAY, 15 * DAY)], Reason.OK, id="90 days, renewal late"),
        pytest.param(
            [certificate(-77 * DAY, 13 * DAY)], Reason.CERTIFICATE_EXPIRING, id="90 days, not renewed"
        ),
        pytest.param([certificate(-4 * DAY, 2 * DAY)], Reason.OK, id="6 days, to be renewed"),
        pytest.param(
            [certificate(-5.5 * DAY, 0.5 * DAY)], Reason.CERTIFICATE_EXPIRING, id="6 days, not renewed"
        ),
        pytest.param([certificate(-351 * DAY, 15 * DAY)], Reason.OK, id="a year"),
        pytest.param(
            [certificate(-353 * DAY, 13 * DAY)], Reason.CERTIFICATE_EXPIRING, id="a year, not renewed"
        ),
        pytest.param([certificate(DAY, 90 * DAY)], Reason.TLS_NOT_YET_VALID, id="future"),
        pytest.param([certificate(-DAY, 0 * DAY)], Reason.TLS_EXPIRED, id="expired now"),
        pytest.param(
            [certificate(-DAY, 90 * DAY), certificate(-900 * DAY, -DAY)],
            Reason.TLS_EXPIRED,
            id="intermediate expired",
        ),
        pytest.param([], Reason.CERTIFICATE_MISSING, id="none"),
    ],
)
def test_certificate_has_its_default_verdict(certificates: list[Certificate], reason: Reason) -> None:
    assert evaluate(certificates, NOW)[0] is reason


async def test_file_without_a_certificate_fails(make: Make, tmp_path: Path) -> None:
    file = tmp_path / "x.pem"
    seen = await make(file).check()
    assert (seen.reason, seen.outcome) == (
        Reason.CERTIFICATE_MISSING,
        "cannot be read: No such file or directory",
    )
    file.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    seen = await make(file).check()
    assert (seen.reason, seen.outcome) == (
        Reason.CERTIFICATE_MISSING,
        "contains no certificate in PEM format",
    )
    assert seen.fields["certificate.count"] == 0
    file.unlink()
    os.mkfifo(file)
    seen = await make(file).check()
    assert (seen.reason, seen.outcome) == (
        Reason.CERTIFICATE_MISSING,
        "cannot be read: is not a regular file",
    )


async def test_unreadable_file_is_inconclusive(make: Make, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root can read every file")
    file = tmp_path / "x.pem"
    file.touch(mode=0)
    assert (await make(file).check()).reason is Reason.PROBER_FORBIDDEN


def test_damaged_certificates_are_skipped_and_their_number_is_limited(authority: Authority) -> None:
    pem = authority.pem
    damaged = pem.replace(b"MII", b"AAA")
    assert len(certificates_in(damaged + b"noise" + pem + pem[:-30])) == 1
    assert len(certificates_in(pem * (MAX_CERTIFICATES + 5))) == MAX_CERTIFICATES
    assert certificates_in(b"-----BEGIN CERTIFICATE-----\n" * 10_000) == []
