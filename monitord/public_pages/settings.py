"""The sections [pages.NAME] of the configuration."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from monitord.calendar_events.zones import is_zone
from monitord.config import Table, value_text
from monitord.dispatch import Matcher
from monitord.errors import InvalidValueError
from monitord.health.selection import read_selection
from monitord.options.listen import (
    ListenAddress,
    parse_host_name,
    parse_listen_address,
    read_socket_path,
)
from monitord.public_pages.locales import Language
from monitord.public_pages.logo import Logo, read_logo

MAX_TITLE_CHARACTERS = 100
MAX_DESCRIPTION_CHARACTERS = 1000

DEFAULT_DAYS = 90
MIN_DAYS = 7
MAX_DAYS = 365

UTC_ZONE = "UTC"


@dataclass(frozen=True, slots=True)
class PageGroup:
    """A heading of a page, and the monitors of the page that are listed below it."""

    title: str
    matcher: Matcher


@dataclass(frozen=True, slots=True)
class PageSettings:
    """A page. `matcher`: its monitors; None: those of its groups. A monitor is in the first group that matches.

    `is_published`: served without authentication below /pages/ on the sockets of the status interface. `listen` and
    `socket`: addresses that serve this page and nothing else; `hosts`: names that do so on the sockets of the status
    interface, in lower case. `days`: the number of days of uptime and incidents, in
    the time zone `zone`.
    """

    name: str
    title: str
    description: str = ""
    matcher: Matcher | None = None
    groups: tuple[PageGroup, ...] = ()
    language: Language = Language.ENGLISH
    zone: str = UTC_ZONE
    days: int = DEFAULT_DAYS
    shows_reasons: bool = False
    shows_comments: bool = False
    is_published: bool = False
    listen: tuple[ListenAddress, ...] = ()
    socket: Path | None = None
    hosts: tuple[str, ...] = ()
    logo: Logo | None = None

    def covers(self, monitor: str, tags: Collection[str]) -> bool:
        """Return whether a monitor is on the page."""
        if self.matcher is not None:
            return self.matcher.matches(monitor, tags)
        return self.group_of(monitor, tags) is not None

    def group_of(self, monitor: str, tags: Collection[str]) -> int | None:
        """Return the index of the group of a monitor; None if no group matches."""
        return next(
            (index for index, group in enumerate(self.groups) if group.matcher.matches(monitor, tags)), None
        )


def read_pages(
    root: Table, names: Collection[str], tags: Collection[str] | None, status_hosts: Collection[str] = ()
) -> tuple[PageSettings, ...]:
    """Read the sections. `names` and `tags`: of all monitors; None: not all tags are known.

    `status_hosts`: the names of the status interface.
    """
    tables = root.table("pages").members()
    pages = tuple(_read(name, table, names, tags) for name, table in tables.items())
    used: dict[object, str] = dict.fromkeys(status_hosts, "[status]")
    for page in pages:
        addresses: dict[object, str] = {
            **dict.fromkeys(page.listen, "listen"),
            **dict.fromkeys(page.hosts, "hosts"),
            **({} if page.socket is None else {page.socket: "socket"}),
        }
        for address, key in addresses.items():
            if address in used:
                problem = f"{value_text(str(address))} is also used by {used[address]}"
                tables[page.name].error(key, problem, "write a different value for each page")
            used.setdefault(address, f"[pages.{page.name}]")
    return pages


def _read(
    name: str, table: Table, names: Collection[str], known_tags: Collection[str] | None
) -> PageSettings:
    matcher = _matcher(table, names, known_tags)
    groups = []
    for group in table.tables("groups"):
        title = group.value("title", _title, default="", required=True)
        groups.append(PageGroup(title, _matcher(group, names, known_tags) or Matcher()))
        if not {"monitors", "tags"} & group.written.keys():
            group.error("", "selects no monitors", 'write monitors = ["shop-*"] or tags = ["web"]')
    # An empty selection selects all monitors elsewhere. Here, it would publish them by mistake.
    if not {"monitors", "tags", "groups"} & table.written.keys():
        table.error(
            "", "selects no monitors", 'write tags = ["public"], or monitors = ["*"] for all monitors'
        )
    return PageSettings(
        name=name,
        title=table.value("title", _title, default=name),
        description=table.value("description", _description, default=""),
        matcher=matcher,
        groups=tuple(groups),
        language=table.choice("language", Language, default=Language.ENGLISH),
        zone=table.value("zone", _zone, default=UTC_ZONE),
        days=table.integer("days", default=DEFAULT_DAYS, minimum=MIN_DAYS, maximum=MAX_DAYS),
        shows_reasons=table.flag("show_reasons", default=False),
        shows_comments=table.flag("show_comments", default=False),
        is_published=table.flag("publish", default=False),
        listen=tuple(dict.fromkeys(table.one_or_more("listen", parse_listen_address, default=()))),
        socket=read_socket_path(table, "socket", "/run/monitord/customers.sock"),
        hosts=tuple(dict.fromkeys(table.one_or_more("hosts", parse_host_name, default=()))),
        logo=read_logo(table, "logo"),
    )


def _matcher(table: Table, names: Collection[str], known_tags: Collection[str] | None) -> Matcher | None:
    monitors, tags = read_selection(table, names, known_tags)
    return Matcher(patterns=monitors, tags=tags) if monitors or tags else None


def _title(text: str) -> str:
    """Parse a line of text. Raises InvalidValueError."""
    if not text.strip() or not text.isprintable():
        raise InvalidValueError("is not a line of text", 'write a title such as "Example Shop"')
    return _within(text, MAX_TITLE_CHARACTERS)


def _description(text: str) -> str:
    """Parse a text of several lines. Raises InvalidValueError."""
    if not text.replace("\n", "").isprintable():
        raise InvalidValueError("contains a control character", "write letters, punctuation and newlines")
    return _within(text, MAX_DESCRIPTION_CHARACTERS)


def _within(text: str, most: int) -> str:
    if len(text) > most:
        raise InvalidValueError(f"is longer than {most} characters", "write a shorter text")
    return text


def _zone(text: str) -> str:
    """Parse the name of a time zone. Raises InvalidValueError."""
    if not is_zone(text):
        raise InvalidValueError("is not a time zone of this host", 'write a name such as "Europe/Berlin"')
    return text
