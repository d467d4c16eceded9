"""An asynchronous web framework on httptools and yarl, similar to aiohttp.web. See docs/web.md.

It imports no other part of the program and can be used separately. The names in `__all__` are public.
"""

# fmt: off
# isort: off
from . import exceptions
from .application import Application
from .events import Event, EventStream
from .exceptions import *  # noqa: F403 - a class for each status
from .files import FileResponse, static
from .keys import AppKey
from .limits import Limits
from .middlewares import access_log
from .peer import Peer
from .request import BodyStream, Request, ApplicationView
from .headers import Headers
from .response import ClientGone, Response, StreamResponse, html_response, json_response
from .routing import Handler, Resource, Route, UrlDispatcher
from .run import run_app
from .server import Server

__all__ = [
    "AppKey",
    "Application",
    "ApplicationView",
    "BodyStream",
    "ClientGone",
    "Event",
    "EventStream",
    "FileResponse",
    "Handler",
    "Headers",
    "Limits",
    "Peer",
    "Request",
    "Resource",
    "Response",
    "Route",
    "Server",
    "StreamResponse",
    "UrlDispatcher",
    "access_log",
    "html_response",
    "json_response",
    "run_app",
    "static",
]
__all__ += exceptions.__all__
