"""Packed integers."""

from hypothesis import given
from hypothesis import strategies as st

from monitord.history.encoding import pack_integers, unpack_integers


@given(st.lists(st.integers(0, 1 << 80)))
def test_packed_integers_are_unpacked(numbers: list[int]) -> None:
    assert unpack_integers(pack_integers(numbers)) == numbers


@given(st.binary())
def test_any_bytes_can_be_unpacked(data: bytes) -> None:
    assert all(number >= 0 for number in unpack_integers(data))


def test_small_integers_take_one_byte() -> None:
    assert [len(pack_integers([number])) for number in (0, 127, 128, 16_383, 16_384)] == [1, 1, 2, 2, 3]
