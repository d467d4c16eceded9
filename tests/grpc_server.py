"""A gRPC server with the health service, of the library grpcio: run as a program, it prints its port.

It is a program, because the library starts threads that outlive a server. The messages are bytes, so that the test
needs no generated code. It ends when its standard input ends.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

# HealthCheckResponse for each service.
RESPONSES = {"": b"\x08\x01", "shop.Cart": b"\x08\x01", "shop.Search": b"\x08\x02", "shop.New": b""}


class Health(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpcio has no types
    def service(self, details: Any) -> Any:
        metadata = dict(details.invocation_metadata)

        def check(request: bytes, context: Any) -> bytes:
            name = request[2:].decode()
            if name == "shop.Private" and metadata.get("authorization") != "Bearer tulip-tulip":
                context.abort(
                    grpc.StatusCode.UNAUTHENTICATED, f"no access for {metadata.get('authorization')}"
                )
            if name not in RESPONSES and name != "shop.Private":
                context.abort(grpc.StatusCode.NOT_FOUND, "unknown service é")
            return RESPONSES.get(name, b"\x08\x01")

        if details.method == "/grpc.health.v1.Health/Check" and "without-health" not in sys.argv:
            return grpc.unary_unary_rpc_method_handler(check)
        return None


def main() -> None:
    server = grpc.server(ThreadPoolExecutor(1), handlers=[Health()])
    if "tls" in sys.argv:
        certificate, key = (open(path, "rb").read() for path in sys.argv[-2:])  # noqa: SIM115, PTH123
        credentials = grpc.ssl_server_credentials([(key, certificate)])
        port = server.add_secure_port("127.0.0.1:0", credentials)
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)  # noqa: T201
    sys.stdin.read()
    server.stop(None)


if __name__ == "__main__":
    main()
