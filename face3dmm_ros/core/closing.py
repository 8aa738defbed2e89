"""What is closed at the end of a `with`."""

from abc import ABC, abstractmethod
from typing import TypeVar

_Opened = TypeVar("_Opened", bound="Closing")


class Closing(ABC):
    """Something open, as a context manager."""

    def __enter__(self: _Opened) -> _Opened:
        """It is open already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Close it, once; it cannot be used any more."""
