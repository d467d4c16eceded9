import json
import math
import sys

import pytest

from monitord.conditions import Reference, Unresolved
from monitord.conditions.comparing import MAX_SHOWN_CHARACTERS, shown_value
from monitord.conditions.vocabulary import FieldType
from tests.conditions.test_condition import outcome
from tests.conditions.vocabulary import compiled

TRUE, FALSE, UNRESOLVED = (True, False), (False, False), (False, True)


@pytest.mark.parametrize(
    ("text", "value", "answer"),
    [
        ("status == 200", 200, TRUE),
        ("status == 200", 200.0, TRUE),
        ("status != 200", 200, FALSE),
        ("status != 200", 201, TRUE),
        ("status < 200", 200, FALSE),
        ("status <= 200", 200, TRUE),
        ("status > 200", 200, FALSE),
        ("status >= 200", 200, TRUE),
        ("status in [200, 204]", 204, TRUE),
        ("status in [200, 204]", 205, FALSE),
        ("status > -1", 0, TRUE),
        ("response_time == 0.3", 0.3, TRUE),
        ("response_time == 300ms", 0.3, TRUE),
        ("response_time < 5", 4.9, TRUE),
        ("response_time < 5", 5.1, FALSE),
        ("response_time in [1s, 5]", 5, TRUE),
        ("certificate.expires_in < 14d", 14 * 86400 - 1, TRUE),
        ("certificate.expires_in > -1d", -86_399.0, TRUE),
        ("body.length > 64KiB", 65_537, TRUE),
        ("body.length > 64KiB", 65_536, FALSE),
        ("body.length == 10", 10, TRUE),
        ("body == 'ok'", "ok", TRUE),
        ("body == 'ok'", "OK", FALSE),
        ("body contains 'k'", "ok", TRUE),
        ("body contains 'K'", "ok", FALSE),
        ("body contains ''", "", TRUE),
        ("body in ['a', 'b']", "b", TRUE),
        ("body matches '^o.$'", "ok", TRUE),
        (r"body matches '\d{3}'", "a 404", TRUE),
        (r"body matches '\d{3}'", "a 40", FALSE),
        ("certificate.verified == true", True, TRUE),
        ("certificate.verified != true", False, TRUE),
        ("dns.answers == ['a', 'b']", ["b", "a"], TRUE),
        ("dns.answers == ['a', 'b']", ["a"], FALSE),
        ("dns.answers != ['a', 'b']", ("a",), TRUE),
        ("dns.answers contains 'b'", ["a", "b"], TRUE),
        ("dns.answers contains 'b'", ["ab"], FALSE),
        ("dns.answers matches '^192'", ["10.0.0.1", "192.0.2.1"], TRUE),
        ("dns.answers matches '^192'", [], FALSE),
    ],
)
def test_value_of_the_field_type_is_compared(text: str, value: object, answer: tuple[bool, bool]) -> None:
    seen = outcome(text, **{text.split(maxsplit=1)[0].replace(".", "__"): value})
    assert (seen.holds, seen.unresolved) == answer


@pytest.mark.parametrize(
    ("comparison", "value", "answer"),
    [
        ("== 1", "1", TRUE),
        ("== 1", "1.0", TRUE),
        ("== 1", '"1"', FALSE),
        ("!= 1", '"1"', TRUE),
        ("== 1", "true", FALSE),
        ("== true", "1", FALSE),
        ("== true", "true", TRUE),
        ("!= false", "true", TRUE),
        ("== 'ok'", '"ok"', TRUE),
        ("== 'ok'", "null", UNRESOLVED),
        ("!= 'ok'", "null", UNRESOLVED),
        ("== 1", "NaN", UNRESOLVED),
        ("!= 1", "NaN", UNRESOLVED),
        ("< 1", "-Infinity", UNRESOLVED),
        ("< 5", "4", TRUE),
        ("< 5s", "4", TRUE),
        ("< 1KiB", "1000", TRUE),
        ("< 5", '"4"', UNRESOLVED),
        ("< 5", "true", UNRESOLVED),
        ("< 5", "[4]", UNRESOLVED),
        ("== [1, 'a', true]", '[1, "a", true]', TRUE),
        ("== [1, 2]", "[2, 1]", FALSE),
        ("== [1]", "[1, 2]", FALSE),
        ("== [1]", "1", FALSE),
        ("!= [1]", "1", TRUE),
        ("!= [1]", "[NaN]", TRUE),
        ("in [1, 'a']", '"a"', TRUE),
        ("in [1, 'a']", "[1]", FALSE),
        ("contains 'a'", '"bab"', TRUE),
        ("contains 'a'", '["b", "a"]', TRUE),
        ("contains 'a'", '["ba"]', FALSE),
        ("contains 1", "[[1], 1]", TRUE),
        ("contains 1", "[[1], true]", FALSE),
        ("contains 1", "[true, 1.0]", TRUE),
        ("contains 1", "[true, NaN, Infinity]", FALSE),
        ("contains true", "[1, 1.0]", FALSE),
        ("contains true", "[1, true]", TRUE),
        ("contains false", "[0, null, []]", FALSE),
        ("contains 1", '"1"', UNRESOLVED),
        ("contains 'a'", '{"a": 1}', UNRESOLVED),
        ("contains 'a'", "7", UNRESOLVED),
        ("matches '^a'", '"abc"', TRUE),
        ("matches '^a'", '["abc"]', UNRESOLVED),
        ("matches '^a'", "7", UNRESOLVED),
        ("== []", "[]", TRUE),
        ("== []", "[1]", FALSE),
        ("== []", "{}", FALSE),
        ("!= []", "[1]", TRUE),
        ("== []", "null", UNRESOLVED),
        ("== null", "null", TRUE),
        ("== null", "0", FALSE),
        ("== null", "false", FALSE),
        ("== null", '""', FALSE),
        ("!= null", "null", FALSE),
        ("!= null", "[]", TRUE),
        ("in [null, 1]", "null", TRUE),
        ("in [null, 1]", "2", FALSE),
        ("contains null", "[1, null]", TRUE),
        ("contains null", "[]", FALSE),
        ("== [1, null]", "[1, null]", TRUE),
        ("== [1, null]", "[1, 0]", FALSE),
    ],
)
def test_json_value_is_compared_by_its_own_type(
    comparison: str, value: str, answer: tuple[bool, bool]
) -> None:
    seen = outcome(f"json('$') {comparison}", json=json.loads(value))
    assert (seen.holds, seen.unresolved) == answer


@pytest.mark.parametrize(
    ("text", "value", "why"),
    [
        ("status != 200", "200", "'200' is not a number"),
        ("status != 200", True, "true is not a number"),
        ("status != 200", math.nan, "nan is not a number"),
        ("response_time > 1s", math.inf, "inf is not a duration"),
        ("body != 'x'", b"y", "bytes is not a string"),
        pytest.param("body != 'x'", 10**5000, "a number of 16610 bits is not a string", id="digits"),
        ("certificate.verified != true", 1, "1 is not true or false"),
        ("dns.answers != ['x']", "x", "'x' is not a list of strings"),
        ("dns.answers != ['x']", ["x", 1], "['x', 1] is not a list of strings"),
        ("body matches 'x'", "y" * 300_000, "the text is too long for this pattern"),
        ("json('$') < 1", {"a": 1}, "{…} cannot be ordered"),
        ("json('$') contains 1", [], None),
    ],
)
def test_comparison_with_a_value_of_another_type_does_not_hold(
    text: str, value: object, why: str | None
) -> None:
    name = text.split(maxsplit=1)[0].partition("(")[0].replace(".", "__")
    seen = outcome(text, **{name: value})
    assert not seen.holds
    assert seen.unresolved is (why is not None)
    assert why is None or seen.text == f"{text} (unresolved: {why})"


@pytest.mark.parametrize(
    ("value", "field_type", "text"),
    [
        (503, FieldType.NUMBER, "503"),
        (0.1 + 0.2, FieldType.NUMBER, "0.30000000000000004"),
        (1 << 200, FieldType.NUMBER, "a number of 201 bits"),
        (0.30004, FieldType.DURATION, "300.04ms"),
        (0.0004, FieldType.DURATION, "0.4ms"),
        (0.0, FieldType.DURATION, "0s"),
        (-0.5, FieldType.DURATION, "-500ms"),
        (59.9, FieldType.DURATION, "59s900ms"),
        (14 * 86400 - 0.5, FieldType.DURATION, "13d23h59m59s"),
        (1e200, FieldType.DURATION, "1e+200"),
        pytest.param(10**5000, FieldType.DURATION, "a number of 16610 bits", id="long"),
        (64 * 1024, FieldType.SIZE, "64KiB"),
        (65_537, FieldType.SIZE, "65537B"),
        (1.5, FieldType.SIZE, "1.5"),
        pytest.param(1 << 20_000, FieldType.SIZE, "a number of 20001 bits", id="large"),
        (True, FieldType.FLAG, "true"),
        ("it's\n", FieldType.TEXT, '"it\'s\\n"'),
        ("x" * 61, FieldType.TEXT, "'" + "x" * MAX_SHOWN_CHARACTERS + "'…"),
        (["a", "b"], FieldType.TEXTS, "['a', 'b']"),
        ([1] * 6, FieldType.ANY, "[1, 1, 1, 1, 1, …]"),
        ([[1], [], {}, None, 1.5], FieldType.ANY, "[[…], [], {…}, null, 1.5]"),
        (["x" * 70], FieldType.ANY, "['" + "x" * 57 + "…"),
        ({"a": 1}, FieldType.ANY, "{…}"),
        (math.inf, FieldType.ANY, "inf"),
    ],
)
def test_value_is_shown_shortened_and_in_the_unit_of_its_field(
    value: object, field_type: FieldType, text: str
) -> None:
    assert shown_value(value, field_type) == text


@pytest.mark.parametrize(
    ("text", "document", "answer"),
    [
        ("exists(json('$.a'))", '{"a": 1}', TRUE),
        ("exists(json('$.a'))", '{"a": null}', TRUE),
        ("exists(json('$.a'))", '{"a": ""}', TRUE),
        ("exists(json('$.a'))", "{}", FALSE),
        ("exists(json('$.a.b'))", '{"a": 1}', FALSE),
        ("exists(json('$.a[2]'))", '{"a": [1, 2]}', FALSE),
        ("exists(json('$'))", "null", TRUE),
        ("exists(json('$.a'))", None, UNRESOLVED),
        ("not exists(json('$.a'))", "{}", TRUE),
        ("not exists(json('$.a'))", '{"a": null}', FALSE),
        ("not exists(json('$.a'))", None, UNRESOLVED),
        ("not exists(json('$.a')) or json('$.a') == null", "{}", TRUE),
        ("not exists(json('$.a')) or json('$.a') == null", '{"a": null}', TRUE),
        ("not exists(json('$.a')) or json('$.a') == null", '{"a": 1}', FALSE),
        ("not exists(json('$.a')) or json('$.a') == null", None, UNRESOLVED),
        ("json('$.a') == null", "{}", UNRESOLVED),
        ("json('$.a') != null", "{}", UNRESOLVED),
        ("length(json('$.a')) == 2", '{"a": [1, 2]}', TRUE),
        ("length(json('$.a')) > 2", '{"a": [1, 2]}', FALSE),
        ("length(json('$.a')) in [0, 3]", '{"a": "abc"}', TRUE),
        ("length(json('$.a')) == 1", '{"a": {"b": [1, 2]}}', TRUE),
        ("length(json('$.a')) == 0", '{"a": []}', TRUE),
        ("length(json('$.a')) == 0", '{"a": null}', UNRESOLVED),
        ("length(json('$.a')) == 0", "{}", UNRESOLVED),
        ("length(json('$.a')) == 1", '{"a": 1}', UNRESOLVED),
        ("length(json('$.a')) == 1", '{"a": true}', UNRESOLVED),
        ("not length(json('$.a')) == 1", None, UNRESOLVED),
    ],
)
def test_existence_and_length_of_json_values_are_evaluated(
    text: str, document: str | None, answer: tuple[bool, bool]
) -> None:
    """`document` None: a body that is not JSON."""

    def lookup(field: Reference) -> object:
        if document is None:
            return Unresolved("the body is not JSON")
        return field.argument.find(json.loads(document))

    outcome = compiled(text).evaluate(lookup)
    assert (outcome.holds, outcome.unresolved) == answer


@pytest.mark.parametrize(
    ("text", "value", "answer"),
    [
        ("exists(header('X'))", "", TRUE),
        ("exists(header('X'))", None, FALSE),
        ("not exists(header('X'))", None, TRUE),
        ("exists(certificate.issuer)", None, FALSE),
        ("exists(certificate.verified)", False, TRUE),
        ("exists(status)", 0, TRUE),
        ("length(header('X')) == 3", "a:b", TRUE),
        ("length(header('X')) == 0", None, UNRESOLVED),
        ("length(dns.answers) >= 2", ["192.0.2.1", "192.0.2.2"], TRUE),
        ("dns.answers == []", [], TRUE),
        ("dns.answers == []", ["192.0.2.1"], FALSE),
    ],
)
def test_existence_and_length_of_fields_are_evaluated(
    text: str, value: object, answer: tuple[bool, bool]
) -> None:
    outcome = compiled(text).evaluate(lambda _: value)
    assert (outcome.holds, outcome.unresolved) == answer


@pytest.mark.parametrize("wanted", ["7", "1", "true", "false", "'a'", "null"])
@pytest.mark.parametrize("item", [1, True, "b"], ids=str)
def test_long_list_is_searched_without_a_call_for_each_item(wanted: str, item: object) -> None:
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    condition = compiled(f"json('$') contains {wanted}")
    document = [item] * 10_000
    sys.setprofile(count)
    try:
        condition.evaluate(lambda _: document)
    finally:
        sys.setprofile(None)
    assert calls < 500


@pytest.mark.parametrize(
    ("text", "fields", "shown"),
    [
        ("exists(header('X'))", {"header": "nginx"}, "exists(header('x')) (actual: 'nginx')"),
        ("exists(header('X'))", {}, "exists(header('x')) (absent)"),
        ("exists(response_time)", {"response_time": 0.25}, "exists(response_time) (actual: 250ms)"),
        (
            "exists(json('$.a'))",
            {"json": Unresolved("it is not JSON")},
            "exists(json('$.a')) (unresolved: it is not JSON)",
        ),
        ("length(body) > 3", {"body": "abc"}, "length(body) > 3 (actual: 3)"),
        ("length(body) > 3", {}, "length(body) > 3 (unresolved: no value)"),
        ("length(json('$.a')) > 3", {"json": 7}, "length(json('$.a')) > 3 (unresolved: 7 has no length)"),
        ("length(json('$.a')) > 3", {"json": None}, "length(json('$.a')) > 3 (unresolved: no value)"),
        ("json('$.a') contains 1", {"json": 7}, "json('$.a') contains 1 (unresolved: 7 cannot contain 1)"),
        ("json('$.a') matches 'x'", {"json": 7}, "json('$.a') matches 'x' (unresolved: 7 is not a string)"),
        (
            "certificate.verified == true",
            {"certificate__verified": True},
            "certificate.verified == true (actual: true)",
        ),
        (
            "certificate.verified == true",
            {"certificate__verified": False},
            "certificate.verified == true (actual: false)",
        ),
        ("response_time < 1s", {"response_time": 0.1}, "response_time < 1s (actual: 100ms)"),
        ("response_time < 1s", {"response_time": 0.0}, "response_time < 1s (actual: 0s)"),
        ("response_time < 1s", {"response_time": 0.10004}, "response_time < 1s (actual: 100.04ms)"),
    ],
)
def test_outcome_shows_the_value_or_why_there_is_none(
    text: str, fields: dict[str, object], shown: str
) -> None:
    assert outcome(text, **fields).text == shown


@pytest.mark.parametrize(
    ("text", "value", "shown"),
    [
        ("json('$.a') < 5", "s3cret", "json('$.a') < 5 (unresolved: '***' cannot be ordered)"),
        ("json('$.a') contains 1", "s3cret", "json('$.a') contains 1 (unresolved: '***' cannot contain 1)"),
        ("json('$.a') == 'x'", "s3cret", "json('$.a') == 'x' (actual: '***')"),
        ("exists(json('$.a'))", "s3cret", "exists(json('$.a')) (actual: '***')"),
        ("json('$.a') < 5", [7], "json('$.a') < 5 (unresolved: [7] cannot be ordered)"),
    ],
)
def test_value_is_masked_in_the_reason_of_an_unresolved_condition(
    text: str, value: object, shown: str
) -> None:
    result = compiled(text).evaluate(lambda _: value, lambda value: "***" if value == "s3cret" else value)
    assert result.text == shown


def test_condition_is_evaluated_on_the_unmasked_value() -> None:
    condition = compiled("json('$.a') == 's3cret'")
    assert condition.evaluate(lambda _: "s3cret", lambda _: "***").holds
