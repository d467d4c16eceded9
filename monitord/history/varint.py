"""Whole numbers from 0 up, small ones in one byte (LEB128): what rows of a million want to be packed as."""

from collections.abc import Iterable

_LOW = 0x7F
_MORE = 0x80


def pack(numbers: Iterable[int]) -> bytes:
    out = bytearray()
    for number in numbers:
        rest = number
        while rest > _LOW:
            out.append(rest & _LOW | _MORE)
            rest >>= 7
        out.append(rest)
    return bytes(out)


def unpack(data: bytes) -> list[int]:
    """The inverse. A number that is cut off at the end, which only damage brings about, is left out."""
    numbers: list[int] = []
    append = numbers.append
    number = shift = 0
    for byte in data:
        if byte > _LOW:
            number |= (byte & _LOW) << shift
            shift += 7
        elif shift:
            append(number | byte << shift)
            number = shift = 0
        else:
            append(byte)
    return numbers
