"""The configuration: a TOML file and its drop-ins, read into tables that know the file and line of each key.

    document = read_document("/etc/monitord.toml")
    options = read_options(document.root.table("status"))
    document.check()                                    # raises ConfigError with all errors, each with file and line

    def read_options(table: Table) -> StatusOptions:
        return StatusOptions(
            socket=table.text("socket", default="/run/monitord/status.sock"),
            timeout_s=table.duration("timeout", default=5.0, minimum=0.1),
            level=table.choice("level", Level, default=Level.INFO),     # an enum, or a list of values
            token=table.secret("token", default=None),
            url=table.value("url", parse_url, default=None, required=True),
            headers=table.secrets("headers", default={}),
        )

A key whose getter has no `default` is required. Getters do not raise: an invalid value is recorded as a diagnostic, and
the default or a placeholder is returned, so that all errors are reported together. Values must not be used before
`document.check()` has passed. A parser passed to `value` or `values`, such as `parse_url`, raises
InvalidValueError("is not a URL", "write https://…"): the problem, and what to write instead.

    for name, table in document.root.named("monitors", over=document.root.table("defaults")).items():
        ...                                             # [monitors.NAME]; keys it does not set come from [defaults]
        table.error("timeout", "is longer than check_every", "make it shorter")
    for route in document.root.table("alerts").tables("routes"):    # [[alerts.routes]]
        ...
"""

from monitord.config.access import ConfigAccess
from monitord.config.document import Document, document_of, read_document
from monitord.config.secret import SECRET_SOURCES, SHORTEST_SECRET, Secret
from monitord.config.shared import SharedResults
from monitord.config.table import Table
from monitord.config.values import check_location, check_name
from monitord.config.wording import key_text, value_text, without_secrets

__all__ = [
    "SECRET_SOURCES",
    "SHORTEST_SECRET",
    "ConfigAccess",
    "Document",
    "Secret",
    "SharedResults",
    "Table",
    "check_location",
    "check_name",
    "document_of",
    "key_text",
    "read_document",
    "value_text",
    "without_secrets",
]
