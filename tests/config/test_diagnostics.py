import pytest
import tomli

from monitord.config.diagnostics import Diagnostics, Source
from monitord.config.wording import Path

MAIN = "a = 1\n[t]\nb = 1\n[[list]]\nx = 1\n[[list]]\nx = 2\n[[list.inner]]\n"
DROPIN = "# more\n[t]\nc = 1\n[[list]]\nx = 3\n[[list.inner]]\ny = 1\n"


@pytest.fixture
def diagnostics() -> Diagnostics:
    diagnostics = Diagnostics("main")
    diagnostics.files.append("dropin")
    diagnostics.sources += [
        Source(file, text, tomli.loads(text)) for file, text in [("main", MAIN), ("dropin", DROPIN)]
    ]
    return diagnostics


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (("a",), "main:1"),
        (("t",), "main:2"),
        (("t", "b"), "main:3"),
        (("t", "c"), "dropin:3"),
        (("t", "missing", "deeper"), "main:2"),
        (("missing",), "main"),
        (("list", 1, "x"), "main:7"),
        (("list", 1, "inner", 0), "main:8"),
        (("list", 2, "x"), "dropin:5"),
        (("list", 2, "inner", 0, "y"), "dropin:7"),
        (("list", 3), "main:4"),
    ],
    ids=str,
)
def test_key_is_found_in_the_file_that_sets_it(diagnostics: Diagnostics, path: Path, place: str) -> None:
    assert diagnostics.location(path) == place


def test_repeated_diagnostic_is_reported_once(diagnostics: Diagnostics) -> None:
    diagnostics.add(("a",), "is wrong")
    diagnostics.add(("a",), "is wrong")
    diagnostics.add(("a",), "is wrong in another way")
    assert [str(diagnostic) for diagnostic in diagnostics.all()] == [
        "main:1: a: is wrong",
        "main:1: a: is wrong in another way",
    ]


def test_rejected_value_has_no_further_errors(diagnostics: Diagnostics) -> None:
    diagnostics.reject(("a",), "is no number")
    diagnostics.reject(("a",), "is no text")
    diagnostics.add(("a",), "is too large")
    assert [str(diagnostic) for diagnostic in diagnostics.all()] == ["main:1: a: is no number"]
    assert diagnostics.is_within_rejected(("a", "b", "c"))
    assert not diagnostics.is_within_rejected(("t", "b"))


def test_unknown_syntax_omits_only_the_line_number() -> None:
    diagnostics = Diagnostics("main")
    diagnostics.sources.append(Source("main", "@ a = 1", {"a": 1}))
    assert diagnostics.location(("a",)) == "main"
