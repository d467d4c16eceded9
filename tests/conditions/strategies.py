"""Conditions made at random: as texts that must compile, as texts that may, and values to meet them."""

from hypothesis import strategies as st

TEXTS = st.text(max_size=12) | st.sampled_from(
    ["\\d+", "it's", 'say "x"', "\\", "\\n", "\n\\", "\x00", "é", "😀", "'\""]
)


def quoted(text: str) -> str:
    """Plainer than the module's own way: every backslash and quote is escaped, nothing else is."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


TEXT_VALUES = TEXTS.map(quoted)
NUMBERS = st.integers(-(10**20), 10**20).map(str) | st.decimals(
    -1000, 1000, places=6, allow_nan=False, allow_infinity=False
).map(lambda number: format(number, "f"))
COUNTS = st.integers(1, 10**9).map(str)
DURATIONS = st.builds(
    "{}{}".format,
    st.integers(0, 1000) | st.decimals(0, 100, places=4),
    st.sampled_from(["ms", "s", "m", "h", "d"]),
) | st.sampled_from(["1h30m", "-1d", "0.0000001s", "1m0.1s", "0s"])
SIZES = st.builds("{}{}".format, st.integers(0, 5000), st.sampled_from(["B", "kB", "KiB", "MiB"]))
FLAGS = st.sampled_from(["true", "false"])
ORDER = st.sampled_from(["<", "<=", ">", ">="])
EQUALITY = st.sampled_from(["==", "!="])
PATTERNS = st.sampled_from([r"'\d+'", "'^ok$'", "'(a|b)*c'", "'[^a-z]{2,3}'", r"'\bup\b'", "'.*x'"])
PATHS = st.sampled_from(["'$'", "'$.a'", "'$.a.b[0]'", "'$[-1]'", "\"$['a b']\"", "\"$['it\\\\'s']\""])


def listed(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(values, min_size=1, max_size=4).map(lambda items: f"[{', '.join(items)}]")


def joined(*parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map(" ".join)


def numeric(field: str, values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return joined(st.just(field), EQUALITY | ORDER, values) | joined(st.just(f"{field} in"), listed(values))


def textual(field: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return (
        joined(field, EQUALITY | st.just("contains"), TEXT_VALUES)
        | joined(field, st.just("matches"), PATTERNS)
        | joined(field, st.just("in"), listed(TEXT_VALUES))
    )


JSON_FIELD = PATHS.map(lambda path: f"json({path})")
ANY_VALUES = NUMBERS | DURATIONS | SIZES | FLAGS | TEXT_VALUES
COMPARISONS = (
    numeric("status", NUMBERS)
    | numeric("response_time", DURATIONS | NUMBERS)
    | numeric("body.length", SIZES | NUMBERS)
    | textual(st.sampled_from(["body", "header('Content-Type')", "header('X')"]))
    | joined(st.just("certificate.verified"), EQUALITY, FLAGS)
    | joined(st.just("dns.answers"), EQUALITY, listed(TEXT_VALUES))
    | textual(JSON_FIELD)
    | joined(JSON_FIELD, EQUALITY, ANY_VALUES | listed(ANY_VALUES))
    | joined(JSON_FIELD, ORDER, NUMBERS | DURATIONS | SIZES)
    | joined(JSON_FIELD, EQUALITY, st.sampled_from(["null", "[]", "[1, null]"]))
    | numeric("length(body)", COUNTS)
    | numeric("length(json('$.a'))", COUNTS)
    | numeric("length(dns.answers)", COUNTS)
    | st.sampled_from(["exists(status)", "exists(header('X'))"])
)
CONDITIONS = st.recursive(
    COMPARISONS,
    lambda inner: (
        joined(inner, st.sampled_from(["and", "or"]), inner)
        | inner.map(lambda text: f"({text})")
        | inner.map(lambda text: f"not {text}")
        | inner.map(lambda text: f"not ({text})")
    ),
    max_leaves=8,
)

FRAGMENTS = st.sampled_from(
    [
        "status", "body", "json", "json('$.a')", "header('X')", "dns.answers", "certificate.verified", "nonsense",
        "==", "!=", "<", "<=", "contains", "matches", "in", "and", "or", "not", "(", ")", "[", "]", ",", "=", "&&",
        "200", "-1", "1.5", "300ms", "5 min", "64KiB", "1e5", "9" * 40, "'ok'", "'(a+)+$'", "'['", "'\\", '"', "true",
        "null", "exists", "length",
    ]
)  # fmt: skip
NEAR_CONDITIONS = st.lists(FRAGMENTS | st.text(max_size=5), max_size=12).map(" ".join)

# All values that a field can have, including unusual JSON values.
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80) | st.just(10**4000),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
