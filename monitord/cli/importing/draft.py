"""The translated configuration: sections with their comments, and the list of items that were not translated.

A section that cannot work is written as comments, with the reason, so that the file is always accepted and nothing is
lost. References between sections are objects until the file is written: a disabled section is not referred to.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from monitord.cli.importing.toml_text import TomlValue, assignment, comment, key_of
from monitord.config import without_secrets
from monitord.text import counted, plain, shortened
from monitord.units import format_duration

MAX_NAME_CHARACTERS = 60
MAX_QUOTED_CHARACTERS = 1000
MIN_REPEAT_EVERY_S = 60.0

_FIRST_KEYS = (
    "type",
    "url",
    "unit",
    "container",
    "path",
    "device",
    "command",
    "address",
    "host",
    "name",
    "server",
    "to",
    "routing_key",
)
"""Keys of the check or notification target; the other keys follow in the order in which they were set."""


@dataclass(frozen=True, slots=True)
class Untranslated:
    """An item of the source, and why it is not in the result."""

    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}" if self.where else self.reason


@dataclass(slots=True, eq=False)
class DraftSection:
    """A monitor, notifier or maintenance window. `title`: its name in the source, for comments and messages."""

    kind: str
    name: str
    title: str
    values: dict[str, TomlValue] = field(default_factory=dict)
    references: dict[str, list["DraftSection"]] = field(default_factory=dict)
    notify: list["DraftSection"] | None = None
    """The notifiers of a monitor. None: the source does not select any."""
    repeat_every_s: float | None = None
    remarks: list[str] = field(default_factory=list)
    missing: list[Untranslated] = field(default_factory=list)
    disabled: str = ""
    """Why the section is written as comments."""

    def leave_out(self, what: str, reason: str) -> None:
        """Record a part that is not translated; the section is written without it."""
        self.missing.append(Untranslated(f"{self.title}: {plain(what)}" if what else self.title, reason))

    def disable(self, reason: str) -> None:
        """Write the section as comments; the first reason counts."""
        self.disabled = self.disabled or reason

    def set_durations(self, check_every_s: float, timeout_s: float, retry_every_s: float | None) -> None:
        """Set the interval, and the timeout and the interval of retries, which cannot be longer."""
        check_every_s = max(check_every_s, 0.001)
        self.values["check_every"] = format_duration(check_every_s)
        self.values["timeout"] = format_duration(max(min(timeout_s, check_every_s), 0.001))
        if timeout_s > check_every_s:
            self.remarks.append(f"The timeout was {format_duration(timeout_s)}, longer than the interval.")
        if retry_every_s is not None:
            self.values["retry_every"] = format_duration(max(min(retry_every_s, check_every_s), 0.001))

    @property
    def is_active(self) -> bool:
        return not self.disabled

    def lines(self) -> Iterator[str]:
        """Yield the lines of the section, with its comments."""
        if self.title != self.name or self.remarks:
            yield comment(self.title)
        yield from map(comment, dict.fromkeys(self.remarks))
        reasons = [
            f"Not translated: {item.where.removeprefix(f'{self.title}: ')}: {item.reason}"
            for item in self.missing
        ]
        if self.disabled:
            reasons.insert(0, f"Not active: {self.disabled}")
        yield from map(comment, reasons)
        body = [f"[{self.kind}.{key_of(self.name)}]"]
        for key in sorted(self.values, key=_key_order):
            body += assignment(key, self.values[key])
        for key, sections in self.references.items():
            names = [section.name for section in sections if section.is_active]
            if names:
                body += assignment(key, names)
        yield from (f"# {line}" for line in body) if self.disabled else body


class Draft:
    """All sections in the order of the source."""

    def __init__(self) -> None:
        self.sections: list[DraftSection] = []
        self.general: list[Untranslated] = []
        self._names: dict[str, set[str]] = {"monitors": set(), "notifiers": set(), "maintenance": set()}
        self._numbers: dict[tuple[str, str], int] = {}

    def add(self, kind: str, title: str, *alternatives: str) -> DraftSection:
        """Add a section whose name is made from its title, or from an alternative if that name is in use."""
        titles = [without_credentials(text) for text in (title, *alternatives)]
        used = self._names[kind]
        fallback = kind.removesuffix("s")
        names = [name for name in map(name_of, titles) if name] or [fallback]
        name = next((name for name in names if name not in used), names[-1])
        base = name
        while name in used:
            number = self._numbers[kind, base] = self._numbers.get((kind, base), 1) + 1
            name = f"{base}-{number}"
        used.add(name)
        section = DraftSection(kind, name, plain(titles[0]).strip())
        self.sections.append(section)
        return section

    def monitor(self, title: str, *alternatives: str) -> DraftSection:
        return self.add("monitors", title, *alternatives)

    def notifier(self, title: str, *alternatives: str) -> DraftSection:
        return self.add("notifiers", title, *alternatives)

    def leave_out(self, where: str, reason: str) -> None:
        """Record an item of the source that has no section."""
        item = Untranslated(plain(where), reason)
        if item not in self.general:
            self.general.append(item)

    def of_kind(self, kind: str, *, active: bool = True) -> list[DraftSection]:
        return [
            section for section in self.sections if section.kind == kind and (section.is_active or not active)
        ]

    def untranslated(self) -> list[Untranslated]:
        """Return everything that is not in the result, in the order of the file."""
        untranslated = list(self.general)
        for section in self.sections:
            if section.disabled:
                untranslated.append(Untranslated(section.title, section.disabled))
            else:
                untranslated += section.missing
        return untranslated

    def disable_empty_sections(self) -> None:
        """Disable groups and maintenance windows without active monitors: a window would then apply to all monitors."""
        changed = True
        while changed:
            changed = False
            for section in self.sections:
                monitors = section.references.get("members", section.references.get("monitors"))
                if (
                    section.is_active
                    and monitors is not None
                    and not any(item.is_active for item in monitors)
                ):
                    section.disable("none of its monitors is active")
                    changed = True


def _key_order(key: str) -> int:
    return _FIRST_KEYS.index(key) if key in _FIRST_KEYS else len(_FIRST_KEYS)


def without_credentials(address: str) -> str:
    """Return the address without user name, password and query, which may be secrets, for names and messages."""
    if "://" not in address:
        return address
    return re.sub(r"://[^/?#]*@", "://", address.partition("?")[0])


def name_of(title: str) -> str:
    """Return a valid name of a section: "blog-new" for "Blog (new)"; "" if no character of the title is valid."""
    plainer = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._]+", "-", plainer).strip("-._").lower()[:MAX_NAME_CHARACTERS].rstrip("-._")


def render(draft: Draft, heading: Sequence[str]) -> str:
    """Return the configuration file: a heading, general remarks, the sections in their order, and the routes."""
    draft.disable_empty_sections()
    blocks = [[comment(line) for line in heading]]
    if draft.general:
        blocks.append([comment("Not translated:"), *(comment(f"- {item}") for item in draft.general)])
    blocks += [list(section.lines()) for section in draft.sections]
    routes = list(_routes(draft))
    if routes:
        blocks.append(
            [
                comment(
                    "Routes apply to all monitors: a monitor that no route selects has no notifications."
                ),
                comment("If the configuration has routes already, move these to them."),
            ]
        )
    return "\n".join("\n".join(block) + "\n" for block in [*blocks, *routes])


def _routes(draft: Draft) -> Iterator[list[str]]:
    """Yield a route for each set of notifiers, if not every monitor notifies all of them."""
    notifiers = draft.of_kind("notifiers")
    if not notifiers:
        return
    order = {notifier: index for index, notifier in enumerate(notifiers)}
    selected: dict[tuple[tuple[str, ...], float | None], list[str]] = {}
    for monitor in draft.of_kind("monitors"):
        wanted = notifiers if monitor.notify is None else monitor.notify
        notify = sorted({notifier for notifier in wanted if notifier in order}, key=lambda item: order[item])
        names = [notifier.name for notifier in notify]
        repeat_every_s = monitor.repeat_every_s if names else None
        selected.setdefault((tuple(names), repeat_every_s), []).append(monitor.name)
    if all(len(selection) == len(notifiers) and repeat is None for selection, repeat in selected):
        return
    for (selection, repeat_every_s), monitors in selected.items():
        if selection:
            lines = ["[[alerts.routes]]", *assignment("monitors", monitors)]
            lines += assignment("notify", list(selection))
            if repeat_every_s is not None:
                lines += assignment("repeat_every", format_duration(max(repeat_every_s, MIN_REPEAT_EVERY_S)))
            yield lines


def summary(draft: Draft) -> str:
    """Return the numbers of active sections, such as "5 monitors, 2 notifiers"."""
    counts = {kind: len(draft.of_kind(kind)) for kind in ("monitors", "notifiers", "maintenance")}
    parts = [counted(counts["monitors"], "monitor"), counted(counts["notifiers"], "notifier")]
    if counts["maintenance"]:
        parts.append(counted(counts["maintenance"], "maintenance window"))
    return ", ".join(parts)


def quoted(text: str) -> str:
    """Return a value of the source in quotes, shortened and with secrets masked, for a message."""
    return f'"{shortened(plain(without_secrets(text[:MAX_QUOTED_CHARACTERS])))}"'
