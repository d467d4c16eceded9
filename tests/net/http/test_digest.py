"""Digest authentication: the examples of RFC 7616, a server that verifies each response, and lighttpd."""

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from monitord.net import HttpClient, HttpRequest
from monitord.net.http.digest import MAX_CHALLENGES, MAX_PARAMETERS, digest_challenge, digest_header
from tests.net.conftest import exchange
from tests.servers import Peer, Request, Script, free_port, serve

USER = ("Mufasa", "Circle of Life")

# RFC 7616, section 3.9.1
REALM, NONCE = "http-auth@example.org", "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
OPAQUE = "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"
CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"


def parts_of(header: str) -> dict[str, str]:
    scheme, _, rest = header.partition(" ")
    assert scheme == "Digest"
    found = (part.partition("=") for part in rest.split(", "))
    return {name: value.strip('"') for name, _, value in found}


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_responses_equal_those_of_the_rfc(algorithm: str, response: str) -> None:
    challenge = digest_challenge(
        [
            f'Digest realm="{REALM}", qop="auth, auth-int", algorithm={algorithm}, nonce="{NONCE}", opaque="{OPAQUE}"',
        ]
    )
    assert challenge is not None
    header = digest_header(
        challenge,
        username=USER[0],
        password=USER[1],
        method="GET",
        uri="/dir/index.html",
        count=1,
        cnonce=CNONCE,
    )
    assert parts_of(header) == {
        "username": "Mufasa", "realm": REALM, "uri": "/dir/index.html", "algorithm": algorithm, "nonce": NONCE,
        "nc": "00000001", "cnonce": CNONCE, "qop": "auth", "response": response, "opaque": OPAQUE,
    }  # fmt: skip


def test_hashed_user_name_equals_that_of_the_rfc() -> None:
    """RFC 7616, section 3.9.2, with the hashes of its erratum 4897, which are SHA-512/256."""
    challenge = digest_challenge(
        [
            'Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, '
            'nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", '
            'opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", charset=UTF-8, userhash=true'
        ]
    )
    assert challenge is not None
    header = digest_header(
        challenge,
        username="Jäsøn Doe",
        password="Secret, or not?",
        method="GET",
        uri="/doe.json",
        count=1,
        cnonce="NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
    )
    parts = parts_of(header)
    assert parts["userhash"] == "true"
    assert parts["username"] == "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"
    assert parts["response"] == "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"


def test_server_without_qop_gets_the_response_of_rfc_2069() -> None:
    challenge = digest_challenge(
        ['Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"']
    )
    assert challenge is not None
    header = digest_header(
        challenge,
        username="Mufasa",
        password="CircleOfLife",
        method="GET",
        uri="/dir/index.html",
        count=1,
        cnonce="x",
    )
    parts = parts_of(header)
    assert parts["response"] == "1949323746fe6a43ef61f9606e7febea"  # RFC 2069, erratum 749
    assert parts.keys().isdisjoint({"qop", "nc", "cnonce", "algorithm"})


@pytest.mark.parametrize(
    ("username", "expected"),
    [('jo"e\\x', 'username="jo\\"e\\\\x"'), ("jörg", "username*=UTF-8''j%C3%B6rg")],
)
def test_user_name_is_quoted(username: str, expected: str) -> None:
    challenge = digest_challenge(['Digest realm="r", nonce="n", charset=UTF-8'])
    assert challenge is not None
    header = digest_header(
        challenge, username=username, password="", method="GET", uri="/", count=1, cnonce="x"
    )
    assert header.startswith(f"Digest {expected}, ")


def test_quotes_in_a_url_are_escaped() -> None:
    challenge = digest_challenge(['Digest realm="r", nonce="n"'])
    assert challenge is not None
    header = digest_header(
        challenge, username="a", password="b", method="GET", uri='/a"b', count=1, cnonce="x"
    )
    assert 'uri="/a\\"b", ' in header


# Challenges


@pytest.mark.parametrize(
    ("headers", "algorithm"),
    [
        (
            ['Digest realm="a", nonce="1", algorithm=MD5', 'Digest realm="a", nonce="2", algorithm=SHA-256'],
            "sha-256",
        ),
        (['Digest realm="a", nonce="1", algorithm=SHA-256-sess, Digest realm="a", nonce="2"'], "sha-256"),
        (['Basic realm="x, Digest y", digest REALM="a" , nonce = "1",qop=auth'], "md5"),
        (['Negotiate abcd==, Digest realm="a", nonce="1", algorithm="MD5"'], "md5"),
        (['Bearer, Digest realm="a\\"b", nonce="1"'], "md5"),
    ],
    ids=["strongest", "strongest in one header", "after basic", "after negotiate", "after bearer"],
)
def test_strongest_challenge_is_answered(headers: list[str], algorithm: str) -> None:
    challenge = digest_challenge(headers)
    assert challenge is not None
    assert challenge.algorithm == algorithm


@pytest.mark.parametrize(
    "header",
    [
        "", "Digest", 'Digest realm="a"', 'Basic realm="a"', 'Digest realm="a", nonce="1", algorithm=SHA-1',
        'Digest realm="a", nonce="1", qop="auth-int"', 'Digest realm="a", nonce="\x01"',
        'Digest realm="\udcff", nonce="1"',
        f'Digest realm="a", nonce="{"n" * 5000}"', 'Digest realm="a", nonce="1', "=,=,,", 'Digestrealm="a", nonce="1"',
        f'{"X, " * (MAX_CHALLENGES + 1)}Digest realm="a", nonce="1"',
        f'Digest {", ".join(f"a{number}=1" for number in range(MAX_PARAMETERS))}, realm="a", nonce="1"',
    ],
)  # fmt: skip
def test_unusable_challenge_is_not_answered(header: str) -> None:
    assert digest_challenge([header]) is None


def test_hostile_challenge_takes_little_time() -> None:
    for header in ('Digest a="' + "\\" * 200_000, "Digest " + "a= " * 100_000, "a" * 250_000, '"' * 250_000):
        assert digest_challenge([header]) is None


# With a server that verifies


def verified(request: Request, algorithm: str, nonce: str, *, realm: str = "site") -> bool:
    """Compute the response independently of the client."""
    parts = parts_of(request.headers["authorization"])
    name = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}[algorithm.removesuffix("-sess")]

    def digest(text: str) -> str:
        return hashlib.new(name, text.encode()).hexdigest()

    secret = digest(f"joe:{realm}:s3cret")
    if algorithm.endswith("-sess"):
        secret = digest(f"{secret}:{nonce}:{parts['cnonce']}")
    request_hash = digest(f"{request.method}:{request.target}")
    expected = digest(f"{secret}:{nonce}:{parts['nc']}:{parts['cnonce']}:auth:{request_hash}")
    return (parts["nonce"], parts["uri"], parts["response"]) == (nonce, request.target, expected)


def unauthorized(*challenges: str, headers: str = "") -> bytes:
    lines = "".join(f"WWW-Authenticate: {challenge}\r\n" for challenge in challenges)
    return f"HTTP/1.1 401 Unauthorized\r\n{lines}{headers}Content-Length: 2\r\n\r\nno".encode()


def challenge_text(nonce: str, algorithm: str = "SHA-256", more: str = "") -> str:
    return f'Digest realm="site", nonce="{nonce}", qop="auth", algorithm={algorithm}{more}'


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"


def protected(answer: Callable[[Request], bytes]) -> Script:
    async def script(peer: Peer) -> None:
        while True:
            request = await peer.request()
            await peer.send(answer(request))
            if request.headers.get("connection") == "close":
                return

    return script


def request_to(port: int, path: str = "/a?b=c", **options: object) -> HttpRequest:
    return HttpRequest(url=f"http://one.test:{port}{path}", digest_auth=("joe", "s3cret"), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "algorithm", ["MD5", "MD5-sess", "SHA-256", "SHA-256-sess", "SHA-512-256", "SHA-512-256-sess"]
)
async def test_server_accepts_the_response(client: HttpClient, algorithm: str) -> None:
    def answer(request: Request) -> bytes:
        if "authorization" not in request.headers:
            return unauthorized(challenge_text("n1", algorithm))
        return OK if verified(request, algorithm, "n1") else unauthorized(challenge_text("n1", algorithm))

    async with serve(protected(answer)) as server:
        got = await exchange(client, request_to(server.port, method="POST", body=b"data"))
    assert (got.status, got.redirects, got.body_bytes) == (200, 0, 4)
    assert [request.body for request in server.requests] == [b"data", b"data"]


async def test_wrong_password_is_sent_once(client: HttpClient) -> None:
    async with serve(protected(lambda _: unauthorized(challenge_text("n1")))) as server:
        got = await exchange(client, request_to(server.port))
    assert got.status == 401
    assert len(server.requests) == 2


async def test_stale_nonce_is_replaced_once(client: HttpClient) -> None:
    def answer(request: Request) -> bytes:
        stale = ", stale=TRUE" if "authorization" in request.headers else ""
        return unauthorized(challenge_text(f"n{len(server.requests)}", more=stale))

    async with serve(protected(answer)) as server:
        got = await exchange(client, request_to(server.port))
    assert got.status == 401
    nonces = [parts_of(request.headers["authorization"])["nonce"] for request in server.requests[1:]]
    assert nonces == ["n1", "n2"]


async def test_basic_is_never_sent_instead(client: HttpClient) -> None:
    async with serve(protected(lambda _: unauthorized('Basic realm="site"'))) as server:
        got = await exchange(client, request_to(server.port))
    assert got.status == 401
    assert ["authorization" in request.headers for request in server.requests] == [False]


async def test_redirect_on_the_same_origin_uses_the_nonce_again(client: HttpClient) -> None:
    def answer(request: Request) -> bytes:
        if "authorization" not in request.headers:
            return unauthorized(challenge_text("n1"))
        assert verified(request, "SHA-256", "n1")
        if request.target == "/b":
            return OK
        return b"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n"

    async with serve(protected(answer)) as server:
        got = await exchange(client, request_to(server.port))
    assert (got.status, got.redirects) == (200, 1)
    counts = [parts_of(request.headers["authorization"])["nc"] for request in server.requests[1:]]
    assert counts == ["00000001", "00000002"]


async def test_next_nonce_is_used(client: HttpClient) -> None:
    def answer(request: Request) -> bytes:
        if "authorization" not in request.headers:
            return unauthorized(challenge_text("n1"))
        if request.target == "/b":
            assert verified(request, "SHA-256", "n2")
            return OK
        return (
            b'HTTP/1.1 302 Found\r\nLocation: /b\r\nAuthentication-Info: qop=auth, nextnonce="n2"\r\n'
            b"Content-Length: 0\r\n\r\n"
        )

    async with serve(protected(answer)) as server:
        assert (await exchange(client, request_to(server.port))).status == 200
    assert parts_of(server.requests[2].headers["authorization"])["nc"] == "00000001"


async def test_another_origin_gets_no_response(client: HttpClient) -> None:
    async with serve(protected(lambda _: unauthorized(challenge_text("n2")))) as other:

        def answer(request: Request) -> bytes:
            if "authorization" not in request.headers:
                return unauthorized(challenge_text("n1"))
            location = f"http://two.test:{other.port}/"
            return f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()

        async with serve(protected(answer)) as server:
            got = await exchange(client, request_to(server.port))
    assert got.status == 401
    assert ["authorization" in request.headers for request in other.requests] == [False]


async def test_challenge_and_response_use_one_kept_connection(client: HttpClient) -> None:
    def answer(request: Request) -> bytes:
        return OK if "authorization" in request.headers else unauthorized(challenge_text("n1"))

    async with serve(protected(answer)) as server:
        request = request_to(server.port, reuse_connection=True)
        for _ in range(2):
            assert (await exchange(client, request)).status == 200
        await client.forget(request)
    assert (server.connections, len(server.requests)) == (1, 4)


# With lighttpd

LIGHTTPD = shutil.which("lighttpd", path="/usr/sbin:/usr/bin:/usr/local/sbin")


@asynccontextmanager
async def lighttpd(folder: Path, algorithm: str) -> AsyncIterator[int]:
    assert LIGHTTPD is not None
    port = free_port()
    (folder / "page.txt").write_text("protected")
    (folder / "users").write_text("joe:site:" + hashlib.md5(b"joe:site:s3cret").hexdigest() + "\n")
    if algorithm != "MD5":
        (folder / "users").write_text("joe:site:" + hashlib.sha256(b"joe:site:s3cret").hexdigest() + "\n")
    config = folder / "lighttpd.conf"
    config.write_text(f"""
server.modules = ("mod_auth", "mod_authn_file")
server.document-root = "{folder}"
server.bind = "127.0.0.1"
server.port = {port}
auth.backend = "htdigest"
auth.backend.htdigest.userfile = "{folder}/users"
auth.require = ("/" => ("method" => "digest", "realm" => "site", "require" => "valid-user",
    "algorithm" => "{algorithm}"))
""")
    process = await asyncio.create_subprocess_exec(
        LIGHTTPD, "-D", "-f", str(config), stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        started = await process.stderr.readline()
        assert b"server started" in started, started
        yield port
    finally:
        process.terminate()
        await process.communicate()


@pytest.mark.skipif(LIGHTTPD is None, reason="lighttpd is not installed")
@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
async def test_lighttpd_accepts_the_response(client: HttpClient, tmp_path: Path, algorithm: str) -> None:
    async with lighttpd(tmp_path, algorithm) as port:
        for password, status in (("s3cret", 200), ("wrong", 401)):
            request = HttpRequest(
                url=f"http://one.test:{port}/page.txt?a=b", digest_auth=("joe", password), read_body=True
            )
            got = await exchange(client, request)
            assert got.status == status
            assert (got.body == b"protected") is (status == 200)
