"""Text from outside made safe to show: on a terminal, in a log, on a page."""

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def printable(text: str, *, keep: str = "") -> str:
    """Replace every character that is not printable and not in `keep`.

    That are control characters (ESC among them), bidirectional controls, zero-width characters, line separators and
    halves of surrogate pairs: they move the cursor, reorder or hide what is shown beside them.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in keep else REPLACEMENT for one in text)
