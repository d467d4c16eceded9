"""Estimate of the work to parse a DNS message, made before dnspython parses it.

A name can refer to an earlier name (RFC 1035, section 4.1.4), so two bytes can represent 255. A message of 64 KiB with
four thousand such names takes dnspython five seconds and blocks the event loop.
"""

import struct

MAX_COST = 13_000
"""Limit in labels of owner names, which take dnspython about 3 µs each: 40 ms in total."""

RECORD_COST = 3
DATA_LABEL_COST = 4
"""A label in the data of a record is also formatted as text and compared."""
BYTES_PER_COST = 2
"""Bytes of record data: some types have an item in each byte or two."""

_COUNTS = struct.Struct("!4xHHHH")
_HEADER_BYTES = 12
_QUESTION_BYTES = 4
_RECORD = struct.Struct("!HHIH")
_POINTER = 0xC0
_POINTER_OFFSET = 0x3FFF
_MAX_LABELS = 128

_HIP, _NAPTR = 55, 35
_DATA_NAMES = {
    **dict.fromkeys((2, 3, 4, 5, 7, 8, 9, 12, 39, 47), (0, 1)),  # NS, CNAME, PTR, DNAME, NSEC and others
    **dict.fromkeys((6, 14, 17, 58), (0, 2)),  # SOA, MINFO, RP, TALINK
    **dict.fromkeys((15, 18, 21, 36, 64, 65, 107), (2, 1)),  # MX, AFSDB, RT, KX, SVCB, HTTPS, LP
    26: (2, 2),  # PX
    33: (6, 1),  # SRV
    **dict.fromkeys((24, 46), (18, 1)),  # SIG, RRSIG
    45: (3, 1),  # IPSECKEY
    66: (5, 1),  # DSYNC
    260: (2, 1),  # AMTRELAY
    **dict.fromkeys((249, 250), (0, 1)),  # TKEY, TSIG
}
"""Offset of the first name in the data of a record type, and the number of names."""


def cost_of(wire: bytes) -> int:
    """Return the cost, or a number above MAX_COST as soon as the sum exceeds it; 0 for a truncated message."""
    try:
        return _cost_of(wire)
    except (IndexError, struct.error):  # dnspython reports the error
        return 0


def _cost_of(wire: bytes) -> int:
    questions, *others = _COUNTS.unpack_from(wire)
    cost: int = 0
    at = _HEADER_BYTES
    for _ in range(questions):
        labels, at = _name(wire, at)
        at += _QUESTION_BYTES
        cost += RECORD_COST + labels
        if cost > MAX_COST:
            return cost
    for _ in range(sum(others)):
        labels, at = _name(wire, at)
        kind, _, _, length = _RECORD.unpack_from(wire, at)
        at += _RECORD.size
        cost += RECORD_COST + labels + int(length) // BYTES_PER_COST
        cost += DATA_LABEL_COST * _labels_of_data(wire, kind, at, at + length)
        at += length
        if cost > MAX_COST:
            return cost
    return cost


def _labels_of_data(wire: bytes, kind: int, at: int, end: int) -> int:
    offset, names = _DATA_NAMES.get(kind, (0, 0))
    at += offset
    if kind == _NAPTR:
        names, at = 1, at + 4
        for _ in range(3):  # character strings
            at += 1 + wire[at]
    elif kind == _HIP:
        names, at = end - at, at + 4 + wire[at] + int.from_bytes(wire[at + 2 : at + 4])
    labels = 0
    for _ in range(names):
        if at >= end or labels * DATA_LABEL_COST > MAX_COST:
            break
        more, at = _name(wire, at)
        labels += more
    return labels


def _name(wire: bytes, at: int) -> tuple[int, int]:
    """Return the number of labels of a name, and its end. Raises IndexError at the end of the message."""
    end, labels, first = None, 0, at
    while labels < _MAX_LABELS:
        size = wire[at]
        if size >= _POINTER:
            target = (size << 8 | wire[at + 1]) & _POINTER_OFFSET
            end = at + 2 if end is None else end
            if target >= first:  # only references to earlier names are valid
                break
            first = at = target
            continue
        labels += 1
        at += 1 + size
        if not size:
            break
    return labels, at if end is None else end
