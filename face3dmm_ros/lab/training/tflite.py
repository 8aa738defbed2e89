"""Writing a network of torch's layers as a .tflite file, which LiteRT runs several times as fast as OpenCV runs ONNX.

The format: tensorflow/compiler/mlir/lite/schema/schema.fbs.
"""

from collections.abc import Sequence
from pathlib import Path

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
        """Full or depthwise, padded to keep the side (over the stride)."""
        assert layer.bias is not None
        _, height, width, _ = self._shape(x)
        stride = int(layer.stride[0])
        shape = (1, -(-height // stride), -(-width // stride), layer.out_channels)
        if layer.groups > 1:
            code, kind, options = "DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions", schema.DepthwiseConv2DOptionsT()
            options.depthMultiplier = 1
            weight = layer.weight.permute(1, 2, 3, 0)
        else:
            code, kind, options = "CONV_2D", "Conv2DOptions", schema.Conv2DOptionsT()
            weight = layer.weight.permute(0, 2, 3, 1)
        options.padding = schema.Padding.SAME
        options.strideH = options.strideW = stride
        options.dilationHFactor = options.dilationWFactor = 1
        return self._operation(code, [x, self._weight(weight), self._weight(layer.bias)], shape, kind, options)

    def flattened_linear(self, x: int, layer: nn.Linear) -> int:
        """A fully connected layer on all of x, whose torch twin flattens channels first."""
        shape = self._shape(x)
        weight = layer.weight
        if len(shape) == 4:
            _, height, width, channels = shape
            weight = weight.view(-1, channels, height, width).permute(0, 2, 3, 1).flatten(1)
            options = schema.ReshapeOptionsT()
            options.newShape = [1, layer.in_features]
            target = self._constant(np.array(options.newShape, np.int32))
            x = self._operation("RESHAPE", [x, target], (1, layer.in_features), "ReshapeOptions", options)
        inputs = [x, self._weight(weight), self._weight(layer.bias)]
        options = schema.FullyConnectedOptionsT()
        return self._operation("FULLY_CONNECTED", inputs, (1, layer.out_features), "FullyConnectedOptions", options)

    def prelu(self, x: int, layer: nn.PReLU) -> int:
        """One slope a channel."""
        shape = self._shape(x)
        slopes = self._weight(layer.weight.view(*[1] * (len(shape) - 2), -1))
        return self._operation("PRELU", [x, slopes], shape)

    def add(self, x: int, y: int) -> int:
        """x + y, of one shape."""
        return self._operation("ADD", [x, y], self._shape(x), "AddOptions", schema.AddOptionsT())

    def halved(self, x: int) -> int:
        """The maximum of every 2 × 2 cells."""
        _, height, width, channels = self._shape(x)
        options = schema.Pool2DOptionsT()
        options.padding = schema.Padding.SAME
        options.strideH = options.strideW = options.filterHeight = options.filterWidth = 2
        return self._operation("MAX_POOL_2D", [x], (1, height // 2, width // 2, channels), "Pool2DOptions", options)

    def more_channels(self, x: int, count: int) -> int:
        """`count` channels of zeros after those of x."""
        _, height, width, channels = self._shape(x)
        padding = self._constant(np.array([[0, 0], [0, 0], [0, 0], [0, count]], np.int32))
        shape = (1, height, width, channels + count)
        return self._operation("PAD", [x, padding], shape, "PadOptions", schema.PadOptionsT())

    def save(self, outputs: Sequence[int], path: Path) -> None:
        """Write the file of a network that gives these tensors."""
        graph = schema.SubGraphT()
        graph.tensors, graph.operators, graph.inputs, graph.outputs = self._tensors, self._operators, [0], list(outputs)
        model = schema.ModelT()
        model.version, model.subgraphs, model.buffers = 3, [graph], self._buffers
        model.operatorCodes = []
        for number in self._codes:
            code = schema.OperatorCodeT()
            code.builtinCode = code.deprecatedBuiltinCode = number
            code.version = 1
            model.operatorCodes.append(code)
        builder = flatbuffers.Builder()
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        path.write_bytes(bytes(builder.Output()))

    def _shape(self, tensor: int) -> tuple[int, ...]:
        return tuple(self._tensors[tensor].shape)

    def _tensor(self, shape: tuple[int, ...], kind: int = schema.TensorType.FLOAT32, buffer: int = 0) -> int:
        tensor = schema.TensorT()
        tensor.shape, tensor.type, tensor.buffer = list(shape), kind, buffer
        tensor.name = f"tensor_{len(self._tensors)}".encode()
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def _constant(self, values: NDArray[np.generic]) -> int:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self._buffers.append(buffer)
        return self._tensor(values.shape, _TYPES[values.dtype], len(self._buffers) - 1)

    def _weight(self, values: Tensor) -> int:
        stored = self._constant(values.detach().cpu().numpy().astype(np.float16))
        return self._operation(
            "DEQUANTIZE", [stored], tuple(values.shape), "DequantizeOptions", schema.DequantizeOptionsT()
        )

    def _operation(
        self, code: str, inputs: list[int], shape: tuple[int, ...], kind: str = "NONE", options: object = None
    ) -> int:
        number = getattr(schema.BuiltinOperator, code)
        if number not in self._codes:
            self._codes.append(number)
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs = self._codes.index(number), inputs
        operator.builtinOptionsType, operator.builtinOptions = getattr(schema.BuiltinOptions, kind), options
        output = self._tensor(shape)
        operator.outputs = [output]
        self._operators.append(operator)
        return output
