"""State per tracked face, by its face_id."""

from collections.abc import Collection
from typing import Generic, TypeVar

Memory = TypeVar("Memory")


class FaceMemory(Generic[Memory]):
    """Base class of what keeps state of each tracked face from one image to the next."""

    def __init__(self) -> None:
        """Begin without any face."""
        self._faces: dict[int, Memory] = {}

    def retain(self, face_ids: Collection[int]) -> None:
        """Forget all faces but these."""
        self._faces = {face_id: known for face_id, known in self._faces.items() if face_id in face_ids}

    def reset(self) -> None:
        """Forget all faces."""
        self._faces.clear()
