"""Every option in the manual has one form: name, type, default, meaning, and an example that is accepted."""

import json
import re
from pathlib import Path

import pytest
import tomli

from monitord.cli.command_line import actions_of, command_parser
from monitord.cli.commands import COMMANDS
from monitord.config import ConfigAccess
from monitord.errors import ConfigError
from monitord.monitors import MONITOR_TYPES
from monitord.settings import Settings, read_settings
from monitord.units import format_duration

MANUAL = Path(__file__).parents[2] / "docs" / "man"
PAGE = (MANUAL / "monitord.toml.5").read_text()
TYPE_PAGES = [(MANUAL / f"monitord-{kind}.5").read_text() for kind in ("monitors", "notifiers")]
OPTION = re.compile(
    r"^\.TP\n\.B (?P<name>[a-z_]+)\n(?P<text>(?:(?!\.TP\n|\.PP\n|\.S[SH] ).*\n)+)", re.MULTILINE
)
FORM = re.compile(
    r"Type: (?P<type>.+)\.\n"
    r"(?:\.B Required\.|\.B Default:\n(?P<default>.+)\.)\n"
    r"\.br\n(?P<meaning>(?:.*\n)+?)"
    r"\.br\nExample:\n\.B (?P<example>.+)\n"
)
TYPES = (
    "any value",
    "boolean",
    "calendar event",
    "date and time",
    "duration",
    "integer",
    "list of",
    "number",
    "path",
    "regular expression",
    "size",
    "table",
    "template",
    "string",
)

URL, TCP = 'url = "http://www.example.org/"', 'type = "tcp"\naddress = "www.example.org:80"'
WEBSOCKET = 'type = "websocket"\nurl = "wss://www.example.org/"'
GRPC = 'type = "grpc"\naddress = "www.example.org:443"'
REDIS = 'type = "redis"\naddress = "www.example.org"'
MYSQL = 'type = "mysql"\naddress = "www.example.org"\nusername = "kim"'
POSTGRESQL = 'type = "postgresql"\naddress = "www.example.org"\nusername = "kim"'
DISCOVER = 'name = "nodes"\nmonitor = { url = "http://{address}/" }'
BY_DNS = DISCOVER + '\ntype = "dns"\nnames = "a.example.org"\n'
# Keys that the example of an option requires in its section.
SECTIONS = {
    "[monitors.NAME]": URL,
    "[maintenance.NAME]": 'schedule = "22:00"\nduration = "1h"',
    "[status.tokens.NAME]": 'token = "0123456789abcdef"',
    "[notifiers.NAME]": 'to = ["kim@example.org"]',
    "[[alerts.routes]]": 'notify = ["ops"]',
    "[[discover]]": DISCOVER + '\ntype = "file"\nfiles = "/a/*.json"',
    "[reports.NAME]": 'schedule = "monthly"\ndirectory = "/srv/reports"',
    "[pages.NAME]": 'monitors = ["*"]',
    "[cluster]": 'database = "host=db"\nlocation = "fra"',
    "[[pages.NAME.groups]]": 'title = "Web"\nmonitors = ["*"]',
    "Notifier mail": 'to = ["kim@example.org"]',
    "Notifier webhook": URL,
    "Notifier alertmanager": 'type = "alertmanager"\n' + URL,
    "Notifier slack": 'type = "slack"\n' + URL,
    "Notifier mattermost": 'type = "mattermost"\n' + URL,
    "Notifier discord": 'type = "discord"\n' + URL,
    "Notifier teams": 'type = "teams"\n' + URL,
    "Notifier telegram": 'type = "telegram"\ntoken = "123456:example"\nchat_id = 12345',
    "Notifier matrix": 'type = "matrix"\naccess_token = "0123456789"\nroom_id = "!a:example.org"\n' + URL,
    "Notifier ntfy": 'type = "ntfy"\ntopic = "alerts"',
    "Notifier gotify": 'type = "gotify"\ntoken = "0123456789"\n' + URL,
    "Notifier opsgenie": 'type = "opsgenie"\napi_key = "0123456789"',
    "Notifier apprise": 'type = "apprise"',
    "Notifier pagerduty": 'routing_key = "0123456789abcdef0123456789abcdef"',
    "Connection options": URL,
    "Type http": URL,
    "Type exec": 'command = ["/bin/true"]',
    "Type dns": 'type = "dns"\nname = "www.example.org"',
    "Type heartbeat": 'type = "heartbeat"\nevery = "1d"',
    "Type icmp": 'type = "icmp"\nhost = "192.0.2.1"',
    "Type journal": 'type = "journal"\nidentifier = "x"',
    "Type tcp": TCP,
    "Type steps": "",
    "Type websocket": WEBSOCKET,
    "Type grpc": GRPC,
    "Type redis": REDIS,
    "Type postgresql": POSTGRESQL,
    "Type mysql": MYSQL,
    "Type tls": 'type = "tls"\naddress = "www.example.org"',
    "Type certificate": 'type = "certificate"\nfile = "/etc/ssl/a.pem"',
    "Type reboot": 'type = "reboot"',
    "Type disk": 'type = "disk"\npath = "/"',
    "Type unit": 'unit = "nginx.service"',
    "Type clock": 'type = "clock"',
    "Type cluster": 'type = "cluster"',
    "Type load": 'type = "load"',
    "Type process": 'type = "process"\nname = "nginx"',
    "Type memory": 'type = "memory"',
    "Type domain": 'type = "domain"\ndomain = "example.org"',
    "Type container": 'container = "web"',
    "Type timer": 'timer = "backup.timer"',
    "Type group": 'type = "group"\nmembers = ["gateway", "shop-web"]',
    "Type objective": 'type = "objective"\nmonitors = ["gateway", "shop-web"]\ntarget = 99.5',
}
PUBLIC_URL = 'status = { public_url = "https://status.example.org/" }\n'
CLUSTER = 'cluster = { database = "host=db", location = "fra" }\n'
# Options that need others, or exclude one of those above: the lines that replace them.
INSTEAD = {
    ("[monitors.NAME]", "type"): 'address = "www.example.org:80"',
    ("[maintenance.NAME]", "from"): 'duration = "1h"',
    ("[maintenance.NAME]", "until"): "from = 2027-03-01T20:00:00+01:00",
    ("[reports.NAME]", "schedule"): 'period = "month"\ndirectory = "/srv/reports"',
    ("[notifiers.NAME]", "type"): URL,
    ("[[discover]]", "port"): BY_DNS + 'record_type = "A"',
    **{("[[discover]]", name): BY_DNS for name in ("names", "record_type", "server", "server_port")},
    **{("[[discover]]", name): DISCOVER + '\ntype = "containers"' for name in ("socket", "label_prefix")},
    ("[[discover]]", "url"): DISCOVER + '\ntype = "http"',
    **{
        ("[cluster]", name): 'hub = "https://mon1"\ntoken = "0123456789abcdef"\nlocation = "fra"'
        for name in ("hub", "token", "ca_file")
    },
    ("[status.tokens.NAME]", "locations"): 'token = "0123456789abcdef"\nrights = "report"',
    ("[status]", "user_header"): 'proxy_socket = "/run/monitord-login.sock"',
    ("Notifier mail", "username"): 'to = ["a@b"]\nsecurity = "tls"\nserver = "h"\npassword = "long enough"',
    ("Notifier mail", "password"): 'to = ["a@b"]\nsecurity = "tls"\nserver = "h"\nusername = "kim"',
    ("Notifier slack", "token"): 'type = "slack"\nchannel = "#alerts"',
    ("Notifier slack", "channel"): 'type = "slack"\ntoken = "0123456789"',
    ("Notifier webhook", "content_type"): URL + "\nbody = '{{ text | tojson }}'",
    ("Type heartbeat", "schedule"): 'type = "heartbeat"',
    ("Type disk", "device"): 'type = "disk"',
    ("Type process", "unit"): 'type = "process"',
    ("Type process", "pattern"): 'type = "process"',
    ("Type unit", "units"): 'type = "unit"',
    ("Type container", "containers"): 'type = "container"',
    ("Type container", "labels"): 'type = "container"',
    ("Connection options", "client_key_file"): URL + '\nclient_certificate_file = "/none"',
    ("Type redis", "username"): REDIS + '\npassword = "long enough"',
    ("Type dns", "server_name"): 'type = "dns"\nname = "h"\nserver = "h"\nprotocol = "tls"',
    ("Type dns", "port"): 'type = "dns"\nname = "h"\nserver = "h"',
    ("Type dns", "protocol"): 'type = "dns"\nname = "h"\nserver = "h"',
    ("Type dns", "ip_family"): 'type = "dns"\nname = "h"\nserver = "h"',
}
# The monitors and notifiers that examples name.
OTHERS = """
[monitors]
gateway = { url = "http://192.0.2.1/", tags = ["prod", "urgent", "mirror", "public", "web"] }
router-1 = { url = "http://192.0.2.2/" }
router-2 = { url = "http://192.0.2.3/" }
web-1 = { url = "http://192.0.2.4/" }
db-1 = { type = "tls", address = "192.0.2.5" }
shop-web = { url = "http://192.0.2.6/" }
shop-database = { url = "http://192.0.2.7/" }
[notifiers]
ops = { to = ["ops@example.org"] }
pager = { command = ["/bin/true"] }
"""


def options() -> list[tuple[str, str, str]]:
    """Section, name and text of each option."""
    found = []
    for page in (PAGE.partition(".SH MONITOR TYPES\n")[0], *TYPE_PAGES):
        _, *parts = re.split(r"^\.S[SH] (.+)$", page, flags=re.MULTILINE)
        titles = [title.strip('"').partition(":")[0] for title in parts[::2]]
        found += [
            (title, match["name"], match["text"])
            for title, body in zip(titles, parts[1::2], strict=True)
            for match in OPTION.finditer(body)
        ]
    return found


OPTIONS = options()
IDS = [f"{section}-{name}" for section, name, _ in OPTIONS]


def test_options_are_found() -> None:
    assert len(OPTIONS) > 150


@pytest.mark.parametrize(("section", "name", "text"), OPTIONS, ids=IDS)
def test_option_has_the_form(section: str, name: str, text: str) -> None:
    form = FORM.fullmatch(text)
    assert form is not None, f"{section} {name}"
    assert form["type"].startswith(TYPES)
    assert form["example"].startswith(f"{name} = ")
    assert "(default" not in form["meaning"]


def plain(text: str) -> str:
    for escape, character in (("\\-", "-"), ("\\(dq", '"'), ("\\(aq", "'"), ("\\e", "\\")):
        text = text.replace(escape, character)
    return text


def settings_with(folder: Path, section: str, name: str, line: str) -> Settings:
    """Settings of a configuration in which an option has this line, and that is complete otherwise."""
    needed = INSTEAD.get((section, name), SECTIONS.get(section, ""))
    needed = "\n".join(line for line in needed.splitlines() if not line.startswith(f"{name} = "))
    kind = section.partition(" ")[0]
    table = {"Type": "[monitors.x]", "Connection": "[monitors.x]", "Notifier": "[notifiers.x]"}.get(
        kind, section
    ).replace("NAME", "x")
    config = folder / "monitord.toml"
    others = OTHERS if section.startswith("[status") else f"{PUBLIC_URL}{OTHERS}"
    others = others if section == "[cluster]" else f"{CLUSTER}{others}"
    config.write_text(f"{others}\n{table}\n{needed}\n{line}\n")
    return read_settings(config, access=ConfigAccess.OTHER_USER)


@pytest.mark.parametrize(("section", "name", "text"), OPTIONS, ids=IDS)
def test_example_of_an_option_is_accepted(section: str, name: str, text: str, tmp_path: Path) -> None:
    form = FORM.fullmatch(text)
    assert form is not None
    try:
        settings_with(tmp_path, section, name, plain(form["example"]))
    except ConfigError as error:
        if any("No such file" not in line for line in str(error).splitlines()):
            raise  # the files of the examples do not exist here


def default_value(section: str, name: str, text: str) -> str | None:
    """The default of an option in TOML; None if it is described in words."""
    form = FORM.fullmatch(text)
    if form is None or form["default"] is None:
        return None
    default = plain(form["default"])
    if re.fullmatch(r"\[.+\]", default):
        return default
    first = re.split(r"[,;:]? (?:and|fewer|if|or|the|with)\b|[;,:] ", default)[0]
    if re.fullmatch(r'true|false|[0-9.]+|".+"', first):
        return first
    if re.fullmatch(r"[0-9]+(?:ms|s|m|h|d|MiB|GiB|KiB)", first):
        return f'"{first}"'
    if (
        form["type"].startswith(("string", "path"))
        and " " not in first
        and not first.startswith(("none", "\\"))
    ):
        return f'"{first}"'
    return None


DEFAULTS = [
    (section, name, value) for section, name, text in OPTIONS if (value := default_value(section, name, text))
]


def test_defaults_are_found() -> None:
    assert len(DEFAULTS) > 60


@pytest.mark.parametrize(("section", "name", "value"), DEFAULTS, ids=[f"{s}-{n}" for s, n, _ in DEFAULTS])
def test_default_changes_nothing(section: str, name: str, value: str, tmp_path: Path) -> None:
    assert settings_with(tmp_path, section, name, f"{name} = {value}") == settings_with(
        tmp_path, section, name, ""
    )


# Values below and above every range.
EXTREMES = {
    "integer": ("-1", "999999999999"),
    "string or integer": ("-1", "999999999999"),
    "number": ("-1", "999999999999"),
    "duration": ('"0s"', '"36000d"'),
    "size": ("0", '"900000GiB"'),
}
NUMBERS = [
    (section, name, form["type"])
    for section, name, text in OPTIONS
    if (form := FORM.fullmatch(text)) and form["type"].partition(",")[0] in EXTREMES
]


def errors_of(folder: Path, section: str, name: str, value: str) -> str:
    try:
        settings_with(folder, section, name, f"{name} = {value}")
    except ConfigError as error:
        return "\n".join(line for line in str(error).splitlines() if f".{name}: " in line)
    return ""


@pytest.mark.parametrize(
    ("section", "name", "written"), NUMBERS, ids=[f"{section}-{name}" for section, name, _ in NUMBERS]
)
def test_range_of_an_option_is_that_of_the_code(
    section: str, name: str, written: str, tmp_path: Path
) -> None:
    kind, _, _ = written.partition(",")
    smallest, largest = (errors_of(tmp_path, section, name, value) for value in EXTREMES[kind])
    least, most = re.search(r"write at least (\S+)$", smallest), re.search(r"write at most (\S+)$", largest)
    if least and most:
        assert written == f"{kind}, from {least[1]} to {most[1]}"
    elif least:
        assert written == f"{kind}, at least {least[1]}"
    elif most:
        assert written == f"{kind}, at most {most[1]}"
    else:
        assert " from " not in written


LISTS = [
    (section, name, form["type"], value)
    for section, name, text in OPTIONS
    if (form := FORM.fullmatch(text))
    and form["type"].startswith(("list of strings", "list of monitors", "string or list of strings"))
    and (value := tomli.loads(plain(form["example"]))[name])
]


@pytest.mark.parametrize(
    ("section", "name", "written", "value"), LISTS, ids=[f"{section}-{name}" for section, name, *_ in LISTS]
)
def test_option_accepts_a_string_instead_of_a_list_only_as_described(
    section: str, name: str, written: str, value: list[str] | str, tmp_path: Path
) -> None:
    first = value if isinstance(value, str) else value[0]
    assert errors_of(tmp_path, section, name, json.dumps([first])) == ""
    is_accepted = errors_of(tmp_path, section, name, json.dumps(first)) == ""
    assert is_accepted == written.startswith("string or")


DOCS = Path(__file__).parents[2] / "docs"
# "`max_size` in `[history]`", and the same in a manual page.
KEY_OF_A_SECTION = re.compile(
    r"`(\w+)`\s+in\s+`(\[+[a-z]+)|^\.BR? (\w+)\n(?:in|of)\n\.BR? (\[+[a-z]+)", re.MULTILINE
)


@pytest.mark.parametrize(
    "page",
    [*DOCS.glob("*.md"), *DOCS.glob("guide/*.md"), *MANUAL.glob("*.[158]")],
    ids=lambda page: page.name,
)
def test_key_that_is_named_with_its_section_is_an_option(page: Path) -> None:
    known = {(section.partition(".")[0].rstrip("]"), name) for section, name, _ in OPTIONS}
    for key, section, key_in_manual, section_in_manual in KEY_OF_A_SECTION.findall(page.read_text()):
        assert (section or section_in_manual, key or key_in_manual) in known


def test_defaults_of_types_name_options_and_types() -> None:
    for page in TYPE_PAGES:
        known = set(re.findall(r"^\.TP\n\.B (\w+)$", page, re.MULTILINE))
        defaults = re.findall(r"^\.B Default:\n(.+)$", page, re.MULTILINE)
        assert {name for default in defaults for name in re.findall(r"\\fB(\w+)\\fR", default)} <= known


def test_defaults_of_monitorctl_have_the_same_form() -> None:
    page = (Path(__file__).parents[2] / "docs" / "man" / "monitorctl.1").read_text().replace("\\-", "-")
    assert re.findall(r"\(default:? .*", page) == []
    for command in COMMANDS:
        section = page.split(f"\n.SS {command.name}\n")[1].split("\n.SS ")[0]
        for action in actions_of(command_parser(command)):
            if isinstance(action.default, int) and not isinstance(action.default, bool):
                (option,) = (
                    text
                    for text in section.split("\n.TP\n")[1:]
                    if f"--{action.dest.replace('_', '-')}" in text
                )
                assert f"\n.B Default:\n{action.default}.\n" in f"{option}\n", f"{command.name} {action.dest}"


def defaults_by_type(name: str) -> tuple[str, dict[str, str]]:
    """The default of a common option of monitors, and the defaults of types that have another."""
    (text,) = (text for section, option, text in OPTIONS if (section, option) == ("[monitors.NAME]", name))
    form = FORM.fullmatch(text)
    assert form is not None
    general, *others = plain(form["default"]).split("; ")
    return general, {
        kind: value
        for value, _, kinds in (other.partition(" for ") for other in others)
        for kind in re.findall(r"\\fB(\w+)\\fR", kinds)
    }


@pytest.mark.parametrize("name", MONITOR_TYPES)
def test_defaults_of_common_options_are_those_of_the_type(name: str) -> None:
    kind = MONITOR_TYPES[name]
    defaults = {
        "check_every": format_duration(kind.default_check_every_s),
        "timeout": format_duration(kind.default_timeout_s),
        "fail_after": str(kind.default_policy.fail_after),
        "recover_after": str(kind.default_policy.recover_after),
        "degrade_after": str(kind.default_policy.degrade_after),
        "flapping": str(kind.default_policy.detects_flapping).lower(),
    }
    written = {option: defaults_by_type(option) for option in defaults}
    assert {option: by_type.get(name, general) for option, (general, by_type) in written.items()} == defaults


def test_table_of_sections_is_complete() -> None:
    table, text = PAGE.split("\n.SH SECTIONS\n")[1].split("\n.TE\n", 1)
    listed = re.findall(r"^\\fB(.+?)\\fR@", table, re.MULTILINE)
    assert listed == re.findall(r"^\.SS (\[.+)$", text, re.MULTILINE)


def test_table_of_commands_is_complete() -> None:
    page = (Path(__file__).parents[2] / "docs" / "man" / "monitorctl.1").read_text().replace("\\-", "-")
    table = page.split("\n.SH COMMANDS\n")[1].split("\n.TE\n")[0]
    listed = [
        name
        for row in re.findall(r"^(\\fB.+)@", table, re.MULTILINE)
        for name in re.findall(r"\\fB(.+?)\\fR", row)
    ]
    assert set(listed) == {command.name for command in COMMANDS}
    assert len(listed) == len(COMMANDS)
