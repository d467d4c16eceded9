"""The digest of the configuration: equal for equal settings in any order and process, different after a change."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from monitord.cluster.configuration import configuration_digests, digest_of_all
from monitord.settings import Settings, read_settings
from tests.fakes import run_in_fake_time

ROOT = Path(__file__).parent.parent.parent

WEB = '[monitors.web]\nurl = "https://www.example.org/"\ntags = ["prod", "eu"]\n'
MAIL = '[monitors.mail]\nurl = "https://mail.example.org/"\n'
OPS = '[notifiers.ops]\ntype = "webhook"\nurl = "https://hooks.example.org/"\n'
ROUTE = '[[alerts.routes]]\nnotify = ["ops"]\nstates = ["down", "degraded", "unknown"]\n'


def read(folder: Path, text: str) -> Settings:
    (folder / "monitord.toml").write_text(text)
    return read_settings(folder / "monitord.toml")


async def digest_of(folder: Path, text: str) -> str:
    settings = read(folder, text)
    return digest_of_all(await configuration_digests(settings.monitors, settings.alerts))


async def test_order_and_monitors_of_the_host_do_not_matter(tmp_path: Path) -> None:
    expected = await digest_of(tmp_path, WEB + MAIL + OPS)
    assert await digest_of(tmp_path, OPS + MAIL + WEB) == expected
    assert await digest_of(tmp_path, WEB + MAIL + OPS + '[monitors.reboot]\ntype = "reboot"\n') == expected
    assert await digest_of(tmp_path, WEB + MAIL + OPS + "[limits]\nmax_concurrent_checks = 9\n") == expected


@pytest.mark.parametrize(
    "changed",
    [
        WEB + OPS + ROUTE,
        WEB + MAIL + OPS,
        WEB.replace("www", "shop") + MAIL + OPS + ROUTE,
        WEB + 'check_every = "7s"\n' + MAIL + OPS + ROUTE,
        WEB + MAIL + OPS + ROUTE.replace('"unknown"', '"down"'),
    ],
    ids=["monitor", "route", "url", "check_every", "states"],
)
async def test_change_gives_another_digest(tmp_path: Path, changed: str) -> None:
    assert await digest_of(tmp_path, changed) != await digest_of(tmp_path, WEB + MAIL + OPS + ROUTE)


async def test_each_section_has_its_own_digest(tmp_path: Path) -> None:
    before = read(tmp_path, WEB + MAIL + OPS)
    after = read(tmp_path, WEB.replace("www", "shop") + OPS.replace("webhook", "slack"))
    one = await configuration_digests(before.monitors, before.alerts)
    other = await configuration_digests(after.monitors, after.alerts)
    assert one.keys() == {"monitors.web", "monitors.mail", "notifiers.ops", "alerts.routes"}
    assert one.keys() - other.keys() == {"monitors.mail"}
    assert {key for key in other if one[key] != other[key]} == {"monitors.web", "notifiers.ops"}


def test_digest_is_the_same_in_every_process(tmp_path: Path) -> None:
    expected = run_in_fake_time(lambda: digest_of(tmp_path, WEB + MAIL + OPS + ROUTE))
    program = (
        "import asyncio, sys; from pathlib import Path; from monitord.settings import read_settings;"
        "from monitord.cluster.configuration import configuration_digests, digest_of_all;"
        "settings = read_settings(Path(sys.argv[1]));"
        "print(digest_of_all(asyncio.run(configuration_digests(settings.monitors, settings.alerts))))"
    )
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "monitord.toml")],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == expected


@pytest.mark.parametrize(
    ("options", "is_equal"),
    [
        ('url = "https://kim:other@www.example.org/a?token=other"', True),
        ('url = "https://kim:secret@www.example.org/b?token=secret"', False),
        ('url = "https://kim:secret@shop.example.org/a?token=secret"', False),
        ('url = "https://kim:secret@www.example.org/a?token=secret"\ncheck_every = "7s"', False),
    ],
    ids=["secrets", "path", "host", "check_every"],
)
async def test_digest_does_not_depend_on_secrets(tmp_path: Path, options: str, *, is_equal: bool) -> None:
    """Readers of the database could test whether a weak secret has the digest."""
    url = 'url = "https://kim:secret@www.example.org/a?token=secret"'
    before = await digest_of(tmp_path, f"[monitors.web]\n{url}\n")
    assert (await digest_of(tmp_path, f"[monitors.web]\n{options}\n") == before) is is_equal
