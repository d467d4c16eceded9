"""The configuration: a TOML file and its drop-ins, read into a table that can say where each key stands.

    document = read_document("/etc/monitord.toml")
    options = read_options(document.root.table("status"))
    document.check()                                    # raises ConfigError: all diagnostics, with file and line

    def read_options(table: Table) -> StatusOptions:
        return StatusOptions(
            socket=table.text("socket", default="/run/monitord/status.sock"),
            timeout_s=table.duration("timeout", default=5.0, minimum=0.1),
            level=table.choice("level", Level, default=Level.INFO),     # an enum, or a list of values
            token=table.secret("token", default=None),
            url=table.value("url", parse_url, default=None, required=True),
            headers=table.secrets("headers", default={}),
        )

A getter without `default` is required. No getter raises: what it cannot take is kept as a diagnostic, and the default
(or some placeholder) comes back, so that the reader goes on and finds the next diagnostic. Nothing read may be used
before `document.check()` has passed. A parser given to `value` or `values`, such as `parse_url`, raises
InvalidValueError("is not a URL", "write https://…"): what is wrong, and what to write instead.

    for name, table in document.root.named("monitors", over=document.root.table("defaults")).items():
        ...                                             # [monitors.NAME]; what it does not set comes from [defaults]
        table.error("timeout", "is longer than check_every", "make it shorter")
    for route in document.root.table("alerts").tables("routes"):    # [[alerts.routes]]
        ...
"""

from monitord.config.document import Document, document_of, read_document
from monitord.config.reader import Reader
from monitord.config.secret import SHORTEST_SECRET, Secret
from monitord.config.table import Table
from monitord.config.values import NAME_PATTERN, check_name
from monitord.config.wording import value_text, without_secrets

__all__ = [
    "NAME_PATTERN",
    "SHORTEST_SECRET",
    "Document",
    "Reader",
    "Secret",
    "Table",
    "check_name",
    "document_of",
    "read_document",
    "value_text",
    "without_secrets",
]
