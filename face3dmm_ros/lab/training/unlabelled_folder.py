"""Photographs in which a detector finds the landmarks: what 2DASL learns from beside labelled pictures.

Tu et al., 3D Face Reconstruction from a Single Image Assisted by 2D Face Images in the Wild, IEEE Transactions on
Multimedia 2021.
"""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.values import TrackedLandmarks
from face3dmm_ros.files.pictures import find_pictures, read_picture
from face3dmm_ros.fitting import TrackFitter
from face3dmm_ros.lab.training.cropped_faces import CroppedFaces
from face3dmm_ros.lab.training.face_chunks import FaceRecord
from face3dmm_ros.lab.training.picture_folder import CACHE, kept_faces
from face3dmm_ros.lab.training.samples import SampleForm
from face3dmm_ros.landmarks import LandmarkTracker, create_backend
from face3dmm_ros.landmarks.schemes import IBUG68
from face3dmm_ros.morphable_model import MorphableModel, load_model

_MAX_FACES = 20  # in a picture; chosen by hand, as is the next
_SMALLEST_FACE = 24.0  # px, of the landmarks' box: less than that shows no expression


def open_unlabelled_folder(
    path: str | Path,
    model: str = "default",
    form: SampleForm | None = None,
    backend: str = "dense",
    cache: str | Path | None = None,
) -> CroppedFaces:
    """A data set of all faces that a detector finds in a folder of photographs. What cannot be read is left out.

    Args:
        path: of the folder, which may have subfolders.
        model: gives a dense detector's points the meaning of its own 68; as `load_model` takes it.
        form: of the samples, whose coefficients are zero.
        backend: the detector; see `create_backend`.
        cache: folder to keep the faces in; `CACHE` below the path if None.

    Raises:
        Face3DMMError: there is no picture, none shows a face, the detector is unknown or not installed, or the cache
            cannot be written to.
    """
    folder, loaded = Path(path), load_model(model)
    pictures = find_pictures(folder)
    # Loaded only where faces are not kept yet.
    finder = functools.cache(lambda: LandmarkFinder(loaded, backend))
    nowhere = WeakPerspective(1.0, np.eye(3), np.zeros(2))
    nobody = np.zeros(loaded.shape_count), np.zeros(loaded.expression_count), np.zeros(len(loaded.albedo_sigma))

    def faces(picture: Path) -> Sequence[FaceRecord]:
        try:
            image = read_picture(picture, upright=True)
        except Face3DMMError:
            return ()
        return [FaceRecord(image, nowhere, *nobody, landmarks, labelled=False) for landmarks in finder().find(image)]

    kept = kept_faces(pictures, Path(cache or folder / CACHE), f"unlabelled {backend}", loaded, faces)
    return CroppedFaces(kept, loaded, form)


class LandmarkFinder:
    """The 68 landmarks of the faces in single pictures."""

    def __init__(self, model: MorphableModel, backend: str) -> None:
        """Load a detector.

        Raises:
            Face3DMMError: the detector is unknown or not installed.
        """
        self._model = model
        self._tracker = LandmarkTracker(create_backend(backend), max_faces=_MAX_FACES)
        self._fitter = TrackFitter(model)

    def find(self, image: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
        """The landmarks (68, 2), px, of each face that is large enough, the largest first."""
        self._tracker.reset()
        self._fitter.reset()
        found = [self._ibug68(face) for face in self._tracker.track(image)]
        size = [float(np.ptp(points, axis=0).max()) for points in found]
        return [found[i] for i in np.argsort(size)[::-1] if size[i] >= _SMALLEST_FACE]

    def _ibug68(self, face: TrackedLandmarks) -> NDArray[np.float64]:
        """The face's 68 points; for a denser scheme those of the model fitted to it.

        A dense scheme's own points lie beside iBUG's along jaw and brows, and a network would learn the difference.
        """
        if face.landmarks.scheme == IBUG68:
            return face.landmarks.points.astype(np.float64)
        fitted = self._fitter.fit(face)
        vertices = self._model.vertices(fitted.alpha, fitted.beta)
        return fitted.camera.project(self._model.scheme(IBUG68).interpolate(vertices))
