"""For properties over random inputs of which some are refused: a property that held for none would be no test."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from hypothesis import event, reject

from recops.errors import InputError

Made = TypeVar("Made")


class Acceptance:
    """Counts the examples that were accepted and those that were refused."""

    def __init__(self) -> None:
        self.num_accepted = self.num_refused = 0

    def __call__(self, make: Callable[[], Made]) -> Made:
        """Return what is made; an example that is refused does not count as one for Hypothesis, which draws another."""
        try:
            made = make()
        except InputError:
            self.num_refused += 1
            event("refused")
            reject()
        self.num_accepted += 1
        event("accepted")
        return made


@contextmanager
def mostly_accepted() -> Iterator[Acceptance]:
    """Give what counts the examples of the property that runs inside; most of them must be accepted."""
    acceptance = Acceptance()
    yield acceptance
    assert acceptance.num_accepted > acceptance.num_refused, "the property holds for few of the inputs drawn"
