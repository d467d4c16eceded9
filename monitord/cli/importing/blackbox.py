"""blackbox_exporter: the modules of blackbox.yml and the targets of the scrape configurations of Prometheus.

The order of the files does not matter. A job whose module is in none of the files cannot be translated. Targets of
`file_sd_configs` are read if their files, in JSON or YAML, are among the given files.

https://github.com/prometheus/blackbox_exporter/blob/master/CONFIGURATION.md describes the modules.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from monitord.cli.importing.conversion import clean_tag, go_duration, host_and_port, literal, status_condition
from monitord.cli.importing.draft import Draft, DraftSection, quoted, without_credentials
from monitord.cli.importing.source import FieldError, ImportSource, SourceField, naming_file, yaml_of
from monitord.cli.importing.toml_text import TomlValue
from monitord.text import plain

DEFAULT_SCRAPE_INTERVAL = "1m"
DEFAULT_SCRAPE_TIMEOUT = "10s"
MAX_TARGETS = 20_000
_TIMEOUT_OFFSET_S = 0.5
"""blackbox_exporter responds this long before the timeout of Prometheus."""


@dataclass(slots=True)
class ProbeJob:
    """A scrape configuration whose targets blackbox_exporter probes."""

    name: str
    modules: list[str]
    interval_s: float
    timeout_s: float
    targets: list[tuple[str, dict[str, str]]] = field(default_factory=list)


def recognizes(document: object) -> bool:
    if not isinstance(document, dict):
        return False
    modules = document.get("modules")
    return isinstance(document.get("scrape_configs"), list) or (
        isinstance(modules, dict)
        and any(isinstance(module, dict) and "prober" in module for module in modules.values())
    )


def translate(sources: Sequence[ImportSource], draft: Draft) -> None:  # noqa: C901 - a case for each kind of file
    modules: dict[str, SourceField] = {}
    configurations: list[tuple[ImportSource, SourceField]] = []
    target_files: dict[str, list[SourceField]] = {}
    for source in sources:
        with naming_file(source):
            for content in yaml_of(source):
                document = SourceField(content)
                if isinstance(content, list):
                    target_files.setdefault(source.path.name, []).extend(document.items())
                elif document and document.get("modules"):
                    modules |= document.get("modules").members()
                elif document:
                    configurations.append((source, document))
    jobs: list[tuple[ImportSource, ProbeJob]] = []
    for source, document in configurations:
        with naming_file(source):
            jobs += [(source, job) for job in _jobs(document, draft, target_files)]
    for source, job in jobs:
        with naming_file(source):
            for target, labels in job.targets:
                for name in [labels["__param_module"]] if "__param_module" in labels else job.modules:
                    _monitor(target, labels, name, modules.get(name), job, draft)
    # A module that no target uses checks nothing, so nothing is lost.
    if not configurations:
        for name in modules:
            draft.leave_out(
                f"module {name}", "it has no targets; pass the configuration of Prometheus as well"
            )


# Prometheus


def _jobs(
    document: SourceField, draft: Draft, target_files: Mapping[str, list[SourceField]]
) -> Iterator[ProbeJob]:
    defaults = document.get("global")
    for config in document.get("scrape_configs").items():
        name = config.get("job_name").text("job")
        try:
            modules = config.get("params").get("module").texts()
            rules = [
                rule
                for rule in config.get("relabel_configs").items()
                if rule.get("target_label").text() == "__param_target"
            ]
            if not rules and not modules:
                # A job that scrapes metrics: there is nothing to import, and nothing is lost.
                continue
            job = ProbeJob(
                name,
                modules,
                go_duration(
                    _first(config, defaults, "scrape_interval", DEFAULT_SCRAPE_INTERVAL), "scrape_interval"
                ),
                go_duration(
                    _first(config, defaults, "scrape_timeout", DEFAULT_SCRAPE_TIMEOUT), "scrape_timeout"
                ),
            )
            _read_targets(config, job, draft, target_files)
            yield job
        except ValueError as error:
            draft.leave_out(f"job {name}", str(error))
    for key in ("rule_files", "scrape_config_files"):
        if document.get(key):
            draft.leave_out(
                key, "the files are not read; write thresholds of rules as fail_after or as conditions"
            )


def _first(config: SourceField, defaults: SourceField, key: str, default: str) -> str:
    return config.get(key).text() or defaults.get(key).text() or default


def _read_targets(
    config: SourceField, job: ProbeJob, draft: Draft, target_files: Mapping[str, list[SourceField]]
) -> None:
    groups = config.get("static_configs").items()
    for discovery in config.get("file_sd_configs").items():
        for pattern in discovery.get("files").texts():
            targets = [
                group
                for name, items in target_files.items()
                if fnmatchcase(name, pattern.rpartition("/")[2])
                for group in items
            ]
            groups += targets
            if not targets:
                draft.leave_out(
                    f"job {job.name}", f"the targets are in {quoted(pattern)}; pass that file as well"
                )
    for group in groups:
        labels = group.get("labels").text_table()
        job.targets += [(target, dict(labels)) for target in group.get("targets").texts()]
        if len(job.targets) > MAX_TARGETS:
            raise FieldError(f"there are more than {MAX_TARGETS} targets")
    for rule in config.get("relabel_configs").items():
        _apply(rule, job, draft)
    if isinstance(config.value, Mapping):
        for key in config.value:
            if str(key).endswith("_sd_configs") and key != "file_sd_configs":
                draft.leave_out(f"job {job.name}", f"{key}: the targets are not in the file")


def _apply(rule: SourceField, job: ProbeJob, draft: Draft) -> None:
    """Apply a relabeling rule that sets a label or the module. Rules that only pass the target to the exporter, as in
    every such job, have no effect here."""
    label = rule.get("target_label").text()
    sources = rule.get("source_labels").texts()
    action = rule.get("action").text("replace")
    if label in {"__param_target", "__address__", "instance"} or action in {
        "labelmap",
        "labeldrop",
        "labelkeep",
    }:
        if label == "__param_target" and rule.get("regex"):
            draft.leave_out(
                f"job {job.name}", "a rule changes the addresses of the targets; check the addresses"
            )
        return
    if action == "replace" and len(sources) == 1 and not rule.get("regex"):
        for _, labels in job.targets:
            value = labels.get(sources[0])
            if value is not None and label:
                labels[label] = value
        return
    draft.leave_out(f"job {job.name}", f"a rule of relabel_configs for {label or action} is not applied")


# Modules


def _monitor(  # noqa: C901, PLR0912 - a case for each prober
    target: str, labels: Mapping[str, str], name: str, module: SourceField | None, job: ProbeJob, draft: Draft
) -> None:
    if module is None:
        draft.leave_out(
            f"{job.name}: {without_credentials(target)}", f"the module {name} is in none of the files"
        )
        return
    without_scheme = re.sub(r"^[a-z]+://", "", without_credentials(target)).rstrip("/")
    title = labels.get("instance") or without_scheme or target
    section = draft.monitor(title, f"{title}-{name}", f"{job.name}-{title}")
    section.title = plain(without_credentials(target))
    tags = [
        job.name,
        *(
            f"{key}:{value}"
            for key, value in labels.items()
            if not key.startswith("__") and key != "instance" and value
        ),
    ]
    section.values["tags"] = list(dict.fromkeys(filter(None, map(clean_tag, tags))))
    try:
        timeout_s = max(job.timeout_s - _TIMEOUT_OFFSET_S, 0.5)
        if module.get("timeout"):
            timeout_s = min(timeout_s, go_duration(module.get("timeout").text(), f"module {name}: timeout"))
        section.set_durations(job.interval_s, timeout_s, None)
        prober = module.get("prober").text()
        options = module.get(prober) if prober else SourceField(None, name)
        match prober:
            case "http":
                _read_http(target, options, section)
            case "tcp":
                _read_tcp(target, options, section)
            case "icmp":
                section.values["type"], section.values["host"] = "icmp", target.strip("[]")
                _read_family(options, section)
                if options.get("payload_size"):
                    section.values["payload"] = int(options.get("payload_size").number())
            case "dns":
                _read_dns(target, options, section)
            case "grpc":
                section.values["type"], section.values["address"] = "grpc", host_and_port(target)
                _read_family(options, section)
                service = options.get("service").text()
                if service:
                    section.values["service"] = service
                if options.get("tls").flag():
                    section.values["tls"] = True
                    _read_tls(options.get("tls_config"), section)
            case _:
                section.values["type"], section.values["address"] = "tcp", host_and_port(target, 443)
                section.disable(
                    f"module {name}: monitord has no type for the prober {prober or 'without a name'}"
                )
                return
        for key in options.unread():
            section.leave_out(f"module {name}: {key}", "the key has no counterpart")
    except ValueError as error:
        section.disable(str(error))


def _read_family(options: SourceField, section: DraftSection) -> None:
    """Read the IP family. The resolver of the host decides about a preferred family with a fallback."""
    family = options.get("preferred_ip_protocol").text()
    if not options.get("ip_protocol_fallback").flag(default=True) and section.values.get("type") != "dns":
        section.values["ip_family"] = 4 if family == "ip4" else 6


def _read_tls(tls: SourceField, section: DraftSection) -> None:
    if tls.get("insecure_skip_verify").flag():
        section.values["verify"] = False
    for key, option in (
        ("ca_file", "ca_file"),
        ("cert_file", "client_certificate_file"),
        ("key_file", "client_key_file"),
        ("server_name", "server_name"),
    ):
        text = tls.get(key).text()
        if text:
            section.values[option] = text
    version = tls.get("min_version").text()
    if version in {"TLS12", "TLS13"}:
        section.values["min_tls_version"] = f"1.{version[-1]}"
    for key in tls.unread():
        section.leave_out(f"tls_config.{key}", "the key has no counterpart")


def _read_http(target: str, options: SourceField, section: DraftSection) -> None:
    values = section.values
    url = target if "://" in target else f"http://{target}"
    values["url"] = url
    _read_family(options, section)
    method = options.get("method").text("GET")
    body, body_file = options.get("body").text(), options.get("body_file").text()
    if method != "GET" or body or body_file:
        values["method"] = method
    headers: dict[str, TomlValue] = dict(options.get("headers").text_table())
    _read_authentication(options, headers, section)
    compression = options.get("compression").text()
    if compression and "Accept-Encoding" not in headers:
        headers["Accept-Encoding"] = compression
    if headers:
        values["headers"] = headers
    if body:
        values["body"] = body
    elif body_file:
        values["body"] = {"file": body_file}
    if not options.get("follow_redirects").flag(default=True) or options.get("no_follow_redirects").flag():
        values["follow_redirects"] = False
    proxy = options.get("proxy_url").text()
    if proxy:
        values["proxy"] = proxy
    if options.get("proxy_connect_header") or options.get("proxy_from_environment").flag():
        section.disable("the proxy needs headers, or is taken from the environment")
    options.ignore("skip_resolve_phase_with_proxy")
    limit = options.get("body_size_limit").text()
    if limit and limit != "0":
        values["max_body_size"] = re.sub(r"(?<=[0-9])([KMG])B$", r"\1iB", limit)
    _read_tls(options.get("tls_config"), section)
    values["up_when"] = list(_http_conditions(options, url, section))


def _read_authentication(options: SourceField, headers: dict[str, TomlValue], section: DraftSection) -> None:
    basic = options.get("basic_auth")
    if basic:
        password: TomlValue = basic.get("password").text()
        if basic.get("password_file"):
            password = {"file": basic.get("password_file").text()}
        section.values["basic_auth"] = {"username": basic.get("username").text(), "password": password}
    token: TomlValue = options.get("bearer_token").text()
    if options.get("bearer_token_file"):
        token = {"file": options.get("bearer_token_file").text()}
    authorization = options.get("authorization")
    if authorization:
        if authorization.get("type").text("Bearer").lower() != "bearer":
            headers["Authorization"] = (
                f"{authorization.get('type').text()} {authorization.get('credentials').text()}"
            )
        elif authorization.get("credentials_file"):
            token = {"file": authorization.get("credentials_file").text()}
        else:
            token = authorization.get("credentials").text()
    if token:
        section.values["bearer_token"] = token
    if options.get("oauth2"):
        section.disable("oauth2: monitord cannot request such a token")


def _http_conditions(  # noqa: C901, PLR0912 - a case for each key
    options: SourceField, url: str, section: DraftSection
) -> Iterator[str]:
    codes = [int(code.number()) for code in options.get("valid_status_codes").items()]
    if options.get("accept_any_response").flag():
        yield "status >= 100"
    elif codes:
        yield status_condition([(code, code) for code in codes])
    else:
        yield "status >= 200 and status < 300"
    versions = options.get("valid_http_versions").texts()
    if versions:
        supported = [literal(version[5:]) for version in versions if version in {"HTTP/1.0", "HTTP/1.1"}]
        if not supported:
            section.disable(f"valid_http_versions: monitord uses HTTP/1.1, not {', '.join(versions)}")
        else:
            yield f"http_version in [{', '.join(supported)}]"
    if options.get("fail_if_ssl").flag() and url.startswith("https"):
        section.leave_out("fail_if_ssl", "the URL needs TLS")
    if options.get("fail_if_not_ssl").flag() and not url.startswith("https"):
        yield "exists(tls.version)"
    for pattern in options.get("fail_if_body_matches_regexp").texts():
        yield f"not body matches {literal(pattern)}"
    for pattern in options.get("fail_if_body_not_matches_regexp").texts():
        yield f"body matches {literal(pattern)}"
    for key, prefix in (("fail_if_header_matches", "not "), ("fail_if_header_not_matches", "")):
        for rule in options.get(key).items():
            header = f"header({literal(rule.get('header').text())})"
            condition = f"{prefix}{header} matches {literal(rule.get('regexp').text())}"
            yield f"not exists({header}) or {condition}" if rule.get("allow_missing").flag() else condition
    for key in ("fail_if_body_json_matches_cel", "fail_if_body_json_not_matches_cel"):
        text = options.get(key).text()
        if text:
            section.leave_out(
                f"{key} {quoted(text)}", "CEL expressions are not translated; write it as a condition"
            )


def _read_tcp(target: str, options: SourceField, section: DraftSection) -> None:
    section.values["type"], section.values["address"] = "tcp", host_and_port(target)
    _read_family(options, section)
    if options.get("tls").flag():
        section.values["tls"] = True
    steps: list[TomlValue] = []
    for step in options.get("query_response").items():
        expected, sent = step.get("expect").text(), step.get("send").text()
        if step.get("expect_bytes"):
            raise FieldError("query_response: expect_bytes is not translated")
        if "${" in sent:
            raise FieldError("query_response: a step sends a part of the response")
        if expected:
            # The plus of "+OK" is often not escaped.
            steps.append({"expect": re.sub(r"^\^\+(?=[A-Z])", r"^\\+", expected)})
        if step.get("send"):
            steps.append({"send": f"{sent}\n"})
        if step.get("starttls").flag():
            steps.append({"starttls": True})
        step.ignore("labels")
    if steps:
        section.values["dialogue"] = steps
    uses_tls = options.get("tls").flag() or any(
        isinstance(step, dict) and "starttls" in step for step in steps
    )
    if options.get("tls_config") and uses_tls:
        _read_tls(options.get("tls_config"), section)


def _read_dns(target: str, options: SourceField, section: DraftSection) -> None:
    values = section.values
    values["type"] = "dns"
    values["name"] = options.get("query_name").text()
    values["record_type"] = options.get("query_type").text("ANY")
    with_tls = options.get("dns_over_tls").flag()
    protocol = "tls" if with_tls else options.get("transport_protocol").text("udp")
    if protocol != "udp":
        values["protocol"] = protocol
    parts = urlsplit(f"//{target}")
    try:
        host, port = parts.hostname or target, parts.port
    except ValueError as error:
        raise FieldError(f"{quoted(target)} is not an address: {error}") from None
    values["server"] = host
    if port is not None and port != (853 if with_tls else 53):
        values["port"] = port
    if not options.get("recursion_desired").flag(default=True):
        values["recursion"] = False
    options.ignore("preferred_ip_protocol", "ip_protocol_fallback")
    codes = options.get("valid_rcodes").texts() or ["NOERROR"]
    values["up_when"] = [
        f"dns.rcode in [{', '.join(map(literal, codes))}]"
        if len(codes) > 1
        else f"dns.rcode == {literal(codes[0])}"
    ]
    if with_tls:
        _read_tls(options.get("tls_config"), section)
    for key in ("validate_answer_rrs", "validate_authority_rrs", "validate_additional_rrs"):
        if options.get(key):
            section.leave_out(key, "the patterns are for whole records; write conditions with dns.answers")
