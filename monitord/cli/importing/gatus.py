"""Gatus: config.yaml, or several files of a configuration directory.

https://github.com/TwiN/gatus describes the format. An alert of Gatus has its own thresholds, and a failed check is not
repeated sooner, so `fail_after` and `retry_every` are those of the alerts and the interval.
"""

import re
from collections.abc import Sequence

from monitord.cli.importing.conversion import (
    REVERSED_OPERATORS,
    clean_tag,
    escaped_pattern,
    glob_pattern,
    go_duration,
    host_and_port,
    json_equals,
    json_path,
    json_value,
    literal,
)
from monitord.cli.importing.draft import Draft, DraftSection, quoted
from monitord.cli.importing.source import FieldError, ImportSource, SourceField, naming_file, yaml_of
from monitord.cli.importing.toml_text import TomlValue
from monitord.units import format_duration

DEFAULT_INTERVAL_S = 60.0
DEFAULT_TIMEOUT_S = 10.0
DEFAULT_FAILURE_THRESHOLD = 3
DEFAULT_SUCCESS_THRESHOLD = 2
MAX_CONDITION = 2000
"""Characters, as in monitord."""

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_CONDITION = re.compile(r"(?s)(.+?)\s+(==|!=|<=|>=|<|>)\s+(.*)")
_OF_PROGRAM = (
    "web",
    "ui",
    "storage",
    "security",
    "metrics",
    "debug",
    "skip-invalid-config-update",
    "concurrency",
)
_OF_PROGRAM_TOO = ("disable-monitoring-lock", "connectivity", "remote", "tunneling", "announcements")
_SCHEMES_WITHOUT_TYPE = {"udp", "sctp", "ssh"}


def recognizes(document: object) -> bool:
    return isinstance(document, dict) and any(
        isinstance(document.get(key), list)
        for key in ("endpoints", "services", "external-endpoints", "suites")
    )


def translate(sources: Sequence[ImportSource], draft: Draft) -> None:
    documents = [
        (source, SourceField(document)) for source in sources for document in yaml_of(source) if document
    ]
    notifiers: dict[str, DraftSection] = {}
    defaults: dict[str, SourceField] = {}
    for source, document in documents:
        with naming_file(source):
            for kind, provider in document.get("alerting").members().items():
                defaults[kind] = provider.get("default-alert")
                notifier = draft.notifier(kind)
                notifier.title = f"alerting {kind}"
                notifiers[kind] = notifier
                try:
                    _read_provider(kind, provider, notifier)
                except ValueError as error:
                    notifier.disable(str(error))
                for key in provider.unread():
                    notifier.leave_out(key, "the key has no counterpart")
    for source, document in documents:
        with naming_file(source):
            _read_document(document, draft, notifiers, defaults)


def _read_document(
    document: SourceField, draft: Draft, notifiers: dict[str, DraftSection], defaults: dict[str, SourceField]
) -> None:
    for key in ("endpoints", "services", "external-endpoints"):
        read = _read_external if key == "external-endpoints" else _read_endpoint
        for endpoint in document.get(key).items():
            try:
                read(endpoint, draft, notifiers, defaults)
            except ValueError as error:
                draft.leave_out(endpoint.path, str(error))
    for suite in document.get("suites").items():
        name = suite.get("name").text("suite")
        draft.leave_out(f"suite {name}", "a sequence of requests has no counterpart in this command")
    if document.get("maintenance"):
        draft.leave_out("maintenance", "write it as [maintenance.NAME], see monitord.toml(5)")
    document.ignore(*_OF_PROGRAM, *_OF_PROGRAM_TOO)
    for key in document.unread():
        if not key.startswith("x-"):  # a place for anchors
            draft.leave_out(key, "the key is not known to this command")


# Alerting


_SERVICE_KEYS = {
    "telegram": {"token": "token", "id": "chat_id", "api-url": "url"},
    "matrix": {"server-url": "url", "access-token": "access_token", "internal-room-id": "room_id"},
    "ntfy": {"url": "url", "topic": "topic", "token": "token"},
    "gotify": {"server-url": "url", "token": "token"},
    "opsgenie": {"api-key": "api_key"},
}
"""The keys of a provider, and the options of the notifier type of the same name."""


def _read_provider(  # noqa: C901 - a case for each kind
    kind: str, provider: SourceField, notifier: DraftSection
) -> None:
    match kind:
        case "slack" | "discord" | "mattermost" | "teams-workflows":
            notifier.values["type"] = "teams" if kind == "teams-workflows" else kind
            notifier.values["url"] = _secret(provider.get("webhook-url").text(), f"{kind}.webhook-url")
        case "pagerduty":
            notifier.values["routing_key"] = _secret(
                provider.get("integration-key").text(), "pagerduty.integration-key"
            )
        case "email":
            notifier.values["to"] = [
                item.strip() for item in _plain(provider.get("to"), "to").split(",") if item.strip()
            ]
            port = int(provider.get("port").number(25))
            notifier.values["server"] = f"{_plain(provider.get('host'), 'host')}:{port}"
            sender = _plain(provider.get("from"), "from")
            if sender:
                notifier.values["from"] = sender
            password = provider.get("password").text()
            if password:
                notifier.values["security"] = "tls" if port == 465 else "starttls"  # noqa: PLR2004 - submissions
                notifier.values["username"] = _plain(provider.get("username"), "username") or sender
                notifier.values["password"] = _secret(password, "email.password")
            if provider.get("client").get("insecure").flag():
                notifier.values["verify"] = False
        case _ if kind in _SERVICE_KEYS:
            notifier.values["type"] = kind
            for key, name in _SERVICE_KEYS[kind].items():
                text = provider.get(key).text()
                if text:
                    notifier.values[name] = _secret(text, f"{kind}.{key}")
        case _:
            if kind == "custom":
                reason = "write a notifier of type webhook with body, see monitord-notifiers(5)"
            else:
                reason = (
                    f"monitord has no notifier for {kind}; its API can be used with type webhook and body"
                )
            notifier.values.update({"type": "webhook", "url": "https://www.example.org/"})
            notifier.disable(reason)
            provider.ignore(*provider.members())


def _read_alerts(
    endpoint: SourceField,
    section: DraftSection,
    notifiers: dict[str, DraftSection],
    defaults: dict[str, SourceField],
    interval_s: float,
) -> None:
    """The notifiers of an endpoint, and its thresholds: the lowest of its alerts."""
    failures, successes = [], []
    section.notify = []
    for alert in endpoint.get("alerts").items():
        kind = alert.get("type").text()
        default = defaults.get(kind, SourceField(None))

        def option(key: str, alert: SourceField = alert, default: SourceField = default) -> SourceField:
            return alert.get(key) or default.get(key)

        if not option("enabled").flag(default=True):
            continue
        if kind not in notifiers:
            section.leave_out(f"alert {kind}", f"alerting.{kind} is not configured")
            continue
        section.notify.append(notifiers[kind])
        failures.append(int(option("failure-threshold").number(DEFAULT_FAILURE_THRESHOLD)))
        successes.append(int(option("success-threshold").number(DEFAULT_SUCCESS_THRESHOLD)))
        description = option("description").text()
        if description:
            section.remarks.append(description)
        reminder = option("minimum-reminder-interval").text()
        if reminder and go_duration(reminder, alert.path):
            section.repeat_every_s = go_duration(reminder, alert.path)
        if alert.get("provider-override"):
            section.leave_out(
                f"alert {kind}: provider-override", "a notifier has the same settings for all monitors"
            )
        option("send-on-resolved")
    if failures:
        section.values["fail_after"] = max(min(failures), 1)
        section.values["recover_after"] = max(min(successes), 1)
        section.values["retry_every"] = format_duration(interval_s)
        if len(set(failures)) > 1:
            section.leave_out("alerts", "they have different values of failure-threshold; the lowest is used")


# Endpoints


def _read_endpoint(
    endpoint: SourceField, draft: Draft, notifiers: dict[str, DraftSection], defaults: dict[str, SourceField]
) -> None:
    section = _section(endpoint, draft)
    try:
        interval_s = go_duration(endpoint.get("interval").text("1m"), endpoint.get("interval").path)
        client = endpoint.get("client")
        timeout_s = go_duration(client.get("timeout").text("10s"), client.get("timeout").path)
        section.set_durations(interval_s, timeout_s, None)
        kind = _read_target(endpoint.get("url").text(), endpoint, section)
        _read_client(client, kind, section)
        _read_conditions(endpoint.get("conditions"), kind, section, timeout_s)
        _read_alerts(endpoint, section, notifiers, defaults, interval_s)
    except ValueError as error:
        if "type" not in section.values:
            section.values["url"] = endpoint.get("url").text()
        section.disable(str(error))
        return
    if not endpoint.get("enabled").flag(default=True):
        section.disable("it is disabled in Gatus")
    if endpoint.get("maintenance-windows"):
        section.leave_out("maintenance-windows", "write them as [maintenance.NAME], see monitord.toml(5)")
    for key in ("ui", "extra-labels", "store", "always-run"):
        endpoint.get(key)
    for key in endpoint.unread():
        section.leave_out(key, "the key has no counterpart")


def _section(endpoint: SourceField, draft: Draft) -> DraftSection:
    name, group = endpoint.get("name").text(), endpoint.get("group").text()
    section = draft.monitor(name or endpoint.get("url").text(), f"{group}-{name}")
    if group:
        section.values["tags"] = [clean_tag(group)]
    return section


def _read_target(  # noqa: C901, PLR0912 - a case for each scheme
    url: str, endpoint: SourceField, section: DraftSection
) -> str:
    """Return the type of the monitor and its target. The type is "" if there is none."""
    values = section.values
    if endpoint.get("dns"):
        dns = endpoint.get("dns")
        values["type"] = "dns"
        values["name"] = _plain(dns.get("query-name"), "dns.query-name")
        values["record_type"] = dns.get("query-type").text("A")
        server = _resolved(url, "url").removeprefix("dns://")
        host, separator, port = server.rpartition(":")
        if separator and port.isdecimal() and ":" not in host:
            values["server"], values["port"] = host, int(port)
        else:
            values["server"] = server.strip("[]")
        return "dns"
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    if scheme in {"http", "https"} or _VARIABLE.match(url):
        values["url"] = _secret(url, "url")
        _read_request(endpoint, section)
        return "http"
    address = _resolved(url, "url").partition("://")[2]
    match scheme:
        case "tcp":
            values["type"], values["address"] = "tcp", host_and_port(address)
            if endpoint.get("body"):
                section.leave_out("body", "write it as a step of dialogue, see monitord-monitors(5)")
        case "tls":
            values["type"], values["address"] = "tls", host_and_port(address)
        case "starttls":
            values["type"], values["address"], values["starttls"] = "tls", host_and_port(address), "smtp"
        case "icmp":
            values["type"], values["host"] = "icmp", address.strip("/[]")
        case "ws" | "wss":
            values["type"], values["url"] = "websocket", _secret(url, "url")
            if endpoint.get("body"):
                values["dialogue"] = [{"send": _plain(endpoint.get("body"), "body")}]
        case "grpc" | "grpcs":
            values["type"], values["address"] = (
                "grpc",
                host_and_port(address, 443 if scheme == "grpcs" else 80),
            )
            if scheme == "grpcs":
                values["tls"] = True
        case _:
            endpoint.get("ssh"), endpoint.get("grpc"), endpoint.get("body")
            values["type"], values["address"] = "tcp", host_and_port(address or url)
            name = scheme if scheme in _SCHEMES_WITHOUT_TYPE else "this URL"
            section.disable(
                f"monitord has no type for {name}; a connection to its port would be a weaker check"
            )
    return str(values["type"])


def _read_request(endpoint: SourceField, section: DraftSection) -> None:
    method = endpoint.get("method").text()
    if method and method.upper() != "GET":
        section.values["method"] = method.upper()
    headers: dict[str, TomlValue] = {}
    for name, value in endpoint.get("headers").text_table().items():
        headers[name] = _secret(value, f"headers.{name}")
    body = endpoint.get("body").text()
    if endpoint.get("graphql").flag():
        section.values["json"] = {"query": body}
    elif body:
        section.values["body"] = _secret(body, "body")
        if not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = "text/plain; charset=utf-8"
        section.values.setdefault("method", "GET")
    if headers:
        section.values["headers"] = headers


def _read_client(client: SourceField, kind: str, section: DraftSection) -> None:  # noqa: C901 - a case for each key
    uses_tls = str(section.values.get("url")).startswith("wss:") or section.values.get("tls") is True
    if client.get("insecure").flag() and (kind in {"http", "tls"} or uses_tls):
        section.values["verify"] = False
    if client.get("ignore-redirect").flag():
        section.values["follow_redirects"] = False
    proxy = client.get("proxy-url").text()
    if proxy:
        section.values["proxy"] = _secret(proxy, "client.proxy-url")
    family = client.get("network").text("ip")
    if family in {"ip4", "ip6"} and kind != "dns":
        section.values["ip_family"] = int(family[-1])
    tls = client.get("tls")
    certificate = tls.get("certificate-file").text()
    if certificate:
        section.values["client_certificate_file"] = certificate
        section.values["client_key_file"] = tls.get("private-key-file").text()
    for key in ("oauth2", "identity-aware-proxy"):
        if client.get(key):
            section.disable(f"client.{key}: monitord cannot request such a token")
    if client.get("tunnel"):
        section.disable("client.tunnel: monitord has no SSH tunnels")
    if client.get("dns-resolver"):
        section.leave_out("client.dns-resolver", "names are resolved by the host")
    for key in client.unread():
        section.leave_out(f"client.{key}", "the key has no counterpart")


# Conditions


def _read_conditions(conditions: SourceField, kind: str, section: DraftSection, timeout_s: float) -> None:
    translated = []
    for field in conditions.items():
        text = field.text()
        try:
            condition = _condition(_resolved(text, "condition"), kind, timeout_s)
        except ValueError as error:
            section.leave_out(f"condition {quoted(text)}", str(error))
            continue
        if condition:
            translated.append(condition)
    if section.missing and not translated:
        section.disable(f"no condition could be translated: {section.missing[0].reason}")
    if kind == "http" and not any("status" in condition for condition in translated):
        # The default conditions of monitord would reject a status of 400 and more.
        translated.insert(0, "status >= 100")
    if translated:
        section.values["up_when"] = translated


def _condition(  # noqa: C901, PLR0911, PLR0912 - a case for each placeholder
    text: str, kind: str, timeout_s: float
) -> str:
    """The condition in the language of monitord; "" if every check that passes meets it. Raises FieldError."""
    if len(text) > MAX_CONDITION:
        raise FieldError(f"is longer than {MAX_CONDITION} characters")
    match = _CONDITION.fullmatch(text.strip())
    if match is None:
        raise FieldError("is not a condition of Gatus")
    left, operator, right = match[1].strip(), match[2], match[3].strip()
    if right.startswith(("[", "len(", "has(")) and not left.startswith(("[", "len(", "has(")):
        left, operator, right = right, REVERSED_OPERATORS.get(operator, operator), left
    if left == "[CONNECTED]":
        if (operator, right) != ("==", "true"):
            raise FieldError("write invert = true for a target that must not respond")
        return ""
    if kind == "grpc" and (left, operator, right) == ("[BODY].status", "==", "SERVING"):
        return ""
    if left == "[STATUS]" and kind == "http":
        return _comparison("status", operator, right, number=True)
    if left == "[RESPONSE_TIME]":
        seconds = float(right) / 1000 if right.isdecimal() else go_duration(right, "the limit")
        if operator in {"<", "<="} and seconds >= timeout_s:
            return ""
        return f"{'ping.rtt' if kind == 'icmp' else 'response_time'} {operator} {format_duration(seconds)}"
    if left == "[CERTIFICATE_EXPIRATION]" and kind in {"http", "tls"}:
        return f"certificate.expires_in {operator} {format_duration(go_duration(right, 'the limit'))}"
    if left == "[IP]":
        return _comparison("address", operator, right)
    if left == "[DNS_RCODE]" and kind == "dns":
        return _comparison("dns.rcode", operator, right)
    if left == "[DOMAIN_EXPIRATION]":
        raise FieldError('to monitor the expiry of the domain, add a monitor with type = "domain"')
    if kind == "dns" and left == "[BODY]":
        return _answers(operator, right)
    if kind == "http" and "[BODY]" in left:
        return _body(left, operator, right)
    raise FieldError(f"{left} has no counterpart in type {kind}")


def _comparison(field: str, operator: str, right: str, *, number: bool = False) -> str:
    """A comparison with a value, with alternatives in any(), or with a text with wildcards in pat()."""
    alternatives = _arguments("any", right)
    if alternatives is not None:
        values = ", ".join(item if number and item.isdecimal() else literal(item) for item in alternatives)
        return _negated(f"{field} in [{values}]", operator)
    pattern = _arguments("pat", right)
    if pattern is not None:
        return _negated(_matches(field, ",".join(pattern)), operator)
    if number:
        if not right.isdecimal():
            raise FieldError(f"{quoted(right)} is not a number")
        return f"{field} {operator} {right}"
    if operator not in {"==", "!="}:
        raise FieldError(f"the operator {operator} compares numbers only")
    return f"{field} {operator} {literal(right)}"


def _negated(condition: str, operator: str) -> str:
    if operator not in {"==", "!="}:
        raise FieldError(f"the operator {operator} compares numbers only")
    return condition if operator == "==" else f"not {condition}"


def _arguments(function: str, text: str) -> list[str] | None:
    if not (text.startswith(f"{function}(") and text.endswith(")")):
        return None
    inner = text[len(function) + 1 : -1]
    return [item.strip() for item in inner.split(",")]


def _matches(field: str, pattern: str) -> str:
    inner = pattern.strip("*")
    if (
        field == "body"
        and pattern.startswith("*")
        and pattern.endswith("*")
        and not re.search(r"[*?\[]", inner)
    ):
        return f"{field} contains {literal(inner)}"
    if "[" in pattern:
        raise FieldError("a set of characters in pat() is not translated")
    return f"{field} matches {literal(glob_pattern(pattern))}"


def _answers(operator: str, right: str) -> str:
    alternatives = _arguments("any", right)
    if alternatives is not None:
        joined = " or ".join(f"dns.answers contains {literal(item)}" for item in alternatives)
        return _negated(f"({joined})", operator)
    pattern = _arguments("pat", right)
    if pattern is not None:
        return _negated(f"dns.answers matches {literal(glob_pattern(','.join(pattern)))}", operator)
    return _negated(f"dns.answers contains {literal(right.rstrip('.'))}", operator)


def _body(left: str, operator: str, right: str) -> str:  # noqa: C901 - a case for each function
    function = re.fullmatch(r"(len|has)\((.+)\)", left)
    target = function[2] if function else left
    if target != "[BODY]" and not target.startswith(("[BODY].", "[BODY][")):
        raise FieldError(f"{quoted(left)} is not translated")
    path = None
    if target != "[BODY]":
        path = json_path(target.removeprefix("[BODY]"))
        if path is None:
            raise FieldError(f"{quoted(target)} is not a plain path")
    if function and function[1] == "has":
        exists = f"exists(json({literal(path)}))" if path else "body.length > 0"
        return exists if (operator == "==") == (right == "true") else f"not {exists}"
    if function:
        if not right.isdecimal():
            raise FieldError(f"{quoted(right)} is not a number")
        return (
            f"length(json({literal(path)})) {operator} {right}" if path else f"body.length {operator} {right}"
        )
    if path is None:
        if _arguments("any", right) is not None:
            raise FieldError("any() of whole bodies is not translated")
        if operator not in {"==", "!="}:
            raise FieldError(f"the operator {operator} compares numbers only")
        if _arguments("pat", right) is None:
            # Gatus compares the whole body.
            return _negated(f"body matches {literal(f'(?s)^{escaped_pattern(right)}$')}", operator)
        return _comparison("body", operator, right)
    return _json(path, operator, right)


def _json(path: str, operator: str, right: str) -> str:
    field = f"json({literal(path)})"
    if operator not in {"==", "!="}:
        if not re.fullmatch(r"-?[0-9]{1,15}(?:\.[0-9]{1,15})?", right):
            raise FieldError(f"{quoted(right)} is not a number")
        return f"{field} {operator} {right}"
    alternatives = _arguments("any", right)
    if alternatives is not None:
        values = ", ".join(
            json_value(item).strip("[]") if json_value(item)[0] == "[" else json_value(item)
            for item in alternatives
        )
        return _negated(f"{field} in [{values}]", operator)
    pattern = _arguments("pat", right)
    if pattern is not None:
        return _negated(f"{field} matches {literal(glob_pattern(','.join(pattern)))}", operator)
    return _negated(json_equals(path, right), operator)


# External endpoints


def _read_external(
    endpoint: SourceField, draft: Draft, notifiers: dict[str, DraftSection], defaults: dict[str, SourceField]
) -> None:
    section = _section(endpoint, draft)
    section.values = {"type": "heartbeat", **section.values}
    section.remarks.append(f"The program that sends results runs: monitorctl heartbeat {section.name}")
    endpoint.ignore("token")
    interval = endpoint.get("heartbeat").get("interval").text()
    if interval:
        section.values["every"] = format_duration(go_duration(interval, endpoint.path))
    else:
        section.values["every"] = "1d"
        section.disable("it has no heartbeat.interval; set every to the time in which a result is expected")
    _read_alerts(endpoint, section, notifiers, defaults, DEFAULT_INTERVAL_S)
    section.values.pop("retry_every", None)
    if not endpoint.get("enabled").flag(default=True):
        section.disable("it is disabled in Gatus")
    for key in endpoint.unread():
        section.leave_out(key, "the key has no counterpart")


# Environment variables


def _secret(text: str, path: str) -> TomlValue:
    """A text that may be a secret: an environment variable becomes a reference to it. Raises FieldError."""
    whole = _VARIABLE.fullmatch(text) or re.fullmatch(r"\$([A-Za-z_][A-Za-z0-9_]*)", text)
    return {"env": whole[1]} if whole else _resolved(text, path)


def _resolved(text: str, path: str) -> str:
    """Return the text, with a dollar for $$. Raises FieldError if it contains an environment variable."""
    variable = re.search(r"\$\$|\$(?:\{[^}]*\}|[A-Za-z_][A-Za-z0-9_]*)", text)
    if variable is not None and variable[0] != "$$":
        raise FieldError(
            f"{path} contains the environment variable {variable[0]}; import the output of: envsubst < FILE"
        )
    return text.replace("$$", "$")


def _plain(field: SourceField, path: str) -> str:
    return _resolved(field.text(), path)
