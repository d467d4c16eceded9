import os
import resource
import time
from collections.abc import AsyncIterator
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path

import pytest

from monitord.web import Application, FileResponse, Handler, Request, Response, StreamResponse, static
from monitord.web.testing import ClientResponse, TestClient

MODIFIED_S = 1_700_000_000
TEXT = b"0123456789"


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[TestClient]:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "a.txt").write_bytes(TEXT)
    (root / "sub" / "b.png").write_bytes(b"png")
    (root / "c.tar.gz").write_bytes(b"gz")
    (root / "empty").write_bytes(b"")
    (root / "large").write_bytes(bytes(range(256)) * 4096)
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "in").symlink_to("a.txt")
    os.mkfifo(root / "fifo")
    (tmp_path / "secret").write_text("secret")
    os.utime(root / "a.txt", (MODIFIED_S, MODIFIED_S))

    async def fifo(request: Request) -> FileResponse:
        return FileResponse(root / "fifo")

    app = Application()
    app.router.add_get("/f/{path:path}", static(root))
    app.router.add_get("/fifo", fifo)
    async with TestClient(app) as client:
        yield client


async def get(client: TestClient, **fields: str) -> ClientResponse:
    headers = [(name.replace("_", "-"), value) for name, value in fields.items()]
    return await client.get("/f/a.txt", headers=headers)


async def test_file_comes_with_type_length_and_validators(client: TestClient) -> None:
    response = await get(client)
    assert (response.status, response.body) == (200, TEXT)
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.headers["Content-Length"] == "10"
    assert response.headers["Last-Modified"] == formatdate(MODIFIED_S, usegmt=True)
    assert response.headers["Accept-Ranges"] == "bytes"
    assert response.headers["ETag"].startswith('"')


@pytest.mark.parametrize(
    ("path", "kind", "size"),
    [("sub/b.png", "image/png", 3), ("c.tar.gz", "application/octet-stream", 2),
     ("empty", "application/octet-stream", 0),
     ("large", "application/octet-stream", 1048576), ("in", "text/plain", 10)],
)  # fmt: skip
async def test_files_of_many_kinds_are_served(client: TestClient, path: str, kind: str, size: int) -> None:
    response = await client.get(f"/f/{path}")
    assert (response.status, response.headers["Content-Type"].split(";")[0], len(response.body)) == (
        200,
        kind,
        size,
    )


@pytest.mark.parametrize(
    "path",
    ["nothing", "", "sub", "sub/", "../secret", "%2e%2e/secret", "..%2fsecret", "sub/../../secret", "out", "fifo",
     "/etc/passwd", "./a.txt", "sub//b.png", "a.txt/", "a" * 300, "%2fetc%2fpasswd"],
)  # fmt: skip
async def test_only_regular_files_in_the_directory_are_served(client: TestClient, path: str) -> None:
    response = await client.get(f"/f/{path}")
    assert response.status == 404
    assert b"secret" not in response.body


async def test_fifo_does_not_block(client: TestClient) -> None:
    assert (await client.get("/fifo")).status == 404


async def test_impossible_file_name_is_not_found(tmp_path: Path) -> None:
    async def view(request: Request) -> FileResponse:
        return FileResponse(tmp_path / request.query["name"])

    app = Application()
    app.router.add_get("/", view)
    async with TestClient(app) as client:
        for name in ("%00", "x" * 300, "file/below"):
            (tmp_path / "file").touch()
            assert (await client.get(f"/?name={name}")).status == 404


async def test_lack_of_descriptors_is_not_a_404(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with await client.connect() as connection:
        assert (await connection.request("GET", "/f/a.txt")).status == 200
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
        try:
            assert (await connection.request("GET", "/f/a.txt")).status == 500
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert "Too many open files" in caplog.text


async def test_directory_is_not_found_and_not_left_open(tmp_path: Path) -> None:
    async def view(request: Request) -> FileResponse:
        return FileResponse(tmp_path)

    app = Application()
    app.router.add_get("/", view)
    async with TestClient(app) as client:
        assert (await client.get("/")).status == 404


async def test_head_of_a_file_has_its_length(client: TestClient) -> None:
    response = await client.request("HEAD", "/f/a.txt")
    assert (response.status, response.headers["Content-Length"], response.body) == (200, "10", b"")


@pytest.mark.parametrize(
    ("field", "start", "body"),
    [
        ("bytes=0-0", 0, b"0"),
        ("bytes=2-4", 2, b"234"),
        ("bytes=5-", 5, b"56789"),
        ("bytes=-3", 7, b"789"),
        ("bytes=-100", 0, TEXT),
        ("bytes=8-100", 8, b"89"),
        ("Bytes=9-9", 9, b"9"),
        ("bytes=0000000000000000000000009-9", 9, b"9"),
        ("bytes=9-99999999999999999999999", 9, b"9"),
    ],
)
async def test_range_returns_a_part_of_the_file(
    client: TestClient, field: str, start: int, body: bytes
) -> None:
    response = await get(client, Range=field)
    assert (response.status, response.body) == (206, body)
    assert response.headers["Content-Range"] == f"bytes {start}-{start + len(body) - 1}/10"
    assert response.headers["Content-Length"] == str(len(body))


@pytest.mark.parametrize("field", ["bytes=10-", "bytes=10-20", "bytes=99999999999999999999999-", "bytes=-0"])
async def test_range_beyond_the_end_is_rejected(client: TestClient, field: str) -> None:
    response = await get(client, Range=field)
    assert (response.status, response.headers["Content-Range"]) == (416, "bytes */10")


@pytest.mark.parametrize(
    "field", ["bytes=4-2", "bytes=a-b", "bytes=", "bytes=-", "lines=1-2", "bytes=0-1,3-4", "0-1"]
)
async def test_unknown_range_is_ignored(client: TestClient, field: str) -> None:
    response = await get(client, Range=field)
    assert (response.status, response.body) == (200, TEXT)


async def test_range_is_ignored_under_head(client: TestClient) -> None:
    response = await client.request("HEAD", "/f/a.txt", headers=[("Range", "bytes=0-1")])
    assert (response.status, response.headers["Content-Length"]) == (200, "10")


async def test_preconditions_are_evaluated_in_order(client: TestClient) -> None:
    tag = (await get(client)).headers["ETag"]
    then, before, after = (formatdate(MODIFIED_S + shift, usegmt=True) for shift in (0, -10, 10))
    cases: list[tuple[dict[str, str], int]] = [
        ({"If_None_Match": tag}, 304),
        ({"If_None_Match": f'"x", W/{tag}'}, 304),
        ({"If_None_Match": "*"}, 304),
        ({"If_None_Match": '"x"'}, 200),
        ({"If_None_Match": '"x"', "If_Modified_Since": after}, 200),
        ({"If_Modified_Since": then}, 304),
        ({"If_Modified_Since": before}, 200),
        ({"If_Modified_Since": "nonsense"}, 200),
        ({"If_Match": tag}, 200),
        ({"If_Match": "*"}, 200),
        ({"If_Match": '"x"'}, 412),
        ({"If_Match": f"W/{tag}"}, 412),
        ({"If_Unmodified_Since": then}, 200),
        ({"If_Unmodified_Since": before}, 412),
        ({"If_Match": tag, "If_Unmodified_Since": before}, 200),
        ({"If_Range": tag, "Range": "bytes=0-0"}, 206),
        ({"If_Range": '"x"', "Range": "bytes=0-0"}, 200),
        ({"If_Range": then, "Range": "bytes=0-0"}, 206),
        ({"If_Range": after, "Range": "bytes=0-0"}, 200),
        ({"If_None_Match": tag, "Range": "bytes=0-0"}, 304),
    ]
    for fields, status in cases:
        response = await get(client, **fields)
        assert response.status == status, fields
        if status == 304:
            assert response.headers["ETag"] == tag
            assert "Content-Length" not in response.headers


async def test_conditional_headers_are_ignored_for_unsafe_methods(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(TEXT)

    async def view(request: Request) -> FileResponse:
        return FileResponse(tmp_path / "file")

    app = Application()
    app.router.add_post("/", view)
    async with TestClient(app) as client:
        for name in ("If-Match", "If-None-Match"):
            response = await client.post(
                "/", headers=[(name, '"x", *' if name == "If-None-Match" else '"x"')]
            )
            assert (response.status, response.body) == (200, TEXT)


async def test_last_modified_is_never_in_the_future(client: TestClient, tmp_path: Path) -> None:
    """RFC 9110 section 8.8.2.1."""
    ahead_s = time.time() + 1000
    os.utime(tmp_path / "root" / "a.txt", (ahead_s, ahead_s))
    response = await get(client)
    said, now = (parsedate_to_datetime(response.headers[name]) for name in ("Last-Modified", "Date"))
    assert said <= now


async def test_date_within_the_current_second_is_too_weak_for_a_range(
    client: TestClient, tmp_path: Path
) -> None:
    """RFC 9110 section 13.1.5: the file can change again within the same second."""
    now_s = time.time() + 60  # so that the second does not end within the test
    os.utime(tmp_path / "root" / "a.txt", (now_s, now_s))
    then = formatdate(int(now_s), usegmt=True)
    assert (await get(client, If_Range=then, Range="bytes=0-0")).status == 200
    tag = (await get(client)).headers["ETag"]
    assert (await get(client, If_Range=tag, Range="bytes=0-0")).status == 206


async def test_date_is_parsed_in_every_format_and_time_zone(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 9110 section 5.6.7: the two obsolete formats must be accepted."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        for form in ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"):
            then, before = (time.strftime(form, time.gmtime(MODIFIED_S + shift)) for shift in (0, -10))
            assert (await get(client, If_Modified_Since=then)).status == 304, then
            assert (await get(client, If_Modified_Since=before)).status == 200, before
            assert (await get(client, If_Range=then, Range="bytes=0-0")).status == 206, then
    finally:
        monkeypatch.undo()
        time.tzset()


async def test_file_that_shrinks_breaks_the_connection(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 3_000_000)

    class Shrinking(FileResponse):
        async def write(self, data: bytes) -> None:
            path.write_bytes(b"")
            await super().write(data)

    async def view(request: Request) -> FileResponse:
        return Shrinking(path)

    app = Application()
    app.router.add_get("/", view)
    async with TestClient(app) as client:
        with pytest.raises(ConnectionResetError):
            await client.get("/")
    assert "content_length has not been reached" in caplog.text


async def test_headers_of_the_handler_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes(b"x")

    async def view(request: Request) -> FileResponse:
        return FileResponse(path, headers={"Cache-Control": "no-cache"}, content_type="text/markdown")

    app = Application()
    app.router.add_get("/", view)
    async with TestClient(app) as client:
        response = await client.get("/")
        assert response.headers["Cache-Control"] == "no-cache"
        assert response.headers["Content-Type"] == "text/markdown"
        unchanged = await client.get("/", headers=[("If-None-Match", response.headers["ETag"])])
        assert unchanged.headers["Cache-Control"] == "no-cache"


async def test_headers_of_a_file_response_apply_to_its_replacement(tmp_path: Path) -> None:
    """Security fields and cookies do not depend on the existence of the file; fields about the file are removed."""
    path = tmp_path / "file.txt"
    path.write_bytes(b"0123456789")

    async def protect(request: Request, handler: Handler) -> StreamResponse:
        response = await handler(request)
        response.headers["Content-Security-Policy"] = "default-src 'none'"
        response.headers["Vary"] = "Origin"
        response.set_cookie("seen", "yes")
        return response

    async def view(request: Request) -> FileResponse:
        kept = {"Cache-Control": "max-age=9", "Content-Disposition": "attachment", "Content-Location": "/f"}
        return FileResponse(path if request.query_string == "" else tmp_path / "gone", headers=kept)

    app = Application(middlewares=[protect])
    app.router.add_get("/", view)
    async with TestClient(app) as client:
        tag = (await client.get("/")).headers["ETag"]
        unchanged = await client.get("/", headers=[("If-None-Match", tag)])
        for response, status in (
            (unchanged, 304),
            (await client.get("/", headers=[("If-Match", '"other"')]), 412),
            (await client.get("/", headers=[("Range", "bytes=20-")]), 416),
            (await client.get("/?gone"), 404),
        ):
            assert response.status == status
            assert response.headers["Content-Security-Policy"] == "default-src 'none'"
            assert response.headers["Set-Cookie"].startswith("seen=yes")
            assert response.headers["Vary"] == "Origin"
            assert ("Content-Location" in response.headers) == (status == 304)
            assert "Content-Disposition" not in response.headers
            assert ("Cache-Control" in response.headers, "ETag" in response.headers) == (
                (True, True) if status == 304 else (False, False)
            )


def test_missing_directory_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        static(tmp_path / "nothing")


async def test_file_response_is_not_a_subclass_of_response() -> None:
    assert not issubclass(FileResponse, Response)
