"""A TensorFlow Lite image network on LiteRT."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.compiled import compiled
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.silent_libraries import silent_libraries

_LOADING = threading.Lock()
"""Held while a network is loaded, when what LiteRT prints is held back."""


class Network:
    """A network that takes one square RGB picture.

    Attributes:
        side: the picture's side, px.
    """

    def __init__(self, path: Path, pixel_range: tuple[float, float]) -> None:
        """Load a .tflite file whose input's black and white are `pixel_range`.

        Raises:
            Face3DMMError: LiteRT is not installed, or the file is not such a network.
        """
        self._interpreters = Interpreters(path)
        inputs = self._interpreters.own.get_input_details()
        match [each["shape"].tolist() for each in inputs]:
            case [[1, height, width, 3]] if height == width and inputs[0]["dtype"] is np.float32:
                self.side = width
            case shapes:
                raise Face3DMMError(f"{path} is not a network of pictures: it takes arrays of {shapes}")
        self._input_index = inputs[0]["index"]
        self._output_indices = [output["index"] for output in self._interpreters.own.get_output_details()]
        low, high = pixel_range
        self._scale, self._offset = np.float32((high - low) / 255.0), np.float32(low)

    def run(self, picture: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """The outputs, each squeezed to its own shape, for a (side, side, 3) BGR picture.

        Raises:
            ValueError: the picture has another shape.
        """
        if picture.shape != (self.side, self.side, 3):
            raise ValueError(f"the network takes pictures of {(self.side, self.side, 3)}, found {picture.shape}")
        network = self._interpreters.own
        # No name for the view of the input tensor: LiteRT refuses to run while one exists.
        _write_rgb(
            np.ascontiguousarray(picture), self._scale, self._offset, network.tensor(self._input_index)().reshape(-1, 3)
        )
        network.invoke()
        return [np.squeeze(network.get_tensor(index)) for index in self._output_indices]


@compiled
def _write_rgb(picture: NDArray[np.uint8], scale: np.float32, offset: np.float32, rgb: NDArray[np.float32]) -> None:
    """Write scale · v + offset of each value of a BGR picture to its pixels in another order, (N, 3) RGB."""
    bgr = picture.reshape(-1, 3)
    for pixel in range(len(bgr)):
        rgb[pixel, 0] = np.float32(bgr[pixel, 2]) * scale + offset
        rgb[pixel, 1] = np.float32(bgr[pixel, 1]) * scale + offset
        rgb[pixel, 2] = np.float32(bgr[pixel, 0]) * scale + offset


class Interpreters(threading.local):
    """LiteRT's interpreters of a .tflite file: each thread that uses the network gets one.

    Attributes:
        own: the present thread's.
    """

    def __init__(self, path: Path) -> None:
        """Load the network, at once for this thread and when it is first used for others.

        Raises:
            Face3DMMError: LiteRT is not installed, or the file is missing or no network.
        """
        with _LOADING:
            self.own = interpreter(path)


def interpreter(path: Path) -> Any:
    """LiteRT's interpreter of a .tflite file, ready to run.

    Raises:
        Face3DMMError: LiteRT is not installed, or the file is missing or no network.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise Face3DMMError(
            f"the landmark networks need LiteRT, which cannot be imported ({error}): pip install ai-edge-litert"
        ) from error
    try:
        # Of LiteRT's line about its delegate.
        with silent_libraries():
            # One thread: several would wait for each other over networks as small as these.
            loaded = Interpreter(str(path), num_threads=1)
            loaded.allocate_tensors()
    except (OSError, RuntimeError, ValueError) as error:
        raise Face3DMMError(f"{path} is not a network that LiteRT can run: {error}") from error
    return loaded


def tflite_weights(path: Path) -> list[NDArray[np.float32]]:
    """The arrays of floating-point numbers, of 32 or 16 bits, that a .tflite file holds, in its order.

    Raises:
        Face3DMMError: the file cannot be read, or LiteRT is not installed.
    """
    try:
        from ai_edge_litert import schema_py_generated as schema
    except ImportError as error:
        raise Face3DMMError(
            f"a .tflite file's weights are read with LiteRT: pip install ai-edge-litert ({error})"
        ) from error
    stored_as = {schema.TensorType.FLOAT32: np.float32, schema.TensorType.FLOAT16: np.float16}
    arrays = []
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0))
        for tensor in model.subgraphs[0].tensors:
            data = model.buffers[tensor.buffer].data
            if tensor.type in stored_as and data is not None and len(data):
                values = np.frombuffer(bytes(data), stored_as[tensor.type]).astype(np.float32)
                arrays.append(values.reshape(tensor.shape))
    except Exception as error:  # the schema's own code raises whatever a damaged file leads it to
        raise Face3DMMError(f"{path} is not a .tflite file that can be read: {error}") from error
    return arrays
