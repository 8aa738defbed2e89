"""Image to tracked, fitted faces: the one implementation that nodes, command line and evaluation wrap."""

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.fitting import TrackFitter
from face3dmm_ros.landmarks.tracker import LandmarkTracker
from face3dmm_ros.values import TrackedFace


class FacePipeline:
    """Landmarks, then parameters, of every face in a stream of images (or in one picture)."""

    def __init__(self, tracker: LandmarkTracker, fitter: TrackFitter) -> None:
        """Join a tracker and a fitter, which keep the state of the tracks."""
        self.tracker = tracker
        self.fitter = fitter

    def process(self, image: NDArray[np.uint8]) -> list[TrackedFace]:
        """The faces in the next image, (H, W, 3) BGR uint8, ordered by face_id; empty where there is none.

        Raises:
            Face3DMMError: not such an image.
        """
        tracked = self.tracker.track(image)
        self.fitter.retain({face.face_id for face in tracked})
        return [TrackedFace(face.face_id, face.landmarks, self.fitter.fit(face)) for face in tracked]

    def reset(self) -> None:
        """Forget all tracks: the next image has nothing to do with the last."""
        self.tracker.reset()
        self.fitter.reset()
