import pytest

from monitord.errors import (
    ConfigError,
    ControlError,
    Diagnostic,
    InvalidValueError,
    MonitordError,
    StartError,
    problem_and_hint,
)
from monitord.systemd.unit_names import UnitNameError


@pytest.mark.parametrize(
    ("diagnostic", "text"),
    [
        (
            Diagnostic("m.toml", 41, "monitors.shop.check_every", '"5 min" is not a duration', 'write "5m"'),
            'm.toml:41: monitors.shop.check_every: "5 min" is not a duration; write "5m"',
        ),
        (Diagnostic("m.toml", 3, "", "invalid TOML", column=5), "m.toml:3:5: invalid TOML"),
        (Diagnostic("m.toml", None, "", "does not exist", "create it"), "m.toml: does not exist; create it"),
        (Diagnostic("m.toml", None, "a", "missing", column=5), "m.toml: a: missing"),
    ],
    ids=["line", "column", "file", "no line no column"],
)
def test_diagnostic_has_a_place_a_problem_and_a_fix(diagnostic: Diagnostic, text: str) -> None:
    assert str(diagnostic) == text


def test_configuration_error_has_a_line_for_each_diagnostic() -> None:
    diagnostics = [
        Diagnostic("a.toml", 1, "x", "is wrong"),
        Diagnostic("b.toml", 2, "y", "is wrong", "fix it"),
    ]
    error = ConfigError(diagnostics)
    assert error.diagnostics == tuple(diagnostics)
    assert str(error) == "a.toml:1: x: is wrong\nb.toml:2: y: is wrong; fix it"


@pytest.mark.parametrize("kind", [MonitordError, ControlError, StartError])
def test_error_ends_with_its_hint(kind: type[MonitordError]) -> None:
    error = kind("the daemon does not answer", hint="start it")
    assert (error.message, error.hint, str(error)) == (
        "the daemon does not answer",
        "start it",
        "the daemon does not answer; start it",
    )
    assert str(kind("it ended")) == "it ended"


@pytest.mark.parametrize("kind", [ConfigError, ControlError, StartError])
def test_all_errors_have_one_base_class(kind: type[MonitordError]) -> None:
    assert issubclass(kind, MonitordError)


@pytest.mark.parametrize(
    ("error", "problem", "hint"),
    [
        (InvalidValueError("is not a string", "write it in quotes"), "is not a string", "write it in quotes"),
        (InvalidValueError("the file /a; b is empty", "fill it"), "the file /a; b is empty", "fill it"),
        (UnitNameError("is a pattern", "write one unit"), "is a pattern", "write one unit"),
        (ValueError("/a; b.pem cannot be read"), "/a; b.pem cannot be read", ""),
    ],
    ids=["value", "semicolon", "unit", "no hint"],
)
def test_problem_and_hint_are_attributes_and_not_parts_of_the_text(
    error: ValueError, problem: str, hint: str
) -> None:
    assert problem_and_hint(error) == (problem, hint)
    assert str(error) == (f"{problem}; {hint}" if hint else problem)
