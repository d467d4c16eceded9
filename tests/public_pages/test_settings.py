"""The sections [pages.NAME]."""

from pathlib import Path

import pytest

from monitord.dispatch import Matcher
from monitord.errors import ConfigError
from monitord.options.listen import parse_listen_address
from monitord.public_pages.locales import Language
from monitord.public_pages.logo import Logo
from monitord.public_pages.settings import PageGroup, PageSettings
from monitord.settings import read_settings
from tests.configurations import AssertErrors, errors_of, settings_of

BROKEN = Path(__file__).with_name("broken")

BASE = """
[monitors.shop-web]
url = "https://shop.example.org/"
tags = ["public", "web"]
[monitors.shop-db]
type = "tcp"
address = "db.example.org:5432"
tags = ["public"]
[monitors.office]
url = "https://office.example.org/"
[pages.customers]
"""


def read(tmp_path: Path, keys: str) -> PageSettings:
    (page,) = settings_of(tmp_path, BASE + keys).pages
    return page


def test_every_key_of_a_page_is_read(tmp_path: Path) -> None:
    keys = """
        title = "Example Shop"
        description = "Status of our services"
        monitors = ["shop-*", "unit:*"]
        tags = ["public"]
        language = "de"
        zone = "Europe/Berlin"
        days = 30
        show_reasons = true
        show_comments = true
        publish = true
        listen = ["127.0.0.1:8080", "[::1]:8080"]
        socket = "/run/monitord/customers.sock"
        hosts = "Status.example.org"
        logo = "LOGO"
        [[pages.customers.groups]]
        title = "Web"
        monitors = ["shop-web"]
        tags = ["web"]
    """
    logo = tmp_path / "a.svg"
    logo.write_text("<svg/>")
    assert read(tmp_path, keys.replace("LOGO", str(logo))) == PageSettings(
        "customers",
        "Example Shop",
        "Status of our services",
        Matcher(patterns=("shop-*", "unit:*"), tags=("public",)),
        (PageGroup("Web", Matcher(patterns=("shop-web",), tags=("web",))),),
        Language.GERMAN,
        "Europe/Berlin",
        days=30,
        shows_reasons=True,
        shows_comments=True,
        is_published=True,
        listen=(parse_listen_address("127.0.0.1:8080"), parse_listen_address("[::1]:8080")),
        socket=Path("/run/monitord/customers.sock"),
        hosts=("status.example.org",),
        logo=Logo("logo.svg", "image/svg+xml", b"<svg/>"),
    )


def test_page_is_published_and_shows_reasons_only_on_request(tmp_path: Path) -> None:
    page = read(tmp_path, 'tags = ["public"]')
    assert page == PageSettings("customers", "customers", matcher=Matcher(tags=("public",)))
    assert not page.is_published
    assert not page.shows_reasons
    assert not page.shows_comments


GROUPS = """
[[pages.customers.groups]]
title = "Web"
tags = ["web"]
[[pages.customers.groups]]
title = "All"
monitors = ["shop-*"]
"""


@pytest.mark.parametrize(
    ("keys", "covered"),
    [
        ('monitors = ["*"]', ["shop-web", "shop-db", "office"]),
        ('tags = ["public"]', ["shop-web", "shop-db"]),
        ('monitors = ["*-db", "office"]', ["shop-db", "office"]),
        ('monitors = ["*-db"]\ntags = ["web"]', []),
        (GROUPS, ["shop-web", "shop-db"]),
        ('monitors = ["office"]' + GROUPS, ["office"]),
    ],
)
def test_page_covers_the_selected_monitors(tmp_path: Path, keys: str, covered: list[str]) -> None:
    monitors = {"shop-web": {"public", "web"}, "shop-db": {"public"}, "office": set[str]()}
    page = read(tmp_path, keys)
    assert [name for name, tags in monitors.items() if page.covers(name, tags)] == covered


def test_monitor_is_in_the_first_group_that_matches(tmp_path: Path) -> None:
    page = read(tmp_path, GROUPS)
    assert page.group_of("shop-web", {"public", "web"}) == 0
    assert page.group_of("shop-db", {"public"}) == 1
    assert page.group_of("office", ()) is None


@pytest.mark.parametrize("config", sorted(BROKEN.glob("*.toml")), ids=lambda path: path.stem)
def test_broken_pages_are_rejected_with_exactly_these_errors(
    config: Path, assert_errors: AssertErrors
) -> None:
    with pytest.raises(ConfigError) as rejected:
        read_settings(config, environment={})
    assert_errors(config, str(rejected.value))


SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>'


@pytest.mark.parametrize(
    ("body", "name", "kind"),
    [
        (SVG, "logo.svg", "image/svg+xml"),
        (b"\x89PNG\r\n\x1a\n...", "logo.png", "image/png"),
        (b"\xff\xd8\xff\xe0...", "logo.jpg", "image/jpeg"),
        (b"RIFF....WEBPVP8 ", "logo.webp", "image/webp"),
    ],
    ids=["svg", "png", "jpeg", "webp"],
)
def test_type_of_a_logo_is_that_of_its_content(tmp_path: Path, body: bytes, name: str, kind: str) -> None:
    (tmp_path / "image").write_bytes(body)
    logo = read(tmp_path, f'tags = ["public"]\nlogo = "{tmp_path}/image"').logo
    assert logo == Logo(name, kind, body)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"GIF89a", "is not an image; use a file in the format SVG, PNG, JPEG or WebP"),
        (b"<html><svg/></html>", "is not an image; use a file in the format SVG, PNG, JPEG or WebP"),
        (SVG.replace(b"/>", b"><SCRIPT/></svg>"), "contains a script; remove it from the image"),
        (b"\xff\xd8\xff" + bytes(256 * 1024), "is larger than 256 KiB; use a smaller image"),
        (None, "cannot be read: No such file or directory; write the path of an image"),
    ],
    ids=["gif", "html", "script", "large", "missing"],
)
def test_other_file_is_not_a_logo(tmp_path: Path, body: bytes | None, problem: str) -> None:
    if body is not None:
        (tmp_path / "image").write_bytes(body)
    (error,) = errors_of(tmp_path, BASE + f'tags = ["public"]\nlogo = "{tmp_path}/image"')
    assert error.endswith(problem)
    assert "pages.customers.logo: " in error
