import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitord.config import ConfigAccess, Document, read_document
from monitord.config.document import MAX_FILE_BYTES
from monitord.errors import ConfigError


@pytest.fixture
def main(tmp_path: Path) -> Path:
    path = tmp_path / "monitord.toml"
    path.write_text("")
    (tmp_path / "monitord.d").mkdir()
    return path


def diagnostics(document: Document) -> list[str]:
    """Return the diagnostics without the directory, which differs each time."""
    return [
        str(diagnostic).replace(f"{Path(diagnostic.file).parent}/", "")
        for diagnostic in document.diagnostics()
    ]


def test_empty_file_is_a_valid_configuration(main: Path) -> None:
    document = read_document(main)
    document.check()
    assert document.is_complete


def test_dropins_are_merged_in_name_order(main: Path) -> None:
    main.write_text("[monitors.a]\nurl = 'a'\n[[routes]]\nx = 'main'\n")
    (main.parent / "monitord.d" / "20.toml").write_text("monitors.a.tags = []\n[[routes]]\nx = '20'\n")
    (main.parent / "monitord.d" / "10.toml").write_text("[monitors.b]\nurl = 'b'\n[[routes]]\nx = '10'\n")
    (main.parent / "monitord.d" / "30.conf").write_text("not toml at all")
    (main.parent / "monitord.d" / ".hidden.toml").write_text("not toml at all")

    document = read_document(main)

    assert {name: table.text("url") for name, table in document.root.named("monitors").items()} == {
        "a": "a",
        "b": "b",
    }
    assert [table.text("x") for table in document.root.tables("routes")] == ["main", "10", "20"]
    assert document.diagnostics() == ()


def test_include_replaces_the_default_dropins(main: Path) -> None:
    folder = main.parent
    (folder / "other [1]").mkdir()
    main.write_text(f'include = ["second.toml", "*.d/x.toml", "{folder}/*/z.toml"]')
    (folder / "second.toml").write_text("a = 'second'\ninclude = []")
    (folder / "monitord.d" / "x.toml").write_text("x = 'x'")
    (folder / "monitord.d" / "y.toml").write_text("y = 'y'")
    (folder / "other [1]" / "z.toml").write_text("z = 'z'")

    document = read_document(main)

    assert [document.root.text(key, default="not read") for key in "axyz"] == ["second", "x", "not read", "z"]
    assert diagnostics(document) == [
        "second.toml:2: include: only the main file includes others; move it there"
    ]


def test_file_that_matches_twice_is_read_once(main: Path) -> None:
    main.write_text('include = ["*.toml", "monitord.d/*.toml", "monitord.d/a.toml"]')
    (main.parent / "monitord.d" / "a.toml").write_text("a = 'a'")
    document = read_document(main)
    assert document.root.text("a") == "a"
    document.check()


def test_directory_name_can_contain_pattern_characters(tmp_path: Path) -> None:
    folder = tmp_path / "a[b]*"
    (folder / "x?y.d").mkdir(parents=True)
    (folder / "x?y.toml").write_text("")
    (folder / "x?y.d" / "z.toml").write_text("z = 'z'")
    assert read_document(folder / "x?y.toml").root.text("z") == "z"


def test_path_without_a_directory_finds_its_dropins(main: Path) -> None:
    (main.parent / "monitord.d" / "a.toml").write_text("a = 'a'")
    before = Path.cwd()
    os.chdir(main.parent)
    try:
        assert read_document("monitord.toml").root.text("a") == "a"
    finally:
        os.chdir(before)


def test_missing_file_is_a_diagnostic(tmp_path: Path) -> None:
    document = read_document(tmp_path / "none.toml")
    assert diagnostics(document) == ["none.toml: does not exist; create it, or specify another file"]
    assert not document.is_complete


def test_directory_instead_of_a_file_is_a_diagnostic(tmp_path: Path) -> None:
    assert diagnostics(read_document(tmp_path)) == [
        f"{tmp_path.name}: cannot be read: Is a directory; name a TOML file"
    ]


def test_fifo_does_not_block_the_reader(main: Path) -> None:
    os.mkfifo(main.parent / "monitord.d" / "a.toml")
    assert diagnostics(read_document(main)) == [
        "a.toml: cannot be read: Not a regular file; name a TOML file"
    ]


def test_dropin_linked_to_dev_null_is_disabled(main: Path) -> None:
    (main.parent / "monitord.d" / "a.toml").symlink_to("/dev/null")
    read_document(main).check()


def test_dangling_link_is_a_diagnostic(main: Path) -> None:
    (main.parent / "monitord.d" / "a.toml").symlink_to("/nonexistent/a.toml")
    assert diagnostics(read_document(main)) == ["a.toml: does not exist; create it, or specify another file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file_is_a_diagnostic(main: Path) -> None:
    main.chmod(0)
    (main.parent / "monitord.d").chmod(0)
    try:
        for access, hint in (
            (ConfigAccess.DAEMON, "let the user "),
            (ConfigAccess.OTHER_USER, "run this command as root, "),
        ):
            said = diagnostics(read_document(main, access=access))
            assert len(said) == 2
            assert said[0].startswith(f"monitord.toml: cannot be read: Permission denied; {hint}")
            assert said[1].startswith(f"monitord.d: cannot be listed: Permission denied; {hint}")
    finally:
        (main.parent / "monitord.d").chmod(0o700)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("x" * 300, "cannot be read: File name too long"),
        ("a\0b", "is not a file name: it contains a NUL byte"),
    ],
    ids=["too long", "NUL"],
)
def test_impossible_file_name_is_a_diagnostic(tmp_path: Path, name: str, problem: str) -> None:
    assert read_document(f"{tmp_path}/{name}").diagnostics()[0].problem == problem


def test_too_large_file_is_a_diagnostic(main: Path) -> None:
    with main.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    assert diagnostics(read_document(main)) == [
        "monitord.toml: is larger than 16 MiB; split it into drop-ins"
    ]


@pytest.mark.parametrize(
    ("content", "diagnostic"),
    [
        pytest.param(
            b"a = 1\nb = \0", "monitord.toml:2: contains a NUL byte; save it as plain UTF-8 text", id="NUL"
        ),
        pytest.param(b"\n\n# caf\xe9", "monitord.toml:3: is not UTF-8 text; save it as UTF-8", id="Latin-1"),
        pytest.param(
            "a = 1".encode("utf-16"),
            "monitord.toml:1: contains a NUL byte; save it as plain UTF-8 text",
            id="UTF-16",
        ),
    ],
)
def test_file_that_is_not_text_is_a_diagnostic(main: Path, content: bytes, diagnostic: str) -> None:
    main.write_bytes(content)
    assert diagnostics(read_document(main)) == [diagnostic]


def test_byte_order_mark_and_crlf_are_accepted(main: Path) -> None:
    main.write_bytes(b"\xef\xbb\xbfa = 'a'\r\n\r\nb = 1\r\n")
    document = read_document(main)
    assert document.root.text("a") == "a"
    document.root.text("b")
    assert diagnostics(document) == ["monitord.toml:3: b: 1 is not a string; write it in quotes"]


def test_missing_key_is_not_reported_if_a_file_is_unreadable(main: Path) -> None:
    main.write_text("[monitors.shop]")
    (main.parent / "monitord.d" / "a.toml").write_text("monitors.shop.url = ")
    document = read_document(main)
    document.root.named("monitors")["shop"].text("url")
    with pytest.raises(ConfigError) as caught:
        document.check()
    assert [diagnostic.problem for diagnostic in caught.value.diagnostics] == [
        "invalid TOML: Invalid value (at the end of the file)"
    ]


def test_diagnostics_are_in_the_order_of_files_and_lines(main: Path) -> None:
    main.write_text("b = 1\na = 1")
    (main.parent / "monitord.d" / "1.toml").write_text("c = ")
    (main.parent / "monitord.d" / "2.toml").write_text("d = 1")
    document = read_document(main)
    for key in "dab":
        document.root.text(key)
    assert [diagnostic.partition(": ")[0] for diagnostic in diagnostics(document)] == [
        "monitord.toml:1",
        "monitord.toml:2",
        "1.toml:1",
        "2.toml:1",
    ]


def test_first_of_thousands_of_diagnostics_are_reported(main: Path) -> None:
    main.write_text("".join(f"key{number} = 1\n" for number in range(3000)))
    with pytest.raises(ConfigError) as caught:
        read_document(main).check()
    assert len(caught.value.diagnostics) == 1001
    assert str(caught.value.diagnostics[-1]).endswith(
        "monitord.toml: 2000 more errors; correct the errors above first"
    )


def test_second_check_has_the_same_result(main: Path) -> None:
    main.write_text("a = 1")
    document = read_document(main)
    texts = []
    for _ in range(2):
        with pytest.raises(ConfigError) as caught:
            document.check()
        texts.append(str(caught.value))
    assert texts[0] == texts[1]


SNIPPETS = st.sampled_from(
    [
        *rb"""[ ] { } " ' \""" ''' = . , # a \ 0x 1979-13-01 a.b""".split(),
        *(b"\n", b"\xff", b"\0", b"[[x]]\n", b"[a]\n", b"a = 1\n", b"include = ", b'["*"]\n'),
        *(b"9" * 5000, b"[" * 2000, b"a." * 100),
    ]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    first=st.one_of(st.binary(), st.lists(SNIPPETS).map(b"".join)), second=st.lists(SNIPPETS).map(b"".join)
)
def test_arbitrary_bytes_are_read_or_rejected(main: Path, first: bytes, second: bytes) -> None:
    main.write_bytes(first)
    (main.parent / "monitord.d" / "a.toml").write_bytes(second)
    document = read_document(main)
    document.root.text("a", default="")
    for table in document.root.named("x").values():
        table.flag("a", default=False)
    document.root.tables("a")
    diagnostics = document.diagnostics()
    if diagnostics or not document.is_complete:
        with pytest.raises(ConfigError, match="toml"):
            document.check()


def test_problem_that_repeats_a_name_with_a_semicolon_is_not_cut(main: Path) -> None:
    main.write_text('token = { file = "/nonexistent/a; b" }')
    document = read_document(main)
    document.root.secret("token")
    (diagnostic,) = document.diagnostics()
    assert diagnostic.problem == "the file /nonexistent/a; b does not exist"
    assert diagnostic.hint == "write the path of a text file that the daemon's user can read"
    assert diagnostic.path == ("token",)
