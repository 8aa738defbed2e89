"""A network with everything that its use depends on: the normalisation of crops and the meaning of its outputs."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.regressor.parameter_layout import ParameterBatch, ParameterLayout, Whitening, decode_vector

_HALF_RANGE = (127.5, 127.5, 127.5)
"""Mean and deviation that carry 0 … 255 to −1 … 1, the range of a landmark map."""


class FaceRegressor(nn.Module):
    """From crops to faces: takes BGR uint8 and gives parameters, so that training and use cannot be mismatched.

    Train with `normalise`, `network` and `whitening`; `forward` is the whole way, for use, and TorchScript can compile
    it.

    Attributes:
        network: (B, 3 or 4, 120, 120) to (B, layout.size), whitened.
    """

    mean: Tensor
    deviation: Tensor
    whitening_mean: Tensor
    whitening_deviation: Tensor

    __jit_unused_properties__ = ("whitening", "layout")  # dataclasses, which TorchScript does not know

    def __init__(
        self,
        network: nn.Module,
        layout: ParameterLayout,
        whitening: Whitening,
        mean: Sequence[float] = _HALF_RANGE,
        deviation: Sequence[float] = _HALF_RANGE,
    ) -> None:
        """Join a network to its meaning.

        Args:
            network: (B, 3 or 4, 120, 120) normalised floats to (B, layout.size), whitened.
            layout: what the numbers are.
            whitening: their units.
            mean: of R, G and B, subtracted from a crop.
            deviation: of R, G and B, by which it is then divided.

        Raises:
            Face3DMMError: the whitening has another length than the layout, or the normalisation is not three finite
                means
                and three positive deviations.
        """
        super().__init__()
        if whitening.mean.shape != (layout.size,):
            raise Face3DMMError(f"the layout has {layout.size} numbers, the whitening {tuple(whitening.mean.shape)}")
        if len(mean) != 3 or len(deviation) != 3 or not (np.isfinite([*mean, *deviation]).all() and min(deviation) > 0):
            raise Face3DMMError(
                "crops are normalised by three finite means and three positive deviations, in the order R, G, B; "
                f"found {list(mean)} and {list(deviation)}"
            )
        self.network = network
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("deviation", torch.tensor(deviation, dtype=torch.float32))
        self.register_buffer("whitening_mean", whitening.mean.detach().float().clone())
        self.register_buffer("whitening_deviation", whitening.deviation.detach().float().clone())
        # In types that TorchScript knows.
        self._rotation, self._counts = layout.rotation, layout.counts

    @property
    def layout(self) -> ParameterLayout:
        """What the network's numbers are."""
        shape, expression, texture, landmarks = self._counts
        return ParameterLayout(self._rotation, shape, expression, landmarks, texture)

    @property
    def whitening(self) -> Whitening:
        """The network's units."""
        return Whitening(self.whitening_mean, self.whitening_deviation)

    def normalise(self, crop: Tensor, landmark_map: Tensor | None = None) -> Tensor:
        """What the network takes: (B, 120, 120, 3) uint8 BGR, and a (B, 120, 120) map, to (B, 3 or 4, 120, 120)."""
        rgb = (crop.flip(3).to(self.mean.dtype) - self.mean) / self.deviation
        image = rgb.permute(0, 3, 1, 2)
        if landmark_map is not None:
            image = torch.cat([image, landmark_map[:, None].to(image.dtype)], dim=1)
        return image

    def raw(self, crop: Tensor, landmark_map: Tensor | None = None) -> Tensor:
        """The network's answer in the layout's own units, (B, layout.size)."""
        white = self.network(self.normalise(crop, landmark_map)).to(self.whitening_mean.dtype)
        return white * self.whitening_deviation + self.whitening_mean

    def forward(
        self, crop: Tensor, landmark_map: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """The faces in crops.

        Args:
            crop: (B, 120, 120, 3) uint8 BGR.
            landmark_map: (B, 120, 120), 1 at a landmark and −1 elsewhere, for a network of four channels.

        Returns:
            The tensors of `ParameterBatch` in its order, px of the crop; (B, 0, 2) landmarks and (B, 0) deviations
            where the layout has none. Without a pose scale, rotation and translation are `ParameterLayout.decode`'s.
        """
        return decode_vector(self.raw(crop, landmark_map), self._rotation, self._counts)


def parameter_batch(outputs: tuple[Tensor, ...]) -> ParameterBatch:
    """What `FaceRegressor.forward`, or an archive made of it, gave, with None for empty landmarks."""
    return ParameterBatch(*outputs) if outputs[6].shape[1] else ParameterBatch(*outputs[:6])
