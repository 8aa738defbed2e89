"""What a training's configuration asks of a batch: the losses, put together from what the network says of it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from face3dmm_ros.lab.training import losses
from face3dmm_ros.lab.training.config import LossesConfig
from face3dmm_ros.lab.training.samples import SampleBatch
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.morphable_model.model import SurfacePoints
from face3dmm_ros.regressor.face_regressor import FaceRegressor
from face3dmm_ros.regressor.landmark_map import landmark_maps
from face3dmm_ros.regressor.parameter_layout import ParameterBatch, ParameterLayout, Whitening

_VERTEX_COUNT = 512
"""Vertices that stand for the whole face in VDC and WPDC."""

Network = Callable[[Tensor], Tensor]
"""From normalised inputs (B, 3 or 4, 120, 120) to whitened vectors (B, size), float32."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What a network says of a batch, and what is true.

    Attributes:
        inputs: (B, 3 or 4, 120, 120), what it was asked.
        white: (B, size), its answer.
        faces: the same, decoded.
        target: (B, size) whitened truth; meaningless where `batch.labelled` is False.
        batch: the samples.
    """

    inputs: Tensor
    white: Tensor
    faces: ParameterBatch
    target: Tensor
    batch: SampleBatch


class Objectives:
    """The losses of a training but the self-critic's."""

    def __init__(
        self, config: LossesConfig, model: MorphableModel, regressor: FaceRegressor, landmark_map: bool
    ) -> None:
        """Of a regressor on its device.

        Raises:
            Face3DMMError: the model has no iBUG landmarks.
        """
        self._config = config
        self._regressor = regressor
        self._landmark_map = landmark_map
        device = regressor.mean.device
        self.layout: ParameterLayout = regressor.layout
        self.whitening: Whitening = regressor.whitening
        self.landmarks = losses.face_bases(model, model.scheme("ibug68")).to(device)
        self._surface = losses.face_bases(model, SurfacePoints.at_vertices(_spread_vertices(model))).to(device)

    def ask(self, network: Network, batch: SampleBatch, landmark_noise: float = 0.0) -> Answer:
        """Put a batch to a network; crops that need a landmark map get it of their landmarks, so far off (σ, px)."""
        landmarks = batch.parameters.landmarks
        if landmarks is not None and self._landmark_map and landmark_noise:
            landmarks = landmarks + landmark_noise * torch.randn_like(landmarks)
        return self._asked(network, batch, landmarks)

    def losses(self, network: Network, answer: Answer) -> dict[str, Tensor]:
        """Each loss that the configuration names, unweighted.

        The network is asked once more where its own landmarks are to be put to it: by 2DASL's consistency in 3D and
        its cycle.
        """
        config, layout, whitening = self._config, self.layout, self.whitening
        truth, labelled = answer.batch.parameters, answer.batch.labelled
        white, target = answer.white[labelled], answer.target[labelled]
        projected = self.landmarks.projected(answer.faces)
        assert truth.landmarks is not None
        values: dict[str, Tensor] = {}
        if config.asymmetric_euclidean is not None:
            numbers = layout.parameter_slice
            asymmetry = config.asymmetric_euclidean.over, config.asymmetric_euclidean.under
            values["asymmetric_euclidean"] = losses.asymmetric_euclidean(
                white[:, numbers], target[:, numbers], *asymmetry
            )
        if config.weighted_coefficient is not None:
            values["weighted_coefficient"] = losses.weighted_coefficient(
                white, target, layout, whitening, self.landmarks
            )
        if config.weighted_parameter_distance is not None:
            values["weighted_parameter_distance"] = losses.weighted_parameter_distance(
                white, target, layout, whitening, self._surface
            )
        if config.vertex_distance is not None:
            values["vertex_distance"] = losses.vertex_distance(
                answer.faces.at(labelled), truth.at(labelled), self._surface, config.vertex_distance.power
            )
        if config.shape_distance is not None:
            values["shape_distance"] = losses.shape_distance(
                answer.faces.at(labelled), truth.at(labelled), self._surface
            )
        if config.rotation_distance is not None:
            values["rotation_distance"] = losses.rotation_distance(
                answer.faces.rotation[labelled], truth.rotation[labelled]
            )
        if config.landmark_2d is not None:
            values["landmark_2d"] = losses.landmark_2d(projected, truth.landmarks)
        if config.landmark_likelihood is not None:
            assert answer.faces.landmarks is not None
            log_deviation = whitening.unwhiten(answer.white)[:, layout.log_deviation_slice]
            values["landmark_likelihood"] = losses.landmark_likelihood(
                answer.faces.landmarks, log_deviation, truth.landmarks
            )
        if config.landmark_3d is not None or config.cycle is not None:
            again = self._asked(network, answer.batch, projected.detach()).faces
            if config.landmark_3d is not None:
                values["landmark_3d"] = losses.landmark_3d(
                    self.landmarks.vertices(answer.faces.alpha, answer.faces.beta),
                    self.landmarks.vertices(again.alpha, again.beta),
                )
            if config.cycle is not None:
                values["cycle"] = losses.cycle(self.landmarks.projected(again), truth.landmarks)
        return values

    def _asked(self, network: Network, batch: SampleBatch, landmarks: Tensor | None) -> Answer:
        maps = landmark_maps(landmarks) if self._landmark_map and landmarks is not None else None
        inputs = self._regressor.normalise(batch.crops, maps).contiguous(memory_format=torch.channels_last)
        white = network(inputs)
        return Answer(
            inputs=inputs,
            white=white,
            faces=self.layout.decode(self.whitening.unwhiten(white)),
            target=self.whitening.whiten(self.layout.encode(batch.parameters)),
            batch=batch,
        )


def _spread_vertices(model: MorphableModel) -> NDArray[np.intp]:
    """Vertices spread over the face, or over all of a model that does not say what of it is face."""
    face = np.flatnonzero(model.regions.get("face", np.ones(model.vertex_count)) > 0.5)
    return face[np.linspace(0, len(face) - 1, min(_VERTEX_COUNT, len(face))).round().astype(np.intp)]
