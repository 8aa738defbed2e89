"""What is known of a film's faces: the values that travel between this room's steps."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.values import FaceParameters


@dataclass(frozen=True, eq=False)
class FaceTrack:
    """One face's way through a film.

    Attributes:
        face_id: its number.
        frames: (n,) indices of the film's images in which it was found, ascending.
        parameters: of the face in each of them; all have one identity and one colour.
    """

    face_id: int
    frames: NDArray[np.int32]
    parameters: list[FaceParameters]

    @property
    def beta(self) -> NDArray[np.float64]:
        """(n, E) expression coefficients."""
        return np.array([face.beta for face in self.parameters])

    @property
    def confidence(self) -> NDArray[np.float64]:
        """(n,) in [0, 1]."""
        return np.array([face.confidence for face in self.parameters])


@dataclass(frozen=True, eq=False)
class TrackedFilm:
    """A film and its faces.

    Attributes:
        name: of the film, for people.
        times: (T,) s, when each of its images is shown; the first at 0.
        image_size: (width, height) of its largest image, px.
        tracks: of its faces, ordered by face_id.
    """

    name: str
    times: NDArray[np.float64]
    image_size: tuple[int, int]
    tracks: list[FaceTrack]

    @property
    def rate(self) -> float:
        """Images per second, by the median of the times between them; 30 for a single image."""
        return float(1.0 / np.median(np.diff(self.times))) if len(self.times) > 1 else 30.0
