"""Content codings: a body is decoded completely or not at all, within the limit of the body."""

import gzip
import zlib
from importlib.util import find_spec

import pytest

from monitord.net import Deviation, FailureKind, HttpClient, HttpExchange, HttpFailure, HttpRequest
from tests.net.conftest import in_time
from tests.servers import respond, serve

TEXT = b"hello " * 1000
RAW = zlib.compressobj(wbits=-zlib.MAX_WBITS)
RAW_DEFLATE = RAW.compress(TEXT) + RAW.flush()


async def fetch(
    client: HttpClient, body: bytes, coding: str, *, read_body: bool = True, limit: int = 1_000_000
) -> HttpExchange | HttpFailure:
    async with serve(respond(body=body, headers={"Content-Encoding": coding})) as server:
        request = HttpRequest(
            url=f"http://127.0.0.1:{server.port}/", read_body=read_body, max_body_bytes=limit
        )
        return await client.fetch(request, deadline=in_time())


@pytest.mark.parametrize(
    ("coding", "body", "deviations"),
    [
        pytest.param("gzip", gzip.compress(TEXT), (), id="gzip"),
        pytest.param("GZIP", gzip.compress(TEXT), (), id="upper case"),
        pytest.param("x-gzip", gzip.compress(TEXT), (), id="x-gzip"),
        pytest.param("identity", TEXT, (), id="identity"),
        pytest.param("utf-8", TEXT, (), id="a charset for a coding"),
        pytest.param("deflate", zlib.compress(TEXT), (), id="deflate"),
        pytest.param("deflate", RAW_DEFLATE, (Deviation.RAW_DEFLATE,), id="raw deflate"),
        pytest.param(
            "deflate", gzip.compress(TEXT), (Deviation.COMPRESSION_MISNAMED,), id="gzip named deflate"
        ),
        pytest.param("gzip", zlib.compress(TEXT), (Deviation.COMPRESSION_MISNAMED,), id="deflate named gzip"),
        pytest.param("gzip", gzip.compress(TEXT[:7]) + gzip.compress(TEXT[7:]), (), id="two members"),
        pytest.param(
            "gzip",
            b"".join(gzip.compress(TEXT[at : at + 3]) for at in range(0, len(TEXT), 3)),
            (),
            id="many members",
        ),
        pytest.param(
            "gzip", gzip.compress(TEXT) + b"\0\0", (Deviation.BYTES_AFTER_COMPRESSED,), id="padding"
        ),
        pytest.param("gzip, gzip", gzip.compress(gzip.compress(TEXT)), (), id="gzip twice"),
        pytest.param("deflate, gzip", gzip.compress(zlib.compress(TEXT)), (), id="deflate within gzip"),
        pytest.param("gzip", b"", (), id="empty"),
    ],
)
async def test_compressed_body_is_decoded(
    client: HttpClient, coding: str, body: bytes, deviations: tuple[Deviation, ...]
) -> None:
    seen = await fetch(client, body, coding)
    assert isinstance(seen, HttpExchange)
    assert (seen.body, seen.deviations) == (TEXT if body else b"", deviations)
    assert seen.body_bytes == len(body)


@pytest.mark.parametrize("read_body", [True, False])
@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("deflate", b""),
        ("gzip", b""),
        ("br", b""),
        ("zstd", b""),
        ("deflate, gzip", gzip.compress(b"")),
        ("gzip, gzip", gzip.compress(b"")),
    ],
    ids=["deflate", "gzip", "br", "zstd", "deflate within gzip", "gzip twice"],
)
async def test_empty_body_is_valid_in_every_coding(
    client: HttpClient, coding: str, body: bytes, read_body: bool
) -> None:
    seen = await fetch(client, body, coding, read_body=read_body)
    assert isinstance(seen, HttpExchange)
    assert (seen.body, seen.beginning) == (b"" if read_body else None, b"")


@pytest.mark.parametrize(
    ("coding", "body", "detail"),
    [
        pytest.param("gzip", gzip.compress(TEXT)[:-9], "the gzip data of the body is truncated", id="cut"),
        pytest.param(
            "gzip",
            gzip.compress(TEXT) + gzip.compress(TEXT)[:20],
            "the gzip data of the body is truncated",
            id="second member cut",
        ),
        pytest.param("gzip", b"hello", "the body is not valid gzip data", id="not gzip"),
        pytest.param("gzip", TEXT[:1], "the body is not valid gzip data", id="one byte"),
        pytest.param(
            "gzip",
            gzip.compress(TEXT)[:-8] + bytes(8),
            "the body is not valid gzip data",
            id="wrong checksum",
        ),
        pytest.param(
            "deflate",
            zlib.compress(TEXT)[:-1],
            "the deflate data of the body is truncated",
            id="deflate cut",
        ),
        pytest.param("deflate", b"\xff\xff\xff", "the body is not valid deflate data", id="not deflate"),
    ],
)
async def test_damaged_compressed_body_is_a_failure(
    client: HttpClient, coding: str, body: bytes, detail: str
) -> None:
    seen = await fetch(client, body, coding)
    assert isinstance(seen, HttpFailure)
    assert (seen.kind, seen.detail, seen.status) == (FailureKind.PROTOCOL_ERROR, detail, 200)


@pytest.mark.parametrize(
    ("coding", "problem"),
    [
        ("compress", "the content coding 'compress' is not supported"),
        ("gzip, bröt", r"the content coding 'br\xf6t' is not supported"),
        (", ".join(["gzip"] * 5), "the body has more than 4 content codings"),
    ],
)
async def test_body_in_an_unknown_coding_is_not_used(client: HttpClient, coding: str, problem: str) -> None:
    seen = await fetch(client, b"packed", coding)
    assert isinstance(seen, HttpExchange)
    assert (seen.body, seen.body_problem, seen.beginning) == (None, problem, b"")


@pytest.mark.parametrize(
    "bomb",
    [
        gzip.compress(bytes(20_000_000)),
        gzip.compress(bytes(600_000)) * 20,
        gzip.compress(gzip.compress(bytes(20_000_000))),
    ],
    ids=["one member", "many members", "twice"],
)
async def test_decoding_stops_at_the_limit(client: HttpClient, bomb: bytes) -> None:
    coding = "gzip, gzip" if len(bomb) < 2000 else "gzip"
    seen = await fetch(client, bomb, coding)
    assert isinstance(seen, HttpFailure)
    assert (seen.kind, seen.detail) == (FailureKind.TOO_LARGE, "the body is larger than 1000000 bytes")


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_excerpt_of_an_unread_body_is_decoded(client: HttpClient, coding: str, pack: object) -> None:
    assert callable(pack)
    seen = await fetch(client, pack(TEXT), coding, read_body=False)
    assert isinstance(seen, HttpExchange)
    assert (seen.body, seen.beginning) == (None, TEXT[:4096])


async def test_excerpt_of_a_decompression_bomb_is_limited(client: HttpClient) -> None:
    seen = await fetch(client, gzip.compress(bytes(50_000_000)), "gzip", read_body=False)
    assert isinstance(seen, HttpExchange)
    assert seen.beginning == bytes(4096)


# Codings whose libraries are only suggested


def _packed_with_brotli(data: bytes) -> bytes:
    brotli = pytest.importorskip("brotli")
    packed: bytes = brotli.compress(data)
    return packed


def _packed_with_zstd(data: bytes) -> bytes:
    zstandard = pytest.importorskip("zstandard")
    packed: bytes = zstandard.ZstdCompressor().compress(data)
    return packed


@pytest.mark.parametrize(("coding", "pack"), [("br", _packed_with_brotli), ("zstd", _packed_with_zstd)])
async def test_coding_of_a_suggested_library_is_decoded(
    client: HttpClient, coding: str, pack: object
) -> None:
    assert callable(pack)
    noise = bytes(number * number % 251 for number in range(300_000))
    for text in (TEXT, b"", noise):
        seen = await fetch(client, pack(text), coding)
        assert isinstance(seen, HttpExchange)
        assert (seen.body, seen.deviations) == (text, ())
    cut = await fetch(client, pack(noise)[:-1], coding)
    assert isinstance(cut, HttpFailure)
    assert cut.detail == f"the {coding} data of the body is truncated"
    other = await fetch(client, b"\xff" * 100, coding)
    assert isinstance(other, HttpFailure)
    assert other.detail == f"the body is not valid {coding} data"
    bomb = await fetch(client, pack(bytes(20_000_000)), coding)
    assert isinstance(bomb, HttpFailure)
    assert bomb.kind is FailureKind.TOO_LARGE


@pytest.mark.parametrize(
    ("coding", "module", "package"),
    [("br", "brotli", "python3-brotli"), ("zstd", "zstandard", "python3-zstandard")],
)
async def test_missing_library_is_named(client: HttpClient, coding: str, module: str, package: str) -> None:
    if find_spec(module) is not None:
        pytest.skip(f"{module} is installed")
    seen = await fetch(client, b"packed", coding)
    assert isinstance(seen, HttpExchange)
    assert seen.body is None
    assert seen.body_problem == f"the body is compressed with {coding}; install {package} to read it"
