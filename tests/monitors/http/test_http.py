"""The type `http`: its options as written in a file, its results for a real peer, and secrets that it never shows."""

import base64
import json
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitord.clock import SystemClock
from monitord.dispatch.judging import judge
from monitord.errors import ConfigError
from monitord.model import Reason
from monitord.monitors import Tools
from monitord.monitors.http.monitor import HttpMonitor
from monitord.net import FailureKind, HttpClient, IpFamily, Phase, Resolver, TlsContexts, parse_target
from monitord.options.http import HttpOptions, shown_url
from tests.certificates import DAY, Authority
from tests.configurations import options_of
from tests.fakes import monitor_settings, resolver_without_queue
from tests.servers import Peer, Request, free_port, respond, send_raw, serve
from tests.time_limits import within_growing_limit

Make = Callable[[str], HttpMonitor]


def read(tmp_path: Path, keys: str) -> HttpOptions:
    return options_of(HttpMonitor, tmp_path, keys)


def addresses_of_tests(name: str, family: int) -> Sequence[str]:
    found = {"one.test": ["127.0.0.1"], "three.test": ["127.0.0.1", "127.0.0.2", "127.0.0.3"]}
    return found.get(name, ["127.0.0.1", "::1"] if name == "both.test" else [])


def tools_of_tests(resolver: Resolver) -> Tools:
    contexts = TlsContexts()
    client = HttpClient(user_agent="monitord/1.2.3", resolver=resolver, tls_contexts=contexts)
    return Tools(SystemClock(), client, resolver, contexts)


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    tools = tools_of_tests(resolver_without_queue(addresses_of_tests))
    made: list[HttpMonitor] = []

    def make(keys: str) -> HttpMonitor:
        options = read(tmp_path, keys)
        made.append(HttpMonitor(monitor_settings(type_name="http", timeout_s=10.0, options=options), tools))
        return made[-1]

    yield make
    for monitor in made:
        await monitor.close()
    await tools.http.close()


async def asked(make: Make, keys: str, *, path: str = "/", host: str = "one.test") -> Request:
    """Return the request that the server received from a monitor with these keys."""
    async with serve(respond()) as server:
        seen = await make(f'url = "http://{host}:{server.port}{path}"\n{keys}').check()
        assert seen.reason is Reason.OK, seen.detail
    return server.requests[0]


# Results


async def test_successful_response_has_a_summary_of_one_line(make: Make) -> None:
    async with serve(respond(body=b"x" * 648)) as server:
        monitor = make(f'url = "http://one.test:{server.port}/status?full=1"')
        seen = await monitor.check()
    assert seen.reason is Reason.OK
    assert (
        seen.detail
        == f"GET http://one.test:{server.port}/status?full=1 200, 648 bytes, {seen.duration_s:.3f} s"
    )
    assert seen.address == "127.0.0.1"
    assert set(seen.fields) == {
        "status", "response_time", "body.length", "redirects", "address", "ip_version", "http_version",
        *(f"phase.{phase.value}" for phase in Phase),
    }  # fmt: skip
    expected = {"status": 200, "body.length": 648, "redirects": 0, "ip_version": 4, "http_version": "1.1"}
    assert {name: seen.fields[name] for name in expected} == expected
    assert seen.fields["response_time"] == seen.duration_s
    assert abs((SystemClock().now() - seen.started_at).total_seconds()) < 60
    assert monitor.journal_fields(seen) == {
        "MONITOR_URL": f"http://one.test:{server.port}/status?full=1",
        "HTTP_STATUS": "200",
        "RESPONSE_BYTES": "648",
    }


async def test_absent_peer_has_a_summary_of_one_line(make: Make) -> None:
    port = free_port()
    monitor = make(f'url = "http://127.0.0.1:{port}/"')
    seen = await monitor.check()
    assert seen.reason is Reason.REFUSED
    assert seen.detail == (
        f"GET http://127.0.0.1:{port}/: connection to 127.0.0.1:{port} refused, {seen.duration_s:.3f} s"
    )
    assert set(seen.fields) == {"response_time", "phase.connect", "redirects", "address", "ip_version"}
    assert monitor.journal_fields(seen) == {"MONITOR_URL": f"http://127.0.0.1:{port}/"}


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("200 OK", Reason.OK),
        ("204 No Content", Reason.OK),
        ("304 Not Modified", Reason.OK),
        ("399 Odd", Reason.OK),
        ("400 Bad Request", Reason.CONDITION_FAILED),
        ("404 Not Found", Reason.CONDITION_FAILED),
        ("503 Service Unavailable", Reason.CONDITION_FAILED),
    ],
)
async def test_status_below_400_passes(make: Make, status: str, reason: Reason) -> None:
    async with serve(respond(status, body=b"")) as server:
        seen = await make(f'url = "http://127.0.0.1:{server.port}/"').check()
    note = "not met: status < 400 (default)"
    assert seen.reason is reason
    assert (seen.outcome, seen.note) == (f"HTTP {status[:3]}", "" if reason is Reason.OK else note)
    assert seen.detail.endswith(f"; {note}") is (reason is not Reason.OK)
    assert f"/ {status[:3]}, 0 bytes, " in seen.detail
    assert seen.subject == f"GET http://127.0.0.1:{server.port}/"


async def test_silent_peer_fails_at_the_timeout(tmp_path: Path) -> None:
    async def never(peer: Peer) -> None:
        await peer.hang()

    tools = tools_of_tests(Resolver())
    async with serve(never) as server:
        options = read(tmp_path, f'url = "http://127.0.0.1:{server.port}/"')
        seen = await within_growing_limit(
            lambda limit_s: HttpMonitor(
                monitor_settings(type_name="http", timeout_s=limit_s, options=options), tools
            ).check(),
            lambda seen: seen.reason is Reason.TIMEOUT_RESPONSE,
        )
    await tools.http.close()
    assert seen.reason is Reason.TIMEOUT_RESPONSE
    assert "no response within the timeout, " in seen.detail


def test_every_failure_has_a_reason_of_its_name() -> None:
    assert [Reason(kind.value).name for kind in FailureKind] == [kind.name for kind in FailureKind]
    assert Reason(FailureKind.PROBER_EXHAUSTED.value).is_inconclusive


# Over TLS


async def test_fields_of_the_certificate_are_reported(make: Make, tmp_path: Path) -> None:
    authority = Authority()
    ca_file = authority.write(tmp_path / "ca.pem")
    issued = authority.issue("one.test", "www.one.test", directory=tmp_path, valid_until=9 * DAY)
    async with serve(respond(), tls=issued.server_context()) as server:
        seen = await make(f'url = "https://one.test:{server.port}/"\nca_file = "{ca_file}"').check()
    assert seen.reason is Reason.OK
    expires_in = seen.fields["certificate.expires_in"]
    assert isinstance(expires_in, float)
    assert abs(expires_in - timedelta(days=9).total_seconds()) < 300
    expires_at = datetime.fromisoformat(str(seen.fields["certificate.expires_at"]))
    assert abs(expires_at - datetime.now(UTC) - timedelta(days=9)) < timedelta(minutes=5)
    assert seen.fields["certificate.subject"] == "CN=one.test, O=Tests"
    assert seen.fields["certificate.issuer"] == "CN=Test Root, O=Tests"
    assert seen.fields["certificate.names"] == ("one.test", "www.one.test")
    assert seen.fields["tls.version"] == "TLSv1.3"
    assert seen.fields["tls.cipher"] == "TLS_AES_256_GCM_SHA384"


async def test_verification_can_be_disabled(make: Make, tmp_path: Path) -> None:
    issued = Authority().issue("other.test", directory=tmp_path)
    async with serve(respond(), tls=issued.server_context()) as server:
        url = f'url = "https://one.test:{server.port}/"\n'
        assert (await make(url).check()).reason is Reason.TLS_UNTRUSTED
        assert (await make(url + "verify = false").check()).reason is Reason.OK


async def test_server_name_replaces_the_host_in_the_verification(make: Make, tmp_path: Path) -> None:
    authority = Authority()
    ca_file = authority.write(tmp_path / "ca.pem")
    issued = authority.issue("other.test", directory=tmp_path)
    async with serve(respond(), tls=issued.server_context()) as server:
        url = f'url = "https://one.test:{server.port}/"\nca_file = "{ca_file}"\n'
        assert (await make(url).check()).reason is Reason.TLS_NAME_MISMATCH
        assert (await make(url + 'server_name = "other.test"').check()).reason is Reason.OK


async def test_min_tls_rejects_older_versions_of_the_server(make: Make, tmp_path: Path) -> None:
    authority = Authority()
    ca_file = authority.write(tmp_path / "ca.pem")
    old = authority.issue("one.test", directory=tmp_path).server_context(maximum=ssl.TLSVersion.TLSv1_2)
    async with serve(respond(), tls=old) as server:
        url = f'url = "https://one.test:{server.port}/"\nca_file = "{ca_file}"\n'
        assert (await make(url + 'min_tls_version = "1.2"').check()).reason is Reason.OK
        assert (await make(url + 'min_tls_version = "1.3"').check()).reason is Reason.TLS_FAILED


async def test_client_certificate_is_sent(make: Make, tmp_path: Path) -> None:
    authority = Authority()
    ca_file = authority.write(tmp_path / "ca.pem")
    mine = authority.issue("client", directory=tmp_path, file="client")
    context = authority.issue("one.test", directory=tmp_path).server_context(maximum=ssl.TLSVersion.TLSv1_2)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(ca_file)
    async with serve(respond(), tls=context) as server:
        url = f'url = "https://one.test:{server.port}/"\nca_file = "{ca_file}"\n'
        shown = f'client_certificate_file = "{mine.chain_file}"\nclient_key_file = "{mine.key_file}"'
        assert (await make(url).check()).reason is Reason.TLS_FAILED
        assert (await make(url + shown).check()).reason is Reason.OK


# Requests


async def test_default_request_is_get_with_user_agent_and_accept(make: Make) -> None:
    request = await asked(make, "")
    assert (request.method, request.body) == ("GET", b"")
    assert set(request.headers) == {"host", "user-agent", "accept", "connection"}
    assert request.headers["user-agent"] == "monitord/1.2.3"


async def test_method_and_headers_are_sent(make: Make) -> None:
    request = await asked(make, 'method = "m-search"')
    assert request.method == "M-SEARCH"
    request = await asked(make, 'method = "options"\nheaders = { X-One = "1", Host = "shop.test" }')
    assert request.method == "OPTIONS"
    assert (request.headers["x-one"], request.headers["host"]) == ("1", "shop.test")


async def test_header_can_come_from_a_credential(make: Make, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    request = await asked(make, f'headers = {{ X-Key = {{ file = "{tmp_path}/token" }} }}')
    assert request.headers["x-key"] == "s3cret"


@pytest.mark.parametrize(
    ("keys", "method", "content_type", "body"),
    [
        ('body = "hällo"', "POST", None, "hällo".encode()),
        ('body = "x"\nmethod = "PUT"\nheaders = { content-type = "a/b" }', "PUT", "a/b", b"x"),
        ('form = { a = "1 2", b = "&" }', "POST", "application/x-www-form-urlencoded", b"a=1+2&b=%26"),
        ('json = { a = [1, "zwei"] }', "POST", "application/json", json.dumps({"a": [1, "zwei"]}).encode()),
    ],
)
async def test_body_is_sent(
    make: Make, keys: str, method: str, content_type: str | None, body: bytes
) -> None:
    request = await asked(make, keys)
    assert (request.method, request.headers.get("content-type"), request.body) == (method, content_type, body)


async def test_body_can_come_from_a_file(make: Make, tmp_path: Path) -> None:
    (tmp_path / "body").write_text("of a file")
    assert (await asked(make, f'body = {{ file = "{tmp_path}/body" }}')).body == b"of a file"


async def test_digest_is_sent_after_a_challenge(make: Make) -> None:
    async def challenge(peer: Peer) -> None:
        request = await peer.request()
        has_answer = request.headers.get("authorization", "").startswith(
            'Digest username="joe", realm="site"'
        )
        status, header = (
            ("200 OK", "X-A: b")
            if has_answer
            else ("401 Unauthorized", 'WWW-Authenticate: Digest realm="site", nonce="n", qop="auth"')
        )
        await peer.send(f"HTTP/1.1 {status}\r\n{header}\r\nContent-Length: 0\r\n\r\n".encode())

    async with serve(challenge) as server:
        keys = 'digest_auth = { username = "joe", password = "s3cret-word" }'
        monitor = make(f'url = "http://127.0.0.1:{server.port}/"\n{keys}')
        seen = await monitor.check()
    assert seen.reason is Reason.OK, seen.detail
    assert len(server.requests) == 2
    assert monitor.masking.mask("it was s3cret-word") == "it was ***"


async def test_basic_and_bearer_credentials_are_sent(make: Make) -> None:
    basic = await asked(make, 'basic_auth = { username = "joe", password = "s3cret" }')
    assert basic.headers["authorization"] == "Basic " + base64.b64encode(b"joe:s3cret").decode()
    bearer = await asked(make, 'bearer_token = "t0ken"')
    assert bearer.headers["authorization"] == "Bearer t0ken"


async def test_redirects_are_followed_by_default(make: Make) -> None:
    async def once(peer: Peer) -> None:
        head = "302 Found\r\nLocation: /new" if (await peer.request()).target == "/" else "200 OK"
        await peer.send(f"HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n".encode())

    async with serve(once) as server:
        url = f'url = "http://127.0.0.1:{server.port}/"\n'
        followed = await make(url).check()
        stayed = await make(url + "follow_redirects = false").check()
    assert (followed.fields["status"], followed.fields["redirects"]) == (200, 1)
    assert (stayed.fields["status"], stayed.fields["redirects"]) == (302, 0)


async def test_proxy_is_used(make: Make) -> None:
    async with serve(respond()) as proxy:
        keys = f'url = "http://shop.test/path"\nproxy = "http://joe:s3cret@127.0.0.1:{proxy.port}"'
        seen = await make(keys).check()
    assert seen.reason is Reason.OK
    assert proxy.requests[0].target == "http://shop.test/path"
    assert "s3cret" not in repr(seen)


async def test_only_a_response_of_the_target_shows_connectivity(make: Make) -> None:
    failing = respond("503 Service Unavailable")
    async with (
        serve(failing) as server,
        serve(send_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")) as cut,
    ):
        by_target = await make(f'url = "http://one.test:{server.port}/"').check()
        by_proxy = await make(f'url = "http://one.test/"\nproxy = "http://127.0.0.1:{server.port}"').check()
        cut_short = await make(f'url = "http://one.test:{cut.port}/"').check()
        refused = await make(f'url = "http://one.test:{free_port()}/"').check()
    seen = [
        (observation.reason, observation.shows_connectivity)
        for observation in (by_target, by_proxy, cut_short, refused)
    ]
    assert seen == [
        (Reason.CONDITION_FAILED, True),
        (Reason.CONDITION_FAILED, False),
        (Reason.RESET, True),
        (Reason.REFUSED, None),
    ]


async def test_connect_to_selects_another_peer(make: Make) -> None:
    async with serve(respond()) as server:
        seen = await make(f'url = "http://shop.test/"\nconnect_to = "127.0.0.1:{server.port}"').check()
    assert seen.reason is Reason.OK
    assert server.requests[0].headers["host"] == "shop.test"


@pytest.mark.parametrize(
    ("keys", "uses_network"),
    [
        ('url = "http://shop.test/"', True),
        ('url = "http://192.0.2.1/"', True),
        ('url = "https://localhost/"', False),
        ('url = "http://shop.localhost./"', False),
        ('url = "http://127.0.0.2:8080/"', False),
        ('url = "http://[::1]/"', False),
        ('url = "http+unix://%2Frun%2Fapp.sock/"', False),
        ('url = "https://shop.test/"\nconnect_to = "127.0.0.1:443"', False),
        ('url = "http://127.0.0.1/"\nconnect_to = "192.0.2.1:80"', True),
        ('url = "http://shop.test/"\nproxy = "http://127.0.0.1:3128"', True),
    ],
)
def test_response_of_this_host_shows_no_connectivity(tmp_path: Path, keys: str, uses_network: bool) -> None:
    """Failures of all sites of a stopped local web server are no sign of isolation."""
    settings = monitor_settings(type_name="http", options=read(tmp_path, keys))
    assert HttpMonitor(settings, tools_of_tests(Resolver())).uses_network is uses_network


def test_ip_family_selects_the_address(tmp_path: Path) -> None:
    assert read(tmp_path, 'url = "http://x/"\nip_family = 4').request().ip_family is IpFamily.IPV4
    assert read(tmp_path, 'url = "http://x/"\nip_family = 6').request().ip_family is IpFamily.IPV6
    assert read(tmp_path, 'url = "http://x/"\nip_family = "any"').request().ip_family is IpFamily.ANY


async def test_all_addresses_reports_the_worst_result(make: Make) -> None:
    async with (
        serve(respond(), host="127.0.0.1") as first_server,
        serve(respond(), host="127.0.0.2", port=first_server.port),
    ):
        url = f'url = "http://three.test:{first_server.port}/"\n'
        first = await make(url).check()
        every = await make(url + "all_addresses = true").check()
        async with serve(respond("503 Busy"), host="127.0.0.3", port=first_server.port):
            answered = await make(url + "all_addresses = true").check()
        async with serve(respond(), host="127.0.0.3", port=first_server.port):
            well = await make(url + "all_addresses = true").check()
    assert first.reason is Reason.OK
    assert (every.reason, every.address) == (Reason.REFUSED, "127.0.0.3")
    assert every.detail.endswith(" s, 1 of 3 addresses failed")
    assert (answered.reason, answered.fields["status"]) == (Reason.CONDITION_FAILED, 503)
    assert answered.outcome_with_note == "HTTP 503, 1 of 3 addresses failed; not met: status < 400 (default)"
    assert well.reason is Reason.OK
    assert well.detail.endswith(" s, 3 addresses")


async def test_all_addresses_of_a_host_with_one_address(make: Make) -> None:
    async with serve(respond(), host="127.0.0.1") as server:
        url = f'url = "http://one.test:{server.port}/"\nall_addresses = true'
        passed = await make(url).check()
    failed = await make(url).check()
    assert passed.detail.endswith(" s, 1 address")
    assert failed.detail.endswith(" s, 1 of 1 address failed")


async def test_connection_is_kept_until_the_monitor_is_closed(make: Make) -> None:
    async with serve(respond()) as server:
        monitor = make(f'url = "http://127.0.0.1:{server.port}/"\nreuse_connection = true')
        await monitor.check()
        await monitor.check()
        assert server.connections == 1
        await monitor.close()
        await monitor.check()
        assert server.connections == 2
        await monitor.close()


async def test_each_check_opens_a_connection_by_default(make: Make) -> None:
    async with serve(respond()) as server:
        monitor = make(f'url = "http://127.0.0.1:{server.port}/"')
        await monitor.check()
        await monitor.check()
    assert server.connections == 2


async def test_body_beyond_the_limit_is_too_large(make: Make) -> None:
    async with serve(respond(body=b"x" * 5000)) as server:
        url = f'url = "http://127.0.0.1:{server.port}/"\n'
        assert (await make(url).check()).fields["body.length"] == 5000
        seen = await make(url + 'max_body_size = "1kB"').check()
    assert seen.reason is Reason.TOO_LARGE
    assert "the body is larger than 1000 bytes" in seen.detail


async def test_headers_beyond_the_limit_are_too_large(make: Make) -> None:
    async with serve(respond(headers={"X": "x" * 5000})) as server:
        url = f'url = "http://127.0.0.1:{server.port}/"\n'
        assert (await make(url).check()).reason is Reason.OK
        seen = await make(url + 'max_header_size = "4kB"').check()
    assert seen.reason is Reason.TOO_LARGE
    assert "the head of the response is larger than max_header_size (4000 bytes)" in seen.detail


async def test_check_ends_with_the_headers_if_the_body_is_not_read(make: Make) -> None:
    async def large(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\nx")
        await peer.hang()

    async with serve(large) as server:
        seen = await make(f'url = "http://127.0.0.1:{server.port}/"\nread_body = false').check()
    assert (seen.reason, seen.fields["status"]) == (Reason.OK, 200)
    assert "body.length" not in seen.fields
    assert "200, body not read" in seen.detail


async def test_deviations_of_a_response_are_a_field(make: Make) -> None:
    answer = b"HTTP/1.1 200 OK\nContent-Length: 2\nContent-Length: 2\n\nok"
    async with serve(send_raw(answer)) as server:
        seen = await make(f'url = "http://127.0.0.1:{server.port}/"').check()
    assert seen.reason is Reason.OK
    assert seen.fields["deviations"] == "bare_lf, content_length_repeated"
    assert "200, 2 bytes, deviates from HTTP: bare_lf, content_length_repeated" in seen.detail


async def test_unix_socket_is_used(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    async with serve(respond(), path=path) as server:
        monitor = make(f'url = "http+unix://{str(path).replace("/", "%2F")}/health"')
        seen = await monitor.check()
    assert seen.reason is Reason.OK
    assert seen.detail.startswith(f"GET http+unix:{path}:/health 200, 2 bytes, ")
    assert server.requests[0].target == "/health"
    assert monitor.pool is None


def test_host_of_the_url_is_used_for_the_limit_per_host(tmp_path: Path) -> None:
    options = read(tmp_path, 'url = "https://Shop.Test:8443/"')
    settings = monitor_settings(type_name="http", options=options)
    assert HttpMonitor(settings, tools_of_tests(Resolver())).pool == "shop.test"


# Secrets


async def test_secrets_are_masked_everywhere(make: Make, tmp_path: Path) -> None:
    (tmp_path / "header").write_text("s3cret-header")
    keys = (
        f'headers = {{ X-Key = {{ file = "{tmp_path}/header" }}, Cookie = "s3cret-cookie" }}\n'
        'form = { password = "s3cret-form" }\n'
        'proxy = "http://joe:s3cret-proxy@127.0.0.1:1"\n'
    )
    for url in (
        "http://joe:s3cret-url@one.test/p?token=s3cret-query&page=2",
        "https://joe:s3cret-url@one.test/",
    ):
        monitor = make(f'url = "{url}"\n{keys}')
        seen = await monitor.check()
        text = repr(
            (seen, monitor.journal_fields(seen), monitor.options, monitor.options.request(), monitor.pool)
        )
        assert seen.reason is Reason.REFUSED
        assert "s3cret" not in text


@pytest.mark.parametrize(
    "keys",
    [
        'json = { user = "kim", password = "s3cret-word" }',
        'body = "user=kim&password=s3cret-word&x=1"',
        'body = "user: kim\\npassword: s3cret-word"',
        'body = \'{"user": "kim", "api_key": "s3cret-word"}\'',
        'basic_auth = { username = "s3cret-word" }',
        'form = { token = "s3cret-word" }',
        'headers = { X-Auth = "s3cret-word" }',
        'headers = { Cookie = "a=1; sid=s3cret-word" }',
    ],
)
async def test_values_with_secret_names_are_masked_in_the_response(make: Make, keys: str) -> None:
    async with serve(respond("500 Oops", b"not s3cret-word")) as server:
        monitor = make(f'url = "http://127.0.0.1:{server.port}/"\n{keys}')
        result = judge(await monitor.check(), monitor.settings, None, monitor.masking)
    assert result.observation.excerpt is not None
    assert result.observation.excerpt.endswith("not ***")


async def test_only_the_host_of_a_secret_url_is_shown(make: Make, tmp_path: Path) -> None:
    async with serve(respond()) as server:
        (tmp_path / "url").write_text(f"http://127.0.0.1:{server.port}/hooks/s3cret?k=s3cret")
        monitor = make(f'url = {{ file = "{tmp_path}/url" }}')
        seen = await monitor.check()
    assert server.requests[0].target == "/hooks/s3cret?k=s3cret"
    assert seen.detail.startswith(f"GET http://127.0.0.1:{server.port}/*** 200, ")
    assert "s3cret" not in repr((seen, monitor.journal_fields(seen)))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://a.test", "http://a.test/"),
        ("http://a.test:80/x", "http://a.test/x"),
        ("http://a.test:8080/x#y", "http://a.test:8080/x"),
        ("http://joe:pw@a.test/", "http://a.test/"),
        ("https://[::1]:8443/", "https://[::1]:8443/"),
        (
            "http://a.test/?q=1&api_key=xyz&Access-Token=abc&flag",
            "http://a.test/?q=1&api_key=***&Access-Token=***&flag",
        ),
        ("http://a.test/" + "x" * 400, "http://a.test/" + "x" * 285 + "…"),
    ],
)
def test_shown_url_contains_no_secret(url: str, shown: str) -> None:
    assert shown_url(parse_target(url)[0], is_secret=False) == shown


# Rejected options


def test_ca_file_without_verification_is_rejected(tmp_path: Path) -> None:
    ca_file = Authority().write(tmp_path / "ca.pem")
    with pytest.raises(ConfigError, match="has no effect with verify = false; remove one of them"):
        read(tmp_path, f'url = "https://a.test/"\nca_file = "{ca_file}"\nverify = false')


def test_invalid_secret_url_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("htp://s3cret.test/")
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, f'url = {{ file = "{tmp_path}/url" }}')
    assert "s3cret" not in str(raised.value)
    assert "is not an HTTP URL" in str(raised.value)
