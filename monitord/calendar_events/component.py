"""One field of a calendar event: a list of numbers, ranges and repetitions, "1,5..9,10/3"."""

from collections.abc import Iterable
from dataclasses import dataclass

SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True, order=True)
class Component:
    """`start`; with a `step` also the numbers that follow in steps, up to `stop` or to the end of the field.

    -1 means no stop and 0 no step, as in systemd, so that components sort in the same order.
    """

    start: int
    stop: int = -1
    step: int = 0

    def normalised(self) -> "Component":
        """Return the component with its stop lowered to its last number, and without a step if it is one number."""
        stop = self.stop
        if stop > self.start and self.step > 0:
            stop -= (stop - self.start) % self.step
        if stop == self.start:
            return Component(self.start)
        return Component(self.start, stop, self.step)

    def first_from(self, value: int) -> int | None:
        """Return the first number that is not less than `value`; a step without a stop is unbounded."""
        if self.start >= value:
            return self.start
        if self.step == 0:
            return None
        first = self.start + -(-(value - self.start) // self.step) * self.step
        return first if self.stop < 0 or first <= self.stop else None

    def last_until(self, value: int) -> int | None:
        """Return the last number that is not greater than `value`."""
        if self.start > value:
            return None
        end = value if self.stop < 0 else min(value, self.stop)
        return self.start if self.step == 0 else self.start + (end - self.start) // self.step * self.step


Chain = tuple[Component, ...]
"""Components in the order of their starts, without duplicates. Empty: any number."""


def chain_of(components: Iterable[Component]) -> Chain:
    return tuple(sorted({component.normalised() for component in components}))


def numbers(chain: Chain, low: int, high: int) -> tuple[int, ...]:
    """Return the numbers of the chain within the bounds, in ascending order."""
    if not chain:
        return tuple(range(low, high + 1))
    selected: set[int] = set()
    for component in chain:
        last = component.last_until(high)
        if last is not None:
            selected.update(
                range(component.start, last + 1, component.step or 1) if component.step else (last,)
            )
    return tuple(sorted(number for number in selected if number >= low))


def first_from(chain: Chain, value: int) -> int | None:
    firsts = [first for component in chain if (first := component.first_from(value)) is not None]
    return min(firsts, default=None)


def last_until(chain: Chain, value: int) -> int | None:
    lasts = [last for component in chain if (last := component.last_until(value)) is not None]
    return max(lasts, default=None)


def chain_text(chain: Chain, width: int) -> str:
    """Return whole numbers as systemd writes them: 00/15, 01..05."""
    texts = []
    for component in chain:
        text = f"{component.start:0{width}}"
        if component.stop > 0:
            text += f"..{component.stop:0{width}}"
        if component.step > 0 and not (component.stop > 0 and component.step == 1):
            text += f"/{component.step}"
        texts.append(text)
    return ",".join(texts) or "*"


def seconds_text(chain: Chain) -> str:
    """Return microseconds as seconds: "*", 00, 00/30, 00.500000."""
    if any(component == Component(0, -1, SECOND_US) for component in chain):
        return "*"
    texts = []
    for component in chain:
        text = _seconds(component.start, 2)
        if component.stop > 0:
            text += f"..{_seconds(component.stop, 2)}"
        if component.step > 0 and not (component.stop > 0 and component.step == SECOND_US):
            text += f"/{_seconds(component.step, 1)}"
        texts.append(text)
    return ",".join(texts)


def _seconds(microseconds: int, width: int) -> str:
    whole, fraction = divmod(microseconds, SECOND_US)
    return f"{whole:0{width}}" + (f".{fraction:06}" if fraction else "")
