"""A part that is built when it is first asked for: once, whichever thread asks first."""

from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

Part = TypeVar("Part")


class Once(Generic[Part]):
    """Holds how a part is built; a part that nobody asks for costs nothing. What it is built from is then let go."""

    def __init__(self, build: Callable[[], Part]) -> None:
        self._builds, self._lock = [build], Lock()
        self._parts: list[Part] = []

    def __call__(self) -> Part:
        """Return the part, the same for all threads."""
        if not self._parts:
            with self._lock:
                if not self._parts:
                    self._parts.append(self._builds[0]())
                    self._builds.clear()
        return self._parts[0]
