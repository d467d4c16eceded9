"""The monitored web server on 127.0.0.1:8080: /ok succeeds, /fail fails, /hang never responds."""

import http.server
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/hang":
            threading.Event().wait()
        status = 500 if self.path == "/fail" else 200
        body = b"fine\n" if status == 200 else b"broken\n"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing: the journal belongs to monitord."""


http.server.ThreadingHTTPServer(("127.0.0.1", 8080), Handler).serve_forever()
