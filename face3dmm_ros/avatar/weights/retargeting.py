"""A model's expression coefficients as ARKit's blendshape weights."""

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.arkit import ARKIT_NAMES
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.landmark_schemes import IBUG68, MEDIAPIPE478, SCHEME_SIZES
from face3dmm_ros.core.similarity import scaled_rotation
from face3dmm_ros.core.values import FaceParameters
from face3dmm_ros.fitting.bounded import minimize_in_box
from face3dmm_ros.landmarks.schemes import SKIN_COUNT
from face3dmm_ros.morphable_model import MorphableModel, load_model

_SCHEMES = (MEDIAPIPE478, IBUG68)
"""By which models are compared: the first that both know. The denser tells cheeks, eyes and the sides of the mouth."""
_PRIOR_MM = 0.5
"""√λ of the prior: a weight of 1 costs as much as one of 68 points that lies so far off, mm, or a like share of more,
which shares a motion among blendshapes that look alike. Chosen by hand.
"""


class BlendshapeWeights:
    """Retargets β of a model to the weights of `ARKIT_NAMES`.

    Where the model's expressions are ARKit's blendshapes they are taken by name. Others, such as a BFM's principal
    components, are compared by the motion of landmarks, Face Mesh's where the model knows them: the weights are those
    with which the default model's blendshapes B move its landmarks most like E·β moves the model's:
    min ‖B·w − A·E·β‖² + λ‖w‖² over 0 ≤ w ≤ 1, A the similarity transform from one mean face to the other (Umeyama,
    PAMI 1991). Of a model without expressions all are 0.
    """

    def __init__(self, model: MorphableModel) -> None:
        """Prepare for faces of a model.

        Raises:
            Face3DMMError: the model's expressions are not ARKit's, and it has no landmarks to compare them by.
        """
        self._digest, self._name = model.digest, model.name
        self._count = model.expression_count
        known = [name for name in model.expression_names if name in ARKIT_NAMES]
        self._columns = [model.expression_names.index(name) for name in known]
        self._places = [ARKIT_NAMES.index(name) for name in known]
        self._quadratic: NDArray[np.float64] | None = None
        if model.expression_count and not known:
            self._compare(model, load_model("default"))

    def check(self, parameters: FaceParameters) -> None:
        """Check that a face is of this model.

        Raises:
            Face3DMMError: the parameters are of another model.
        """
        if parameters.model_digest != self._digest or len(parameters.beta) > self._count:
            raise Face3DMMError(
                f"the parameters are of model {parameters.model!r} with digest {parameters.model_digest[:12]}… and "
                f"{len(parameters.beta)} expressions, but {self._name!r} with digest {self._digest[:12]}… and "
                f"{self._count} is loaded: use the same model everywhere"
            )

    def of(self, parameters: FaceParameters) -> NDArray[np.float32]:
        """The weights of a face, (52,) float32 in [0, 1].

        Raises:
            Face3DMMError: the parameters are of another model.
        """
        self.check(parameters)
        beta = np.zeros(self._count)
        beta[: len(parameters.beta)] = parameters.beta
        weights = np.zeros(len(ARKIT_NAMES), np.float32)
        if self._quadratic is None:
            weights[self._places] = np.clip(beta[self._columns], 0.0, 1.0)
        else:
            n = len(self._places)
            weights[self._places] = minimize_in_box(self._quadratic, self._linear @ beta, np.zeros(n), np.ones(n))
        return weights

    def deviations(self, parameters: FaceParameters) -> NDArray[np.float32]:
        """Standard deviations of `of(parameters)`, (52,) float32; 0 where the method tells none or expressions are
        compared."""
        deviations = np.zeros(len(ARKIT_NAMES), np.float32)
        if self._quadratic is None and len(parameters.beta_deviation) == self._count:
            deviations[self._places] = parameters.beta_deviation[self._columns]
        return deviations

    def _compare(self, model: MorphableModel, blendshapes: MorphableModel) -> None:
        """Prepare the least squares between a model and one with blendshapes."""
        scheme = next((scheme for scheme in _SCHEMES if scheme in model.landmarks), IBUG68)
        # Irises tell where eyes look only where there are eyes.
        eyes = bool(model.regions.get("eyes", np.zeros(1)).any())
        points = slice(SKIN_COUNT) if scheme == MEDIAPIPE478 and not eyes else slice(None)
        theirs, ours = (which.at_points(which.scheme(scheme).at(points)) for which in (model, blendshapes))
        x, y = theirs.mean - theirs.mean.mean(axis=0), ours.mean
        scale, rotation = scaled_rotation((y - y.mean(axis=0)).T @ x, float((x**2).sum()))
        moved = np.einsum("ij,pjk->pik", scale * rotation, theirs.expression).reshape(-1, model.expression_count)
        B = ours.expression.reshape(-1, blendshapes.expression_count)
        share = len(ours.mean) / SCHEME_SIZES[IBUG68]
        self._places = [ARKIT_NAMES.index(name) for name in blendshapes.expression_names]
        self._quadratic = B.T @ B + _PRIOR_MM**2 * share * np.eye(B.shape[1])
        self._linear = -B.T @ moved
