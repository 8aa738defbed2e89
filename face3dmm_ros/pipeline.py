"""Image to tracked, fitted faces: the one implementation that nodes, command line and evaluation wrap."""

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.values import TrackedFace
from face3dmm_ros.fitting.albedo import PersonColors
from face3dmm_ros.fitting.face_fitter import FaceFitter
from face3dmm_ros.fitting.smoothing import FaceSmoother
from face3dmm_ros.landmarks.tracker import LandmarkTracker


class FacePipeline:
    """Landmarks, then parameters, of every face in a stream of images (or in one picture)."""

    def __init__(
        self,
        tracker: LandmarkTracker,
        fitter: FaceFitter,
        smoother: FaceSmoother | None = None,
        colors: PersonColors | None = None,
    ) -> None:
        """Join a tracker, a fitter and, if wanted, a smoother and colours, which keep the state of the tracks."""
        self.tracker = tracker
        self.fitter = fitter
        self.smoother = smoother
        self.colors = colors

    def process(self, image: NDArray[np.uint8], time: float | None = None) -> list[TrackedFace]:
        """The faces in the next image, ordered by face_id; empty where there is none.

        A face that cannot be fitted is left out, so that it does not take its neighbours with it.

        Args:
            image: (H, W, 3) BGR uint8.
            time: when it was taken, s, for the smoother; without it nothing is smoothed.

        Raises:
            Face3DMMError: not such an image, or none of its faces can be fitted.
        """
        tracked = self.tracker.track(image)
        face_ids = {face.face_id for face in tracked}
        for keeper in self._keepers:
            keeper.retain(face_ids)
        faces, failures = [], []
        for face in tracked:
            try:
                fitted = TrackedFace(face.face_id, face.landmarks, self.fitter.fit(face, image))
                faces.append(fitted if self.colors is None else self.colors.color(fitted))
            except Face3DMMError as error:
                failures.append(error)
        if failures and not faces:
            raise failures[0]
        if self.smoother is None or time is None:
            return faces
        return [self.smoother.smooth(face, time) for face in faces]

    def reset(self) -> None:
        """Forget all tracks: the next image has nothing to do with the last."""
        self.tracker.reset()
        for keeper in self._keepers:
            keeper.reset()

    @property
    def _keepers(self) -> "list[FaceFitter | FaceSmoother | PersonColors]":
        """What has a memory of each track."""
        return [keeper for keeper in (self.fitter, self.smoother, self.colors) if keeper is not None]
