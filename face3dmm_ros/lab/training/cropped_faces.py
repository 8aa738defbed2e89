"""Faces with their ground truth, cropped, mirrored and augmented for a network."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.lab.training.augmentation import disturbed, jittered
from face3dmm_ros.lab.training.face_chunks import FaceRecord, FaceSource
from face3dmm_ros.lab.training.face_mirror import FaceMirror
from face3dmm_ros.lab.training.losses import face_bases
from face3dmm_ros.lab.training.samples import FaceSample, SampleForm
from face3dmm_ros.landmarks import dense_network
from face3dmm_ros.landmarks.region import Region
from face3dmm_ros.landmarks.schemes import MEDIAPIPE478, SKIN_COUNT
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.regressor.crops import IBUG68_MIRROR, SIDE, CropView, face_region


class CroppedFaces:
    """A `FaceDataset` over any source of faces.

    With `augment`, a crop lies as a detector might have it, is mirrored every other time where the model has mirror
    images, and is disturbed as `augmentation.disturbed` does; otherwise it lies exactly and is left as it is. A
    mirrored face keeps its γ: albedo is taken to be symmetric, as the default model's is.
    """

    def __init__(
        self, source: FaceSource, model: MorphableModel, form: SampleForm | None = None, undisturbed: float = 0.0
    ) -> None:
        """Crop the faces of a source.

        Args:
            source: of the faces; those that are labelled must have as much γ as is asked for.
            model: whose coefficients these have.
            form: of the samples.
            undisturbed: share of the augmented samples whose crop is close and its pixels as they are.

        Raises:
            Face3DMMError: the form asks for more coefficients than the model has, `undisturbed` is no share, or the
                model lacks the points that place a dense network's crop.
        """
        if isinstance(undisturbed, bool) or not isinstance(undisturbed, int | float) or not 0 <= undisturbed <= 1:
            raise Face3DMMError(f"undisturbed must be a share from 0 to 1, not {undisturbed!r}")
        form = form or SampleForm()
        self._undisturbed = float(undisturbed)
        self.source = source
        self.shape_count = _count("shape_count", form.shape_count, model.shape_count)
        self.expression_count = _count("expression_count", form.expression_count, model.expression_count)
        self.texture_count = _count("texture_count", form.texture_count, len(model.albedo_sigma))
        self._mirror = FaceMirror.of(model, self.shape_count, self.expression_count)
        self._skin = face_bases(model, model.scheme(MEDIAPIPE478).at(slice(SKIN_COUNT))) if form.dense else None

    def __len__(self) -> int:
        """How many faces there are."""
        return len(self.source)

    def sample(self, index: int, rng: np.random.Generator, augment: bool) -> FaceSample:
        """A face, cropped.

        Raises:
            Face3DMMError: a picture that has become unreadable.
        """
        record = self.source.record(index)
        region, mirrored, disturb = self._region(record), False, False
        if augment:
            disturb = bool(rng.random() >= self._undisturbed)
            region = jittered(rng, region) if disturb else jittered(rng, region, far_share=0.0)
            mirrored = bool(rng.random() < 0.5) and (self._mirror is not None or not record.labelled)
        view = CropView(region, SIDE if self._skin is None else dense_network.SIDE, mirrored)
        landmarks = view.points(record.landmarks, IBUG68_MIRROR)
        crop = view.pixels(record.picture)
        if disturb:
            crop = disturbed(rng, crop, landmarks)
        camera = view.camera(record.camera) if record.labelled else _UNKNOWN
        pose = camera.scale, camera.rotation.astype(np.float32), camera.translation.astype(np.float32)
        alpha, beta, gamma = self._coefficients(record, mirrored)
        return FaceSample(crop, *pose, alpha, beta, gamma, landmarks, record.labelled)

    def _region(self, record: FaceRecord) -> Region:
        """The region of the exact crop."""
        if self._skin is None:
            return face_region(record.landmarks)
        alpha, beta = (torch.from_numpy(values)[None].float() for values in (record.alpha, record.beta))
        return dense_network.upright_region(record.camera.project(self._skin.vertices(alpha, beta)[0].numpy()))

    def _coefficients(self, record: FaceRecord, mirrored: bool) -> Sequence[NDArray[np.float32]]:
        """The leading α, β and γ."""
        counts = self.shape_count, self.expression_count, self.texture_count
        if not record.labelled:
            return [np.zeros(count, np.float32) for count in counts]
        every = record.alpha, record.beta, record.gamma
        alpha, beta, gamma = (values[:count] for values, count in zip(every, counts, strict=True))
        if mirrored and self._mirror is not None:
            alpha, beta = self._mirror.alpha(alpha), self._mirror.beta(beta)
        return [np.asarray(values, np.float32) for values in (alpha, beta, gamma)]


_UNKNOWN = WeakPerspective(1.0, np.eye(3), np.zeros(2))


def _count(what: str, asked: int | None, there: int) -> int:
    count = there if asked is None else asked
    if not 0 <= count <= there:
        raise Face3DMMError(f"{what} must be a number from 0 to the model's {there}, not {count}")
    return count
