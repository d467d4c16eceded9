"""The manual pages describe every option, reason and command of the program."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from monitord.cli.command import Command
from monitord.cli.command_line import actions_of, build_parser, command_parser
from monitord.cli.commands import COMMANDS
from monitord.conditions import FieldFunction, FieldType
from monitord.config import read_document
from monitord.errors import ConfigError
from monitord.model import Reason
from monitord.monitors import MONITOR_TYPES
from monitord.net import Deviation
from monitord.notifiers import NOTIFIER_TYPES
from monitord.notifiers.webhook import MONITOR_OPTIONS
from monitord.settings import read_settings
from monitord.sources.discovery.settings import DISCOVERY_TYPES

MANUAL = Path(__file__).parent.parent / "docs" / "man"
TOML = (MANUAL / "monitord.toml.5").read_text()
MONITORS = (MANUAL / "monitord-monitors.5").read_text()
NOTIFIERS = (MANUAL / "monitord-notifiers.5").read_text()


def section(title: str) -> str:
    """Return the text under a heading of a page about the configuration, up to the next heading."""
    pages = TOML + MONITORS + NOTIFIERS
    match = re.search(rf"^\.SS \"?{re.escape(title)}.*?$(.*?)^\.S[SH]", pages, re.MULTILINE | re.DOTALL)
    assert match is not None, f"no section {title!r}"
    return match[1]


def described(text: str) -> set[str]:
    """List the keys that have their own paragraph."""
    return set(re.findall(r"^\.TP\n\.B ([a-z_]+)$", text, re.MULTILINE))


def options_of_type(name: str) -> set[str]:
    """The options with a paragraph in the section of a monitor type, and the connection options that it lists."""
    text = section(f"Type {name}")
    match = re.search(r"^Connection options:\n((?:\.BR [a-z_]+ [,.]\n)+)", text, re.MULTILINE)
    shared = set(re.findall(r"^\.BR ([a-z_]+)", match[1], re.MULTILINE)) if match else set()
    own = described(text)
    assert shared <= described(section("Connection options"))
    assert shared.isdisjoint(own)
    return own | shared


def listed(title: str) -> list[str]:
    """The types in the table of a section of monitord.toml(5)."""
    table = TOML.split(f"\n.SH {title}\n")[1].split("\n.TE\n")[0]
    return re.findall(r"^\\fB([a-z0-9-]+)\\fR@.+$", table, re.MULTILINE)


def test_every_type_is_listed_in_the_order_of_its_page() -> None:
    assert listed("MONITOR TYPES") == re.findall(r'^\.SS "Type ([a-z0-9-]+): .+"$', MONITORS, re.MULTILINE)
    assert set(listed("MONITOR TYPES")) == set(MONITOR_TYPES)
    assert listed("NOTIFIER TYPES") == re.findall(r'^\.SS "Notifier ([a-z0-9-]+)"$', NOTIFIERS, re.MULTILINE)
    assert set(listed("NOTIFIER TYPES")) == set(NOTIFIER_TYPES)


@pytest.mark.parametrize("name", MONITOR_TYPES)
def test_every_option_of_every_type_is_in_the_manual(tmp_path: Path, name: str) -> None:
    config = tmp_path / "monitord.toml"
    config.write_text("")
    table = read_document(config).root
    MONITOR_TYPES[name].read_options(table)
    assert options_of_type(name) == set(table._known) - described(section("[monitors.NAME]"))


def test_manual_describes_every_reason_as_the_code() -> None:
    """`make manual` updates them."""
    table = TOML.split(".SH REASONS")[1].split(".TS")[1].split(".TE")[0]
    rows = dict(re.findall(r"^\\fB([a-z_]+)\\fR@(.+)$", table, re.MULTILINE))
    assert list(rows) == [reason.value for reason in Reason]
    assert [re.sub(r"\\f[BR]", "`", text) for text in rows.values()] == [reason.meaning for reason in Reason]


def test_every_reason_has_a_meaning_that_fits_its_line() -> None:
    shown = {reason: reason.meaning.replace("`", "") for reason in Reason}
    assert [reason for reason, meaning in shown.items() if not 0 < len(meaning) <= 48] == []


def test_manual_names_the_reasons_of_inconclusive_checks() -> None:
    named = TOML.split(".SH REASONS")[1].split(".TE")[1].split("make a check inconclusive")[0]
    assert set(re.findall(r"^\.BR? ([a-z_]+)", named, re.MULTILINE)) == {
        reason.value for reason in Reason if reason.is_inconclusive
    }


def test_generated_parts_of_the_manual_are_current() -> None:
    """If not: make manual."""
    script = MANUAL / "make_reasons.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


KINDS = {
    FieldType.NUMBER: "number",
    FieldType.DURATION: "duration",
    FieldType.SIZE: "size",
    FieldType.TEXT: "string",
    FieldType.FLAG: "boolean",
    FieldType.TEXTS: "list",
    FieldType.ANY: "any",
}


def fields_in_table(text: str) -> dict[str, str]:
    """The fields of a table, with their kinds."""
    rows = re.findall(r"^\\fB([a-z0-9_.]+)(?:\(.+\))?\\fR@([a-z]+)@T\{$", text, re.MULTILINE)
    return dict(rows)


@pytest.mark.parametrize("name", MONITOR_TYPES)
def test_every_field_of_every_type_is_in_the_manual_with_its_kind(name: str) -> None:
    text = section(f"Type {name}")
    common = fields_in_table(section("Common fields"))
    match = re.search(r"^Common fields:\n((?:\.BR [a-z_.]+ [,.]\n)+)", text, re.MULTILINE)
    shared = re.findall(r"^\.BR ([a-z_.]+) ", match[1], re.MULTILINE) if match else []
    written = fields_in_table(text) | {field: common[field] for field in shared}
    fields = MONITOR_TYPES[name].vocabulary.fields
    assert written == {
        field: KINDS[kind.result if isinstance(kind, FieldFunction) else kind]
        for field, kind in fields.items()
    }


KEYS = {
    "auto": {"units", "host", "containers", "container_socket", "ignore"},
    "log": {"level", "checks"},
    "status": {
        "socket",
        "listen",
        "allowed_hosts",
        "public_url",
        "proxy_socket",
        "user_header",
        "max_connections_per_address",
        "max_event_streams_per_address",
    },
    "network": {"isolation_threshold", "canaries"},
    "cluster": {"database", "location", "node", "alone_after", "hub", "token", "ca_file"},
    "history": {
        "enabled",
        "directory",
        "max_size",
        "result_retention",
        "minute_retention",
        "hour_retention",
        "day_retention",
    },
    "limits": {"max_concurrent_checks", "max_concurrent_per_host", "max_concurrent_processes"},
    "status.tokens.NAME": {"token", "rights", "locations"},
    "maintenance.NAME": {"schedule", "duration", "from", "until", "monitors", "tags", "comment"},
    "pages.NAME": {
        *("title", "description", "monitors", "tags", "language", "zone", "days"),
        *("show_reasons", "show_comments", "publish", "listen", "socket", "hosts", "logo"),
    },
    "reports.NAME": {"schedule", "period", "notify", "directory", "monitors", "tags", "max_monitors"},
}


@pytest.mark.parametrize("name", KEYS)
def test_every_key_of_the_other_sections_is_in_the_manual(tmp_path: Path, name: str) -> None:
    config = tmp_path / "monitord.toml"
    assert described(section(f"[{name}]")) == KEYS[name]
    for key in KEYS[name]:
        config.write_text(f"[{name}]\n{key} = {{}}\n")
        with pytest.raises(ConfigError, match=rf"{name}\.{key}: (?!unknown)"):
            read_settings(config)


COMMON_OF_NOTIFIERS = {
    *(
        "type",
        "timeout",
        "group_wait",
        "max_notifications_per_message",
        "max_messages_per_minute",
        "expire_after",
        "fallback",
    ),
    *("action_links", "locations"),
}
OF_ROUTES = {
    *("notify", "monitors", "tags", "types", "states", "after", "repeat_every", "quiet_hours", "continue"),
}


def test_every_key_of_notifiers_and_routes_is_in_the_manual_and_no_other(tmp_path: Path) -> None:
    assert described(section("[notifiers.NAME]")) == COMMON_OF_NOTIFIERS
    assert described(section("[[alerts.routes]]")) == OF_ROUTES
    config = tmp_path / "monitord.toml"
    for head, keys in (("[notifiers.a]", COMMON_OF_NOTIFIERS), ("[[alerts.routes]]", OF_ROUTES)):
        for key in keys:
            config.write_text(f"{head}\n{key} = {{ a = {{}} }}\n")
            with pytest.raises(ConfigError, match=rf"\.{key}[.:\[ ](?! ?unknown)"):
                read_settings(config)


OF_DISCOVERY = {
    *("type", "name", "keep", "drop", "refresh_every", "timeout", "remove_after", "max_targets"),
    *("files", "names", "record_type", "port", "server", "server_port", "url"),
    *("socket", "label_prefix"),
}


def test_every_key_of_discovery_is_in_the_manual(tmp_path: Path) -> None:
    """The other options of requests are those of monitors."""
    assert described(section("[[discover]]")) == OF_DISCOVERY
    config = tmp_path / "monitord.toml"
    config.write_text("")
    for name in DISCOVERY_TYPES:
        table = read_document(config).root
        DISCOVERY_TYPES[name].read_options(table)
        assert set(table._known) - options_of_type("http") <= OF_DISCOVERY


@pytest.mark.parametrize("name", NOTIFIER_TYPES)
def test_every_key_of_every_type_of_notifier_is_in_the_manual(tmp_path: Path, name: str) -> None:
    config = tmp_path / "monitord.toml"
    config.write_text("")
    table = read_document(config).root
    NOTIFIER_TYPES[name].read_options(table)
    sends_requests = "connect_to" in table._known
    text = section(f"Notifier {name}") + (section("HTTP options") if sends_requests else "")
    for key in table._known - set(MONITOR_OPTIONS):
        assert re.search(rf"\b{key}\b", text), f"notifier {name}: {key}"


CONTROL = (MANUAL / "monitorctl.1").read_text().replace("\\-", "-").replace("\\~", " ")


def control_section(title: str) -> str:
    """Return the text about a command of monitorctl, or under a heading of its page."""
    match = re.search(rf"^\.S[SH] {re.escape(title)}$(.*?)(?=^\.S[SH] )", CONTROL, re.MULTILINE | re.DOTALL)
    assert match is not None, f"no section {title!r}"
    return match[1]


def options_in(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])-(?:-[a-z-]+|[a-zA-Z])(?=[ ,=\n\\])", text))


def test_manual_has_each_command_of_monitorctl_in_the_order_of_its_help() -> None:
    commands = control_section_titles()
    assert commands == [command.name for command in COMMANDS]


def control_section_titles() -> list[str]:
    return re.findall(r"^\.SS (.+)$", CONTROL, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_option_and_argument_of_a_command_is_in_the_manual_and_no_other(command: Command) -> None:
    text = control_section(command.name)
    actions = [action for action in actions_of(command_parser(command)) if action.dest != "help"]
    long = {name for action in actions for name in action.option_strings if name.startswith("--")}
    short = {name for action in actions for name in action.option_strings} - long
    assert {name for name in options_in(text) if name.startswith("--")} == long
    assert short - options_in(text) == set()
    for action in actions:
        if not action.option_strings:
            assert str(action.metavar).split()[-1] in text


def test_options_of_monitorctl_itself_are_in_the_manual() -> None:
    actions = actions_of(build_parser(COMMANDS))
    names = {name for action in actions for name in action.option_strings if name.startswith("--")}
    assert names - options_in(control_section("OPTIONS")) == set()


def test_every_option_of_monitorctl_has_a_help() -> None:
    for command in COMMANDS:
        for action in actions_of(command_parser(command)):
            assert action.help, f"{command.name}: {action.dest}"


def test_every_deviation_from_http_is_in_the_manual() -> None:
    named = section("Type http").split("The names are:")[1].split("A header without a colon")[0]
    assert re.findall(r"^\.BR ([a-z_0-9]+) ", named, re.MULTILINE) == [
        deviation.value for deviation in Deviation
    ]
