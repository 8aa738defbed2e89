"""Writing a network of torch's layers as a .tflite file, which LiteRT runs several times as fast as OpenCV runs ONNX.

The format: tensorflow/compiler/mlir/lite/schema/schema.fbs.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray
from torch import Tensor, nn

_TYPES = {np.dtype(np.float16): schema.TensorType.FLOAT16, np.dtype(np.int32): schema.TensorType.INT32}


class TfliteWriter:
    """A network with one input, written operation by operation; a tensor is named by its index.

    Tensors are (1, height, width, channels) or (1, channels); weights are stored as float16.
    """

    def __init__(self, input_shape: tuple[int, ...]) -> None:
        """Begin with the input: tensor 0."""
        self._tensors: list[schema.TensorT] = []
        self._buffers: list[schema.BufferT] = [schema.BufferT()]
        self._operators: list[schema.OperatorT] = []
        self._codes: list[int] = []
        self._tensor(input_shape)

    def convolution(self, x: int, layer: nn.Conv2d) -> int:
        """A convolution, full or depthwise, with padding SAME; returns the output's index, as all operations do."""
        assert layer.bias is not None
        _, height, width, _ = self._shape(x)
        stride = int(layer.stride[0])
        shape = (1, -(-height // stride), -(-width // stride), layer.out_channels)
        moved = {"strideH": stride, "strideW": stride, "dilationHFactor": 1, "dilationWFactor": 1}
        same: dict[str, int] = {"padding": schema.Padding.SAME, **moved}
        if layer.groups > 1:
            code, options = "DEPTHWISE_CONV_2D", _made(schema.DepthwiseConv2DOptionsT, depthMultiplier=1, **same)
            weight = layer.weight.permute(1, 2, 3, 0)
        else:
            code, options = "CONV_2D", _made(schema.Conv2DOptionsT, **same)
            weight = layer.weight.permute(0, 2, 3, 1)
        return self._operation(code, [x, self._weight(weight), self._weight(layer.bias)], shape, options)

    def flattened_linear(self, x: int, layer: nn.Linear) -> int:
        """A fully connected layer on all of x, whose torch twin flattens channels first."""
        weight = layer.weight
        if len(self._shape(x)) == 4:
            _, height, width, channels = self._shape(x)
            weight = weight.view(-1, channels, height, width).permute(0, 2, 3, 1).flatten(1)
            flat = (1, layer.in_features)
            target = self._constant(np.array(flat, np.int32))
            x = self._operation("RESHAPE", [x, target], flat, _made(schema.ReshapeOptionsT, newShape=list(flat)))
        inputs = [x, self._weight(weight), self._weight(layer.bias)]
        return self._operation("FULLY_CONNECTED", inputs, (1, layer.out_features), schema.FullyConnectedOptionsT())

    def prelu(self, x: int, layer: nn.PReLU) -> int:
        """A PReLU with one slope per channel."""
        shape = self._shape(x)
        slopes = self._weight(layer.weight.view(*[1] * (len(shape) - 2), -1))
        return self._operation("PRELU", [x, slopes], shape)

    def add(self, x: int, y: int) -> int:
        """x + y, of one shape."""
        return self._operation("ADD", [x, y], self._shape(x), schema.AddOptionsT())

    def halved(self, x: int) -> int:
        """The maximum of every 2 × 2 cells."""
        _, height, width, channels = self._shape(x)
        options = _made(
            schema.Pool2DOptionsT, padding=schema.Padding.SAME, strideW=2, strideH=2, filterWidth=2, filterHeight=2
        )
        return self._operation("MAX_POOL_2D", [x], (1, height // 2, width // 2, channels), options)

    def more_channels(self, x: int, count: int) -> int:
        """`count` channels of zeros after those of x."""
        _, height, width, channels = self._shape(x)
        padding = self._constant(np.array([[0, 0], [0, 0], [0, 0], [0, count]], np.int32))
        return self._operation("PAD", [x, padding], (1, height, width, channels + count), schema.PadOptionsT())

    def save(self, outputs: Sequence[int], path: Path) -> None:
        """Write the file of a network that gives these tensors."""
        graph = _made(
            schema.SubGraphT, tensors=self._tensors, inputs=[0], outputs=list(outputs), operators=self._operators
        )
        codes = [
            _made(schema.OperatorCodeT, deprecatedBuiltinCode=number, version=1, builtinCode=number)
            for number in self._codes
        ]
        model = _made(schema.ModelT, version=3, operatorCodes=codes, subgraphs=[graph], buffers=self._buffers)
        builder = flatbuffers.Builder()
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        path.write_bytes(bytes(builder.Output()))

    def _shape(self, tensor: int) -> tuple[int, ...]:
        return tuple(self._tensors[tensor].shape)

    def _tensor(self, shape: tuple[int, ...], kind: int = schema.TensorType.FLOAT32, buffer: int = 0) -> int:
        name = f"tensor_{len(self._tensors)}".encode()
        self._tensors.append(_made(schema.TensorT, shape=list(shape), type=kind, buffer=buffer, name=name))
        return len(self._tensors) - 1

    def _constant(self, values: NDArray[np.generic]) -> int:
        self._buffers.append(_made(schema.BufferT, data=np.frombuffer(values.tobytes(), np.uint8)))
        return self._tensor(values.shape, _TYPES[values.dtype], len(self._buffers) - 1)

    def _weight(self, values: Tensor) -> int:
        stored = self._constant(values.detach().cpu().numpy().astype(np.float16))
        return self._operation("DEQUANTIZE", [stored], tuple(values.shape), schema.DequantizeOptionsT())

    def _operation(self, code: str, inputs: list[int], shape: tuple[int, ...], options: object = None) -> int:
        number = getattr(schema.BuiltinOperator, code)
        if number not in self._codes:
            self._codes.append(number)
        kind = "NONE" if options is None else type(options).__name__.removesuffix("T")
        output = self._tensor(shape)
        operator = _made(schema.OperatorT, opcodeIndex=self._codes.index(number), inputs=inputs, outputs=[output])
        operator.builtinOptionsType, operator.builtinOptions = getattr(schema.BuiltinOptions, kind), options
        self._operators.append(operator)
        return output


def _made(kind: type, **values: object) -> Any:
    """An object of the schema with some values set, which the constructors of LiteRT 2.0 do not take."""
    made = kind()
    for name, value in values.items():
        setattr(made, name, value)
    return made
