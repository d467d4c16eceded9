# ruff: noqa: E701, N818 - a table of classes in single lines, with the names of aiohttp.web
"""HTTP errors and redirects: responses that can be raised or returned, one class for each status.

    HTTPException               a Response and an Exception
    ├── HTTPRedirection         3xx, with a location
    ├── HTTPClientError         4xx
    └── HTTPServerError         5xx

`str()` of an exception is its status and reason phrase.
"""

from collections.abc import Iterable
from urllib.parse import quote

from multidict import CIMultiDict
from yarl import URL

from .headers import HeaderSource, check_text, is_text
from .response import REASONS, RequestInfo, Response

# fmt: off
__all__ = [
    "HTTPBadGateway", "HTTPBadRequest", "HTTPClientError", "HTTPConflict", "HTTPException",
    "HTTPExpectationFailed", "HTTPFailedDependency", "HTTPForbidden", "HTTPFound", "HTTPGatewayTimeout",
    "HTTPGone", "HTTPInsufficientStorage", "HTTPInternalServerError", "HTTPLengthRequired", "HTTPLocked",
    "HTTPMethodNotAllowed", "HTTPMisdirectedRequest", "HTTPMovedPermanently", "HTTPMultipleChoices",
    "HTTPNetworkAuthenticationRequired", "HTTPNotAcceptable", "HTTPNotExtended", "HTTPNotFound",
    "HTTPNotImplemented", "HTTPNotModified", "HTTPPaymentRequired", "HTTPPermanentRedirect",
    "HTTPPreconditionFailed", "HTTPPreconditionRequired", "HTTPProxyAuthenticationRequired",
    "HTTPRedirection", "HTTPRequestEntityTooLarge", "HTTPRequestHeaderFieldsTooLarge",
    "HTTPRequestRangeNotSatisfiable", "HTTPRequestTimeout", "HTTPRequestURITooLong", "HTTPSeeOther",
    "HTTPServerError", "HTTPServiceUnavailable", "HTTPTemporaryRedirect", "HTTPTooEarly",
    "HTTPTooManyRequests", "HTTPUnauthorized", "HTTPUnavailableForLegalReasons",
    "HTTPUnprocessableEntity", "HTTPUnsupportedMediaType", "HTTPUpgradeRequired",
    "HTTPVariantAlsoNegotiates", "HTTPVersionNotSupported",
]
# fmt: on


class HTTPException(Response, Exception):
    """A response with `status_code` that can be raised or returned."""

    status_code = 500

    def __init__(
        self,
        reason: str | None = None,
        *,
        text: str | None = None,
        body: bytes | None = None,
        headers: HeaderSource | None = None,
        content_type: str | None = None,
    ) -> None:
        """`reason` is the body if neither `text` nor `body` is given, and the reason phrase if it is a valid one."""
        status = self.status_code
        self.has_default_text = reason is None and text is None and body is None
        """Whether the body is only the status and its phrase."""
        if text is None and body is None and status not in {204, 205, 304}:
            text = f"{status}: {REASONS.get(status, '')}" if reason is None else reason
        if reason is not None and not is_text(reason):
            reason = None  # outside Latin-1 or of several lines: only used in the body
        Exception.__init__(self)
        Response.__init__(
            self,
            text=text,
            body=body,
            status=status,
            reason=reason,
            headers=headers,
            content_type=content_type,
        )

    def __str__(self) -> str:
        return f"{self.status} {self.reason}"

    def encode(self) -> bytes | None:
        self._clear_traceback()
        return super().encode()

    async def send(self, request: RequestInfo) -> None:
        self._clear_traceback()
        await super().send(request)

    def _clear_traceback(self) -> None:
        # The frames of a traceback hold the request, and an object that is raised repeatedly would collect them.
        self.__traceback__ = self.__context__ = self.__cause__ = None


class HTTPRedirection(HTTPException):
    """A redirection to `location`, a URL or a path. Characters that are invalid in a URL are percent-encoded."""

    status_code = 302

    def __init__(
        self,
        location: str | URL,
        *,
        reason: str | None = None,
        text: str | None = None,
        headers: HeaderSource | None = None,
    ) -> None:
        super().__init__(reason, text=text, headers=headers)
        if not str(location):
            raise ValueError("the location of a redirection is empty; give a URL or a path")
        self.location = quote(str(location), safe="!#$%&'()*+,/:;=?@[]~")
        self.headers["Location"] = self.location


class HTTPClientError(HTTPException):
    status_code = 400


class HTTPServerError(HTTPException):
    status_code = 500


class HTTPMethodNotAllowed(HTTPClientError):
    status_code = 405

    def __init__(
        self,
        method: str,
        allowed: Iterable[str],
        *,
        reason: str | None = None,
        text: str | None = None,
        headers: HeaderSource | None = None,
    ) -> None:
        super().__init__(reason, text=text, headers=headers)
        self.method = method
        self.allowed = frozenset(allowed)
        self.headers["Allow"] = ", ".join(sorted(self.allowed))


class HTTPUpgradeRequired(HTTPClientError):
    """`protocol` is the required protocol, such as "TLS/1.2" (RFC 9110 sections 7.8 and 15.5.22)."""

    status_code = 426

    def __init__(
        self,
        protocol: str,
        *,
        reason: str | None = None,
        text: str | None = None,
        headers: HeaderSource | None = None,
    ) -> None:
        super().__init__(reason, text=text, headers=headers)
        check_text("Upgrade", protocol)
        # RFC 9110 section 7.6.1: fields of the connection, which `Headers` does not accept.
        CIMultiDict.extend(self.headers, {"Upgrade": protocol, "Connection": "upgrade"})


# fmt: off
class HTTPMultipleChoices(HTTPRedirection): status_code = 300
class HTTPMovedPermanently(HTTPRedirection): status_code = 301
class HTTPFound(HTTPRedirection): status_code = 302
class HTTPSeeOther(HTTPRedirection): status_code = 303
class HTTPNotModified(HTTPException): status_code = 304
class HTTPTemporaryRedirect(HTTPRedirection): status_code = 307
class HTTPPermanentRedirect(HTTPRedirection): status_code = 308

class HTTPBadRequest(HTTPClientError): status_code = 400
class HTTPUnauthorized(HTTPClientError): status_code = 401
class HTTPPaymentRequired(HTTPClientError): status_code = 402
class HTTPForbidden(HTTPClientError): status_code = 403
class HTTPNotFound(HTTPClientError): status_code = 404
class HTTPNotAcceptable(HTTPClientError): status_code = 406
class HTTPProxyAuthenticationRequired(HTTPClientError): status_code = 407
class HTTPRequestTimeout(HTTPClientError): status_code = 408
class HTTPConflict(HTTPClientError): status_code = 409
class HTTPGone(HTTPClientError): status_code = 410
class HTTPLengthRequired(HTTPClientError): status_code = 411
class HTTPPreconditionFailed(HTTPClientError): status_code = 412
class HTTPRequestEntityTooLarge(HTTPClientError): status_code = 413
class HTTPRequestURITooLong(HTTPClientError): status_code = 414
class HTTPUnsupportedMediaType(HTTPClientError): status_code = 415
class HTTPRequestRangeNotSatisfiable(HTTPClientError): status_code = 416
class HTTPExpectationFailed(HTTPClientError): status_code = 417
class HTTPMisdirectedRequest(HTTPClientError): status_code = 421
class HTTPUnprocessableEntity(HTTPClientError): status_code = 422
class HTTPLocked(HTTPClientError): status_code = 423
class HTTPFailedDependency(HTTPClientError): status_code = 424
class HTTPTooEarly(HTTPClientError): status_code = 425
class HTTPPreconditionRequired(HTTPClientError): status_code = 428
class HTTPTooManyRequests(HTTPClientError): status_code = 429
class HTTPRequestHeaderFieldsTooLarge(HTTPClientError): status_code = 431
class HTTPUnavailableForLegalReasons(HTTPClientError): status_code = 451

class HTTPInternalServerError(HTTPServerError): status_code = 500
class HTTPNotImplemented(HTTPServerError): status_code = 501
class HTTPBadGateway(HTTPServerError): status_code = 502
class HTTPServiceUnavailable(HTTPServerError): status_code = 503
class HTTPGatewayTimeout(HTTPServerError): status_code = 504
class HTTPVersionNotSupported(HTTPServerError): status_code = 505
class HTTPVariantAlsoNegotiates(HTTPServerError): status_code = 506
class HTTPInsufficientStorage(HTTPServerError): status_code = 507
class HTTPNotExtended(HTTPServerError): status_code = 510
class HTTPNetworkAuthenticationRequired(HTTPServerError): status_code = 511
# fmt: on
