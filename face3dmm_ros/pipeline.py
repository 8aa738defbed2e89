"""Image to tracked, fitted faces: the method on one page, which nodes, command line and evaluation wrap.

1. Detect. `landmarks.search` looks for faces in the whole image and in overlapping tiles of it with BlazeFace
   (Bazarevsky et al., 2019); `landmarks.tracker` follows them from image to image.
2. Landmarks. `landmarks.dense_backend` averages by inverse variance what two networks see: Face Mesh (Kartynnik et al.,
   2019) and one that tells each point's standard deviation (Wood et al., ECCV 2022).
3. Fit. `fitting.joint` finds s, R, t, the identity α and the expression β of a morphable model (Blanz & Vetter,
   SIGGRAPH 1999) by analysis by synthesis (Blanz & Vetter, PAMI 2003): Gauss–Newton on
   Σ ρ(‖s·P·R·X(α, β) + t − x‖² / σ²) and the prior. `fitting.track_fitter` pools α over the track. The methods in
   `regressor` fit to pixels by a network.
4. Colour. `fitting.albedo` tells the person's albedo γ from the colours at the landmarks, apart from the light.
5. Smooth. `smoothing` filters pose and expression over time: a Kalman filter that adapts to its innovations
   (Mehra, 1970), or the One Euro filter (Casiez, Roussel & Vogel, CHI 2012).

Who calls it publishes, draws or measures the faces.
"""

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.values import TrackedFace, TrackedLandmarks
from face3dmm_ros.fitting.albedo import PersonColors
from face3dmm_ros.fitting.face_fitter import FaceFitter
from face3dmm_ros.landmarks.tracker import LandmarkTracker
from face3dmm_ros.smoothing import FaceSmoother


class FacePipeline:
    """Landmarks, then parameters, of every face in a stream of images (or in one picture)."""

    def __init__(
        self,
        tracker: LandmarkTracker,
        fitter: FaceFitter,
        smoother: FaceSmoother | None = None,
        colors: PersonColors | None = None,
    ) -> None:
        """Join the steps, each of which keeps its own state of every track; the last two may be left out."""
        self.tracker = tracker
        self.fitter = fitter
        self.smoother = smoother
        self.colors = colors

    def process(self, image: NDArray[np.uint8], time: float | None = None) -> list[TrackedFace]:
        """The faces in the next image, ordered by face_id; empty where there is none.

        A face that cannot be fitted is left out; the others are returned all the same.

        Args:
            image: (H, W, 3) BGR uint8.
            time: when it was taken, s, for the smoother; None switches smoothing off.

        Raises:
            Face3DMMError: the image is not such an array, or none of its faces can be fitted.
        """
        found = self.tracker.track(image)  # 1, 2
        self._forget_all_but(found)
        faces, failures = [], []
        for tracked in found:
            try:
                face = TrackedFace(tracked.face_id, tracked.landmarks, self.fitter.fit(tracked, image))  # 3
                if self.colors is not None:
                    face = self.colors.color(face)  # 4
                if self.smoother is not None and time is not None:
                    face = self.smoother.smooth(face, time)  # 5
                faces.append(face)
            except Face3DMMError as error:
                failures.append(error)
        if failures and not faces:
            raise failures[0]
        return faces

    def reset(self) -> None:
        """Forget all tracks: the next image has nothing to do with the last."""
        self.tracker.reset()
        self._forget_all_but([])

    def _forget_all_but(self, faces: list[TrackedLandmarks]) -> None:
        for step in (self.fitter, self.smoother, self.colors):
            if step is not None:
                step.retain({face.face_id for face in faces})
