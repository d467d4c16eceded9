"""monit: control files (monitrc and the files that it includes).

monit also starts and stops services, which systemd does for monitord. A test of a port becomes a separate monitor.
A process becomes a monitor of its unit, if its start program names one.
"""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import pairwise

from monitord.cli.importing.conversion import REVERSED_OPERATORS, address_of, clean_tag, literal
from monitord.cli.importing.draft import Draft, DraftSection, quoted
from monitord.cli.importing.monit_syntax import (
    SERVICE_TYPES,
    MonitFile,
    MonitService,
    MonitTest,
    MonitToken,
    parse,
)
from monitord.cli.importing.source import FieldError, ImportSource, SourceError, naming_file
from monitord.cli.importing.toml_text import TomlValue
from monitord.units import format_duration

DEFAULT_INTERVAL_S = 30.0
DEFAULT_TIMEOUT_S = 5.0
MAX_SEARCHED = 4096
"""Characters of a command or a mail format in which a pattern is searched."""

_GREETINGS = {
    "smtp": "^220 ",
    "ftp": "^220",
    "ssh": "^SSH-",
    "pop": r"^\+OK",
    "imap": r"^\* OK",
    "nntp": "^20[01]",
    "lmtp": "^220 ",
    "smtps": "^220 ",
    "pops": r"^\+OK",
    "imaps": r"^\* OK",
}
_DEFAULT_PORTS = {"http": 80, "https": 443}
_NEGATED = {"!=": "==", "==": "!=", "=": "!=", ">": "<=", "<": ">=", ">=": "<", "<=": ">"}
_OPERATOR_WORDS = {
    "eq": "==",
    "equal": "==",
    "ne": "!=",
    "notequal": "!=",
    "gt": ">",
    "greater": ">",
    "lt": "<",
    "less": "<",
}
_UNIT_OF = (
    re.compile(r"systemctl\s+(?:--\S+\s+)*start\s+(\S+)"),
    re.compile(r"(?:^|/)service\s+(\S+)\s+start"),
    re.compile(r"/etc/(?:rc\.d/)?init\.d/(\S+)\s+start"),
)
_MONIT_ACTIONS = {"restart", "start", "stop", "exec", "unmonitor"}
_LIMIT = re.compile(
    r"(?P<what>space(?: usage)?|inodes?(?: usage)?|memory(?: usage)?|swap(?: usage)?"
    r"|loadavg ?\((?P<minutes>1|5|15)min\)(?: (?P<core>per core))?)"
    r" (?P<operator>[<>]=?) ?(?P<limit>[0-9]{1,6}(?:\.[0-9]{1,3})?)(?P<unit> ?%)?",
    re.IGNORECASE,
)
_FILLERS = {"and", "with", "using", "use", "the", "option", "options", "than", "by", "for", "on", "type"}


@dataclass(slots=True)
class PortTest:
    """A test of a network service, without the statements that were not understood."""

    host: str
    port: int = 0
    socket: str = ""
    protocol: str = ""
    transport: str = "tcp"
    is_ping: bool = False
    with_tls: bool = False
    path: str = ""
    status: str = ""
    contents: list[str] = field(default_factory=list)
    host_header: str = ""
    method: str = ""
    dialogue: list[TomlValue] = field(default_factory=list)
    timeout_s: float = DEFAULT_TIMEOUT_S
    certificate_days: int = 0
    response: str = ""
    unknown: list[str] = field(default_factory=list)


def recognizes(text: str) -> bool:
    types = "|".join(sorted(SERVICE_TYPES))
    return (
        re.search(
            rf"(?im)^[ \t]*(?:check\s+(?:{types})\s+\S|set\s+(?:daemon|httpd|mailserver|alert)\s)", text
        )
        is not None
    )


def translate(sources: Sequence[ImportSource], draft: Draft) -> None:
    files: list[tuple[ImportSource, MonitFile]] = []
    for source in sources:
        if source.is_database:
            raise SourceError(f"{source.name}: is not a control file of monit")
        with naming_file(source):
            files.append((source, parse(source.text)))
    translation = _MonitTranslation(draft)
    for source, parsed in files:
        with naming_file(source):
            translation.read_settings(parsed)
    translation.add_notifier()
    for source, parsed in files:
        with naming_file(source):
            for service in parsed.services:
                translation.read_service(service)
        for pattern in parsed.includes:
            if not any(fnmatchcase(str(source.path.absolute()), pattern) for source in sources):
                draft.leave_out(f"include {pattern}", "pass these files as well")
    translation.finish()


class _MonitTranslation:
    """The settings of all files, then their services."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._interval_s = DEFAULT_INTERVAL_S
        self._mail: dict[str, TomlValue] = {}
        self._recipients: list[str] = []
        self._repeat_every_cycles = 0.0
        self._by_service: dict[str, list[DraftSection]] = {}
        self._parents: list[tuple[str, list[str]]] = []
        self._has_actions = False

    # Settings

    def read_settings(self, parsed: MonitFile) -> None:  # noqa: C901, PLR0912 - a case for each setting
        for tokens in parsed.settings:
            word, rest = (tokens[0].keyword, tokens[1:]) if tokens else ("", [])
            texts = [token.text for token in rest]
            match word:
                case "daemon" if texts and texts[0].isdecimal():
                    self._interval_s = float(min(int(texts[0][:9]), 86_400)) or DEFAULT_INTERVAL_S
                case "mailserver" if texts:
                    host, port = rest[0].text, 25
                    for token, following in pairwise(rest):
                        if token.keyword == "port" and following.text.isdecimal():
                            port = int(following.text[:6])
                        elif token.keyword in {"username", "password"}:
                            self._mail[token.keyword] = following.text
                    words = " ".join(token.keyword for token in rest)
                    self._mail["server"] = address_of(host, port)
                    if "username" in self._mail or re.search(r"\b(?:using|with) (?:tls|ssl)", words):
                        self._mail["security"] = "tls" if port == 465 else "starttls"  # noqa: PLR2004 - submissions
                case "alert" if texts:
                    address, lowered = texts[0], [text.lower() for text in texts]
                    if address not in self._recipients:
                        self._recipients.append(address)
                    if any(word.startswith("{") for word in lowered):
                        self._draft.leave_out(
                            f"set alert {address}",
                            "a selection of events has no counterpart; routes select monitors",
                        )
                    if "reminder" in lowered:
                        numbers = [word for word in lowered if word.isdecimal()]
                        self._repeat_every_cycles = float(numbers[-1][:6]) if numbers else 0.0
                case "mail-format" if texts:
                    sender = re.search(r"from:\s*([^\s}]+@[^\s}]+)", " ".join(texts)[:MAX_SEARCHED])
                    if sender is not None and "$" not in sender[1]:
                        self._mail["from"] = sender[1]
                case _:
                    pass  # the web interface, files and limits of monit itself

    def add_notifier(self) -> None:
        if self._recipients:
            notifier = self._draft.notifier("mail")
            notifier.title = "set alert"
            notifier.values = {"to": list(self._recipients), **self._mail}
        elif self._mail.get("server"):
            self._draft.leave_out("set mailserver", "there is no set alert, so email has no recipients")

    # Services

    def read_service(self, service: MonitService) -> None:
        match service.kind:
            case "host" | "process":
                self._read_ports(service)
            case "program":
                self._read_program(service)
            case "filesystem" | "device":
                section = self._section(service, "")
                path = _value_after(service.header, "path")
                section.values["type"] = "disk"
                section.values["device" if path.startswith("/dev/") or ":" in path else "path"] = path
                section.values["check_every"] = format_duration(self._interval_of(service, section))
                self._read_limits(service, {"": section})
                if "up_when" not in section.values:
                    section.remarks.append("The default conditions of type disk apply.")
            case "system":
                self._read_system(service)
            case _:
                tests = "; ".join(
                    dict.fromkeys(" ".join(token.text for token in test.condition) for test in service.tests)
                )
                reason = _REASONS.get(service.kind, "")
                self._draft.leave_out(
                    f"check {service.kind} {service.name}",
                    f"{reason}{f' (tests: {quoted(tests)})' if tests else ''}",
                )
        for word, tokens in service.statements:
            if word in {"depends", "depend"}:
                names = [token.text for token in tokens if token.keyword != "on"]
                self._parents.append((service.name, names))
            elif word == "alert":
                self._draft.leave_out(
                    f"check {service.kind} {service.name}: alert", "write a notifier and a route for it"
                )
        self._has_actions = self._has_actions or any(test.action in _MONIT_ACTIONS for test in service.tests)

    def finish(self) -> None:
        for name, parents in self._parents:
            sections = [section for parent in parents for section in self._by_service.get(parent, [])]
            for section in self._by_service.get(name, []):
                if sections:
                    section.references["depends_on"] = sections
        if self._has_actions:
            self._draft.leave_out(
                "actions",
                "monitord does not start or stop services; Restart= of systemd.service(5) restarts a failed one",
            )

    def _section(self, service: MonitService, suffix: str) -> DraftSection:
        """Add a section. The first section of a service has its name, the others a suffix."""
        known = self._by_service.setdefault(service.name, [])
        section = self._draft.monitor(service.name if not known else f"{service.name}-{suffix}")
        section.title = f"check {service.kind} {service.name}" + (f", {suffix}" if suffix else "")
        known.append(section)
        tags = [
            clean_tag(token.text)
            for word, tokens in service.statements
            if word == "group"
            for token in tokens
        ]
        if tags:
            section.values["tags"] = list(dict.fromkeys(tags))
        if self._repeat_every_cycles:
            section.repeat_every_s = self._repeat_every_cycles * self._interval_s
        return section

    def _interval_of(self, service: MonitService, section: DraftSection) -> float:
        for word, tokens in service.statements:
            if word == "every" and tokens:
                if tokens[0].text.isdecimal():
                    return self._interval_s * int(tokens[0].text[:6])
                section.leave_out(
                    f"every {quoted(tokens[0].text)}",
                    "schedules in cron format have no counterpart; set check_every",
                )
        return self._interval_s

    def _read_ports(self, service: MonitService) -> None:
        address = _value_after(service.header, "address") or "localhost"
        if service.kind == "process":
            self._read_process(service)
            address = "localhost"
        has_port_test = False
        for test in service.tests:
            words = {token.keyword for token in test.condition}
            if words & {"port", "unixsocket", "ping", "ping4", "ping6", "icmp"} or "url" in words:
                self._read_port(service, test, address)
                has_port_test = True
            elif not (words & {"restarts", "restart"} or "exist" in words or "exists" in words):
                condition = " ".join(token.text for token in test.condition)
                section = next(iter(self._by_service.get(service.name, [])), None)
                reason = (
                    "resource usage has no counterpart; plugins can check it, see monitord-monitors(5), type exec"
                    if service.kind == "process"
                    else "it has no counterpart"
                )
                if section is None:
                    self._draft.leave_out(f"check {service.kind} {service.name}: {condition}", reason)
                else:
                    section.leave_out(condition, reason)
        if service.kind == "host" and not has_port_test and not service.tests:
            self._draft.leave_out(f"check host {service.name}", "it has no tests")

    def _read_process(self, service: MonitService) -> None:
        section = self._section(service, "")
        start = next((tokens for word, tokens in service.statements if word == "start"), [])
        command = " ".join(token.text for token in start if token.keyword != "program")[:MAX_SEARCHED]
        match = next(filter(None, (pattern.search(command) for pattern in _UNIT_OF)), None)
        if match is None:
            section.values["unit"] = f"{service.name}.service"
            section.disable(
                "its start program does not name a unit; check the name of the unit, and remove the #"
            )
        else:
            name = match[1].strip("\"'")
            section.values["unit"] = name if "." in name else f"{name}.service"
        if self._interval_of(service, section) != DEFAULT_INTERVAL_S:
            section.values["check_every"] = format_duration(self._interval_of(service, section))

    def _read_program(self, service: MonitService) -> None:
        section = self._section(service, "")
        command = _value_after(service.header, "path")
        try:
            section.values["command"] = shlex.split(command)
        except ValueError:
            section.values["command"] = [command]
            section.disable(f"its command {quoted(command)} has an unclosed quote")
        timeout = _value_after(service.header, "timeout")
        timeout_s = float(timeout[:9]) if timeout.isdecimal() else 0.0
        section.set_durations(self._interval_of(service, section), timeout_s or 300.0, None)
        conditions = []
        for test in service.tests:
            text = " ".join(_OPERATOR_WORDS.get(token.keyword, token.text) for token in test.condition)
            match = re.match(r"(?i)status\s*(==|!=|>=|<=|=|>|<)\s*(?:to\s+|than\s+)?([0-9]{1,3})\b", text)
            if match is None:
                section.leave_out(text, "it has no counterpart")
                continue
            # The test defines when the program has failed.
            conditions.append(f"exit_status {_NEGATED[match[1]]} {match[2]}")
            _set_cycles(test, section, self._interval_s)
        if conditions:
            section.values["up_when"] = conditions

    def _read_system(self, service: MonitService) -> None:
        """Add a monitor for memory and a monitor for the load, each only if the service tests it."""
        words = {token.keyword for test in service.tests for token in test.condition}
        sections = {}
        for kind, marks in (("memory", {"memory", "swap"}), ("load", {"loadavg"})):
            if words & marks or any(word.startswith("loadavg(") for word in words if kind == "load"):
                sections[kind] = self._draft.monitor(kind)
                sections[kind].title = f"check system {service.name}, {kind}"
                sections[kind].values = {
                    "type": kind,
                    "check_every": format_duration(self._interval_of(service, sections[kind])),
                }
                self._by_service.setdefault(service.name, []).append(sections[kind])
                if self._repeat_every_cycles:
                    sections[kind].repeat_every_s = self._repeat_every_cycles * self._interval_s
        self._read_limits(service, sections)

    def _read_limits(self, service: MonitService, sections: dict[str, DraftSection]) -> None:
        """Turn tests such as "space usage > 90%" into conditions. The section with the key "" has all of them."""
        for test in service.tests:
            text = " ".join(
                _OPERATOR_WORDS.get(token.keyword, token.text) for token in _without_cycles(test.condition)
            )
            limit = _limit_of(text[:MAX_SEARCHED])
            section = None if limit is None else sections.get("", sections.get(limit[0]))
            if limit is None or section is None:
                reason = "it has no counterpart; plugins can check it, see monitord-monitors(5), type exec"
                if "" in sections:
                    sections[""].leave_out(text, reason)
                else:
                    self._draft.leave_out(f"check {service.kind} {service.name}: {text}", reason)
                continue
            conditions = section.values.setdefault("up_when", [])
            if isinstance(conditions, list):
                conditions.append(limit[1])
            known = section.values.get("fail_after")
            _set_cycles(test, section, self._interval_s)
            if isinstance(known, int) and known != _cycles_of(test):
                section.values["fail_after"] = max(known, _cycles_of(test))
                section.remarks.append("The tests have different numbers of cycles; the highest is used.")

    def _read_port(self, service: MonitService, test: MonitTest, address: str) -> None:
        port_test = _port_test(test, address)
        suffix = "ping" if port_test.is_ping else (port_test.protocol or str(port_test.port or "socket"))
        section = self._section(service, suffix)
        try:
            values = section.values
            if port_test.is_ping:
                values["type"], values["host"] = "icmp", port_test.host
            elif port_test.transport == "udp":
                raise FieldError("monitord has no type for UDP services, except dns")
            elif port_test.protocol in {"http", "https"} or port_test.path.startswith(
                ("http://", "https://")
            ):
                _set_http_values(port_test, section)
            elif port_test.certificate_days and not port_test.socket:
                values["type"], values["address"] = "tls", address_of(port_test.host, _known_port(port_test))
                values["up_when"] = [f"certificate.expires_in > {port_test.certificate_days}d"]
            else:
                _set_tcp_values(port_test, section)
            section.set_durations(self._interval_of(service, section), port_test.timeout_s, None)
            _set_cycles(test, section, self._interval_s)
        except ValueError as error:
            section.values.setdefault("host", port_test.host)
            section.values.setdefault("type", "icmp")
            section.disable(str(error))
        for text in port_test.unknown:
            section.leave_out(text, "it has no counterpart")


_REASONS = {
    "file": "monitord does not check files; use a plugin such as check_file_age, see monitord-monitors(5), type exec",
    "directory": "monitord does not check directories; use a plugin, see monitord-monitors(5), type exec",
    "fifo": "monitord does not check files; use a plugin, see monitord-monitors(5), type exec",
    "network": "monitord does not check network interfaces; use a plugin, see monitord-monitors(5), type exec",
}


def _value_after(tokens: Sequence[MonitToken], keyword: str) -> str:
    return next(
        (following.text for token, following in pairwise(tokens) if token.keyword == keyword),
        "",
    )


def _set_cycles(test: MonitTest, section: DraftSection, interval_s: float) -> None:
    """Set `fail_after` from "for 3 cycles" or "2 times within 3 cycles"; 1 without them."""
    section.values["fail_after"] = fail_after = _cycles_of(test)
    if fail_after > 1:
        section.values["retry_every"] = section.values.get("check_every", format_duration(interval_s))
    words = " ".join(token.text.lower() for token in test.condition)
    match = re.search(r"\b[0-9]{1,4} times within\b.*", words)
    if match:
        section.remarks.append(
            f"Only the number of failures in {quoted(match[0])} is used, and the failures have to be consecutive."
        )


def _cycles_of(test: MonitTest) -> int:
    text = " ".join(token.text.lower() for token in test.condition)
    match = re.search(r"\b([0-9]{1,4}) (?:times|cycles?)\b", text)
    return max(int(match[1]), 1) if match else 1


def _limit_of(text: str) -> tuple[str, str] | None:
    """Return the monitor type that measures the value of a test, and the condition that must hold."""
    match = _LIMIT.fullmatch(text)
    if match is None:
        return None
    operator, limit, what = _NEGATED[match["operator"]], match["limit"], match["what"].lower().split()[0]
    if what.startswith("loadavg"):
        field = f"load.avg{match['minutes']}{'_per_cpu' if match['core'] else ''}"
        return ("load", f"{field} {operator} {limit}") if not match["unit"] else None
    if not match["unit"]:
        return None
    if what == "memory":
        return "memory", f"memory.available_percent {REVERSED_OPERATORS[operator]} {100 - float(limit):g}"
    if what == "swap":
        return "memory", f"memory.swap_used_percent {operator} {limit}"
    field = "disk.used_percent" if what == "space" else "disk.inodes_used_percent"
    return "disk", f"{field} {operator} {limit}"


def _port_test(  # noqa: C901, PLR0912, PLR0915 - a case for each keyword
    test: MonitTest, address: str
) -> PortTest:
    """Read the options of a test, each a keyword with its value."""
    port_test = PortTest(address)
    tokens = iter(_without_cycles(test.condition))

    def value() -> str:
        """Return the next token that is not an operator or a filler."""
        return next(
            (
                token.text
                for token in tokens
                if token.text not in {"=", "=="} and token.keyword not in _FILLERS
            ),
            "",
        )

    for token in tokens:
        match token.keyword:
            case (
                "failed"
                | "url"
                | "connection"
                | "days"
                | "seconds"
                | "second"
                | "echo"
                | "tcp"
                | "certificate"
            ):
                pass
            case "host":
                port_test.host = value()
            case "port":
                text = value()
                port_test.port = int(text[:6]) if text.isdecimal() else 0
            case "unixsocket" | "unix":
                port_test.socket = value()
            case "ping" | "ping4" | "ping6" | "icmp":
                port_test.is_ping = True
            case "udp":
                port_test.transport = "udp"
            case "tcpssl" | "ssl" | "tls" | "tlsv1" | "tlsv1.2" | "tlsv1.3" | "sslauto" | "auto":
                port_test.with_tls = True
            case "protocol" | "proto":
                port_test.protocol = value().lower()
            case "request":
                port_test.path = value()
            case "status":
                port_test.status = value()
            case "content":
                negated = False
                text = ""
                for following in tokens:
                    negated = negated or following.text == "!="
                    if following.text not in {"=", "==", "!=", "=~", "!"}:
                        text = following.text
                        break
                port_test.contents.append(f"{'not ' if negated else ''}body matches {literal(text)}")
            case "hostheader":
                port_test.host_header = value()
            case "method":
                port_test.method = value().upper()
            case "timeout":
                text = value()
                port_test.timeout_s = (
                    float(text[:6]) if text.isdecimal() and int(text[:6]) else DEFAULT_TIMEOUT_S
                )
            case "valid":
                port_test.certificate_days = int(
                    next((item.text[:5] for item in tokens if item.text.isdecimal()), "0")
                )
            case "send":
                port_test.dialogue.append({"send": _unescaped(value())})
            case "expect":
                port_test.dialogue.append({"expect": _unescaped(value()).strip("\r\n")})
            case "count" | "size" | "retry" | "address":
                value()
            case "http" | "https" if not token.text.startswith("http:"):
                port_test.protocol = token.keyword
            case _ if token.text.startswith(("http://", "https://")):
                port_test.path = token.text
            case _ if token.keyword in _FILLERS or token.text in {"=", "=="}:
                pass
            case _:
                port_test.unknown.append(token.text)
    return port_test


def _without_cycles(tokens: Sequence[MonitToken]) -> list[MonitToken]:
    """Return the condition without "for N cycles" and "N times within M cycles" at its end."""
    remaining = list(tokens)
    while remaining and (
        remaining[-1].keyword in {"cycles", "cycle", "times", "for", "within"}
        or (
            remaining[-1].text.isdecimal()
            and len(remaining) < len(tokens)
            and tokens[len(remaining)].keyword in {"cycles", "cycle", "times"}
        )
    ):
        remaining.pop()
    return remaining


def _unescaped(text: str) -> str:
    return text.replace("\\r", "\r").replace("\\n", "\n").replace("\\t", "\t")


def _known_port(test: PortTest) -> int:
    if not test.port:
        raise FieldError("the test has no port")
    return test.port


def _set_http_values(test: PortTest, section: DraftSection) -> None:
    values = section.values
    scheme = "https" if test.protocol == "https" or test.with_tls else "http"
    if test.path.startswith(("http://", "https://")):
        values["url"] = test.path
    elif test.socket:
        values["url"] = f"http+unix://{test.socket.replace('/', '%2F')}{test.path or '/'}"
    else:
        number = test.port or _DEFAULT_PORTS[scheme]
        host = f"[{test.host}]" if ":" in test.host else test.host
        place = host if number == _DEFAULT_PORTS[scheme] else f"{host}:{number}"
        values["url"] = f"{scheme}://{place}{test.path if test.path.startswith('/') else f'/{test.path}'}"
    if test.host_header:
        values["headers"] = {"Host": test.host_header}
    if test.method and test.method != "GET":
        values["method"] = test.method
    values["follow_redirects"] = False
    conditions = [
        f"status == {test.status}" if re.fullmatch("[1-5][0-9]{2}", test.status) else "status < 400"
    ]
    conditions += test.contents
    if test.certificate_days:
        conditions.append(f"certificate.expires_in > {test.certificate_days}d")
    values["up_when"] = conditions


def _set_tcp_values(test: PortTest, section: DraftSection) -> None:
    values = section.values
    values["type"] = "tcp"
    values["address"] = f"unix:{test.socket}" if test.socket else address_of(test.host, _known_port(test))
    if test.with_tls or test.protocol in {"smtps", "imaps", "pops"}:
        values["tls"] = True
    if test.dialogue:
        values["dialogue"] = test.dialogue
    elif test.protocol in _GREETINGS:
        values["dialogue"] = [{"expect": _GREETINGS[test.protocol]}]
    elif test.protocol and test.protocol not in {"default", "generic"}:
        section.leave_out(f"protocol {test.protocol}", "only the connection is checked")
