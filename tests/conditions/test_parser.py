import pytest

from monitord.conditions import ConditionError, Vocabulary, parse_condition
from monitord.conditions.parser import MAX_COMPARISONS, MAX_DEPTH, MAX_LIST_ITEMS
from monitord.conditions.tree import And, Not, Or
from tests.conditions.vocabulary import WEB, compiled

A, B, C = "status == 1", "status == 2", "status == 3"


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        (f"{A} or {B} and {C}", f"{A} or {B} and {C}"),
        (f"{A} or ({B} and {C})", f"{A} or {B} and {C}"),
        (f"({A} or {B}) and {C}", f"({A} or {B}) and {C}"),
        (f"(({A})) and (({B}) and {C})", f"{A} and {B} and {C}"),
        (f"{A} or ({B} or {C})", f"{A} or {B} or {C}"),
        (f"not {A} and {B}", f"not {A} and {B}"),
        (f"not ({A} and {B})", f"not ({A} and {B})"),
        (f"not ({A})", f"not {A}"),
        (f"not(not({A}))", f"not not {A}"),
        (f"  {A}\n\tand\r\n{B}  ", f"{A} and {B}"),
        ("status==1 or(status<2)", "status == 1 or status < 2"),
        ("status in[1,2 , 3]", "status in [1, 2, 3]"),
        ("header ( 'X-Y' ) == \"a\"", "header('x-y') == 'a'"),
        ("json(\"$['a']['b c']\") == 1", "json(\"$.a['b c']\") == 1"),
        ("status == 200.0", "status == 200"),
        ("status == -0.50", "status == -0.5"),
        ("status == -0", "status == 0"),
        ("status == 0.00000000001", "status == 0.00000000001"),
        ("response_time < 90000ms", "response_time < 1m30s"),
        ("response_time < 0.1ms", "response_time < 0.0001s"),
        ("response_time < 5", "response_time < 5"),
        ("certificate.expires_in > -24h", "certificate.expires_in > -1d"),
        ("body.length < 65536B", "body.length < 64KiB"),
        (r"""body == 'it\'s "so"'""", r"""body == 'it\'s "so"'"""),
        (r"body == 'it\'s'", '''body == "it's"'''),
        (r"body matches '\d+\.\w'", r"body matches '\d+\.\w'"),
        (r"body == '\\d \\n \n \\'", r"body == '\d \\n \n \\'"),
        (r"body == '\u00e9\U0001F600\u0000'", r"body == 'é😀\u0000'"),
    ],
)  # fmt: skip
def test_text_of_a_condition_is_canonical(text: str, canonical: str) -> None:
    assert str(compiled(text)) == canonical
    assert compiled(canonical).tree == compiled(text).tree


def test_not_binds_closest_then_and_then_or() -> None:
    a, b, c = (compiled(text).tree for text in (A, B, C))
    assert compiled(f"not {A} and {B} or {C}").tree == Or((And((Not(a), b)), c))
    assert compiled(f"{C} or {A} and not {B}").tree == Or((c, And((a, Not(b)))))


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        # unknown names
        ("", 1, "a field is missing before the end; write field operator value"),
        ("   ", 4, "a field is missing before the end; write field operator value"),
        ("status == 1 and", 16, "a field is missing before the end; write field operator value"),
        ("status == 1 and or", 17, "a field is missing before or; write field operator value"),
        ("status", 7, "an operator is expected after status, not the end; write an operator such as ==, < or in"),
        ("status ==", 10, "a value is missing before the end; write a number, 300ms, 64KiB or '…'"),
        ("exists", 7, "exists needs a field before the end; write exists(field)"),
        ("exists()", 8, "a field is missing before ); write field operator value"),
        ("exists(body", 12, "the ( is not closed before the end; write )"),
        ("exists(body) == true", 14, "== is unexpected here; combine comparisons with and, or"),
        ("exist(body)", 1, "there is no field exist; did you mean exists?"),
        ("length(status) > 1", 7, "status is a number, which has no length; write status"),
        ("length(body) > 1.5", 16, "length(body) is a whole number, and 1.5 is not; write 1"),
        ("length(body) < 0", 16, "length(body) is never below 0; it is at least 0"),
        ("length(body) contains 'a'", 14,
         "contains cannot be used with length(body), which is a number; write ==, !=, <, <=, >, >= or in"),
        ("len(body) > 1", 1, "there is no field len; write length(field)"),
        ("count(json('$.a')) > 1", 1, "there is no field count; write length(field)"),
        ("status == null", 11, "null is null, and status is a number; write exists(status) or not exists(status)"),
        ("json('$.a') < null", 15, "null is null, which < cannot take; write a number, a duration or a size"),
        ("body == []", 9, "== takes one value, not a list; use in to accept one of several values"),
        ("null == status", 1, "a comparison begins with a field, not with null; write field operator value; "
         "for one of several values: field in [value, value]"),
        ("status in []", 12, "a value is missing before ]; write a number, 300ms, 64KiB or '…'"),
        ("status in [1", 13, "the [ is not closed before the end; write [value, value]"),
        ("status in [1 2]", 14, "the [ is not closed before 2; write [value, value]"),
        ("(status == 1", 13, "the ( is not closed before the end; write )"),
        ("header('x' == 'y'", 12, "the ( is not closed before ==; write )"),
        ("body == 'x", 9, "the text is not closed; close it with '"),
        ("certificate.verified", 21,
         "an operator is expected after certificate.verified, not the end; write certificate.verified == true"),
        # limits
        ("status == 1)", 12, ") is unexpected here; combine comparisons with and, or"),
        ("status == 1 status == 2", 13, "status is unexpected here; combine comparisons with and, or"),
        ("response_time < 5 parsec", 19,
         'unknown unit "parsec"; use ms, s, m, h or d for a duration, KiB, MiB or GiB for a size'),
        ("status == 1 'x'", 13, "'x' is unexpected here; combine comparisons with and, or"),
        # fields
        ("stauts == 1", 1, "there is no field stauts; did you mean status?"),
        ("status == 1 and heder('x') == 'y'", 17, "there is no field heder; did you mean header?"),
        ("zzz == 1", 1, "there is no field zzz; known fields: body, body.length, certificate.expires_in, "
         "certificate.issuer, certificate.verified, dns.answers, header, json, perfdata, response_time, status"),
        ("status('x') == 1", 7, "status takes no argument; write status"),
        ("header == 'x'", 8, "header needs an argument before ==; write header('…')"),
        ("header() == 'x'", 8, "the argument of header is text; write header('…')"),
        ("header('a b') == 'x'", 8,
         "'a b' is not the name of a header; write letters, digits and dashes"),
        ("json('$.a[x]') == 1", 10,
         "the JSON path cannot continue with [x]; write .name, ['name'], [0] or [-1]"),
        ("json('$.\\'a') == 1", 6,
         "the JSON path cannot continue with .'a; write .name, ['name'], [0] or [-1]"),
        ("1 < status", 1, "a comparison begins with a field, not with 1; write field operator value; "
         "for one of several values: field in [value, value]"),
        ("true == certificate.verified", 1, "a comparison begins with a field, not with true; write field operator "
         "value; for one of several values: field in [value, value]"),
        # operators
        ("status is 1", 8, "an operator is expected after status, not is; write =="),
        (
            "status not in [1]",
            8,
            "not is written before the field; write not status …",
        ),
        ("body exists", 6, "an operator is expected after body, not exists; write exists(body)"),
        ("body", 5,
         "an operator is expected after body, not the end; write exists(body) or an operator such as ==, < or in"),
        ("status == '404'", 11, "'404' is text, and status is a number; write 404 without quotes"),
        ("STATUS == 200", 1, "there is no field STATUS; did you mean status?"),
        (
            "status < response_time",
            10,
            "a value is expected on the right, not response_time; write a value, because two fields cannot be compared",
        ),
        ("status == +1", 11, "+ is unexpected here; write the number alone"),
        ("body contain 'x'", 6, "an operator is expected after body, not contain; did you mean contains?"),
        ("status and body", 8, "an operator is expected after status, not and; write an operator such as ==, < or in"),
        ("status = 1", 8, "= is unexpected here; write =="),
        ("status === 1", 8, "=== is unexpected here; write =="),
        ("status <> 1", 8, "<> is unexpected here; write !="),
        ("body =~ 'x'", 6, "=~ is unexpected here; write matches"),
        ("body ~ 'x'", 6, "~ is unexpected here; write matches"),
        ("status == 1 && status == 2", 13, "&& is unexpected here; write and"),
        ("status == 1 || status == 2", 13, "|| is unexpected here; write or"),
        ("!(status == 1)", 1, "! is unexpected here; write not"),
        ("status == 1 AND status == 2", 13, "AND is unexpected here; write and"),
        ("certificate.verified == True", 25, "True is unexpected here; write true"),
        # values
        ("body == “x”", 9, "“ is unexpected here; write ' or \""),
        ("status == ok", 11, "a value is expected on the right, not ok; write 'ok'"),
        ("status == 99.5%", 15, "% is unexpected here; write the number alone"),
        ("status == $x", 11, "'$' is unexpected here; put strings in quotes"),
        ("status == 1e5", 11, "1e5 is not a number, a duration or a size; write 200, 300ms or 64KiB"),
        ("status == 1.2.3", 11, "1.2.3 is not a number, a duration or a size; write 200, 300ms or 64KiB"),
        ("status == " + "9" * 31, 11, "9" * 31 + " is too long for a number"),
        ("response_time < 5min", 17, "5min is not a number, a duration or a size; write 5m"),
        ("response_time < 5 min", 17, "5 min is not a number, a duration or a size; write 5m"),
        ("response_time < 200y", 17, "200y is not a number, a duration or a size; write 200, 300ms or 64KiB"),
        ("response_time < 36501d", 17, "36501d is out of range; a duration must be from 0 to 100 years"),
        ("body.length < 5mb", 15, "5mb is not a number, a duration or a size; write 5MiB"),
        ("body.length < 5 mb", 15, "5 mb is not a number, a duration or a size; write 5MiB"),
        ("body.length < 64 KiB", 15, "64 KiB contains a space; write 64KiB"),
        ("body.length > -1KiB", 15, "-1KiB is not a number, a duration or a size; write 200, 300ms or 64KiB"),
        ("status == 5 seconds", 11, "5 seconds is not a number, a duration or a size; write 5s"),
        ("status in [1, [2]]", 15, "a value is missing before [; write a number, 300ms, 64KiB or '…'"),
        (r"body == 'a\u12'", 11, r"\u is not a valid escape sequence; write \u and four hexadecimal digits"),
        (r"body == '\U00110000'", 10,
         r"\U00110000 is not a valid escape sequence; write \u and four hexadecimal digits"),
        (r"body == '\ud800'", 9, r"the text contains an unpaired surrogate; write \U and eight digits"),
        ("body == '\ud800'", 9, r"the text contains an unpaired surrogate; write \U and eight digits"),
        # patterns
        ("body matches '(ok'", 15, r"the ( is not closed; write \( for the character"),
        ("body matches 'a**'", 17, r"a repetition cannot follow a repetition; write \* for the character"),
        (r"body matches 'a\.(ok'", 14, r"the ( is not closed; write \( for the character"),
    ],
)  # fmt: skip
def test_invalid_condition_is_rejected_with_column_and_hint(text: str, column: int, message: str) -> None:
    with pytest.raises(ConditionError) as caught:
        compiled(text)
    assert caught.value.column == column
    assert str(caught.value) == f"at column {column}: {message}"


def test_depth_comparisons_and_lists_are_limited() -> None:
    for most, more, problem in (
        ("(" * MAX_DEPTH + A + ")" * MAX_DEPTH, "(" * (MAX_DEPTH + 1) + A, "more than 20 levels"),
        ("not " * MAX_DEPTH + A, "not " * (MAX_DEPTH + 1) + A, "more than 20 levels"),
        (
            " or ".join([A] * MAX_COMPARISONS),
            " or ".join([A] * (MAX_COMPARISONS + 1)),
            "more than 50 comparisons",
        ),
        (
            f"status in {[1] * MAX_LIST_ITEMS}",
            f"status in {[1] * (MAX_LIST_ITEMS + 1)}",
            "more than 100 values",
        ),
    ):
        assert compiled(most).needs == {"status"}
        with pytest.raises(ConditionError, match=problem):
            compiled(more)
    with pytest.raises(ConditionError, match="more than 20 levels"):
        compiled("(" * 2000)


def test_empty_vocabulary_has_no_fields() -> None:
    with pytest.raises(ConditionError, match=r"^at column 1: there is no field status$"):
        parse_condition("status == 1", Vocabulary({}))


def test_error_has_column_message_and_hint() -> None:
    with pytest.raises(ConditionError) as caught:
        parse_condition("stauts == 1", WEB)
    error = caught.value
    assert isinstance(error, ValueError)
    assert (error.column, error.message, error.hint) == (
        1,
        "there is no field stauts",
        "did you mean status?",
    )
