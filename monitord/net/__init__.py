"""Network and process I/O: HTTP client, name resolution, TLS, external programs. Independent of monitors.

client = HttpClient(user_agent="name/1.0", resolver=Resolver(), tls_contexts=TlsContexts())
outcome = await client.fetch(HttpRequest(url="https://example.org/"), deadline=time.monotonic() + 5)
match outcome:
    case HttpExchange(): outcome.status, outcome.phases[Phase.TLS]
    case HttpFailure(): outcome.kind, outcome.detail
await client.close()
"""

from monitord.net.base.errors import FailureKind
from monitord.net.base.phases import Phase
from monitord.net.base.resolver import IpFamily, ResolveError, Resolver
from monitord.net.base.tls import (
    CertificateFields,
    TlsContexts,
    TlsFields,
    TlsOptions,
    TlsVersion,
    make_context,
)
from monitord.net.http.client import HttpClient
from monitord.net.http.cookies import CookieStore
from monitord.net.http.outcome import HttpExchange, HttpFailure, HttpOutcome
from monitord.net.http.request import (
    MAX_DRAINED_BYTES,
    MAX_REDIRECTS,
    Endpoint,
    HttpRequest,
    check_headers,
    parse_endpoint,
)
from monitord.net.http.response import DEFAULT_MAX_HEAD_BYTES, Deviation
from monitord.net.http.url import Target, parse_target
from monitord.net.process import ProcessEnd, Processes, ProcessFailure, ProcessFailureKind, ProcessRequest

__all__ = [
    "DEFAULT_MAX_HEAD_BYTES",
    "MAX_DRAINED_BYTES",
    "MAX_REDIRECTS",
    "CertificateFields",
    "CookieStore",
    "Deviation",
    "Endpoint",
    "FailureKind",
    "HttpClient",
    "HttpExchange",
    "HttpFailure",
    "HttpOutcome",
    "HttpRequest",
    "IpFamily",
    "Phase",
    "ProcessEnd",
    "ProcessFailure",
    "ProcessFailureKind",
    "ProcessRequest",
    "Processes",
    "ResolveError",
    "Resolver",
    "Target",
    "TlsContexts",
    "TlsFields",
    "TlsOptions",
    "TlsVersion",
    "check_headers",
    "make_context",
    "parse_endpoint",
    "parse_target",
]
