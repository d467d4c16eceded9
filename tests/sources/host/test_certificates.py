"""The files with certificates that are found on a host."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitord.sources.host.certificates import certificate_files
from tests.certificates import DAY, Authority


def found(folder: Path, *known: Path) -> list[str]:
    files = certificate_files(
        datetime.now(UTC),
        {str(path) for path in known},
        letsencrypt=folder / "live",
        private=folder / "private",
    )
    return [file.removeprefix(f"{folder}/") for file in files]


@pytest.fixture
def host(tmp_path: Path) -> Path:
    for name in ("live/shop.test", "live/old.test", "private"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


def test_certificates_of_certbot_and_in_private_are_found(host: Path, authority: Authority) -> None:
    authority.issue("shop.test", directory=host / "live" / "shop.test", file="fullchain")
    authority.issue("mail.test", directory=host / "private", file="mail")
    (host / "live" / "README").write_text("text")
    (host / "private" / "notes.txt").write_text("text")
    (host / "private" / "key.pem").write_bytes((host / "private" / "mail.key").read_bytes())
    os.mkfifo(host / "private" / "fifo.pem")
    assert found(host) == ["live/shop.test/fullchain.pem", "private/mail.pem"]


def test_snakeoil_is_excluded(host: Path, authority: Authority) -> None:
    authority.issue("host", directory=host / "private", file="ssl-cert-snakeoil")
    assert found(host) == []


def test_abandoned_certificate_is_excluded_unless_it_is_monitored(host: Path, authority: Authority) -> None:
    issued = authority.issue(
        "old.test",
        directory=host / "live" / "old.test",
        file="fullchain",
        valid_from=-90 * DAY,
        valid_until=-31 * DAY,
    )
    assert found(host) == []
    assert found(host, issued.chain_file) == ["live/old.test/fullchain.pem"]
    authority.issue(
        "old.test",
        directory=host / "live" / "old.test",
        file="fullchain",
        valid_from=-90 * DAY,
        valid_until=-29 * DAY,
    )
    assert found(host) == ["live/old.test/fullchain.pem"]


def test_directories_that_do_not_exist_or_cannot_be_read_have_none(tmp_path: Path) -> None:
    assert found(tmp_path / "nowhere") == []
    (tmp_path / "live").write_text("no directory")
    assert found(tmp_path) == []
