"""PReLU's slopes repeated along each row of its picture: the very same network, faster.

LiteRT runs PReLU as a multiplication whose innermost loop is as long as the slopes are, few as a layer's channels
are. Slopes of (1, 1, width, channels) instead of (1, 1, channels) let it run over whole rows; every pixel is still
multiplied by its channel's slope. Needs ai-edge-litert alone.
"""

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

_PICTURES = 8
"""Random ones, on which both networks must agree."""


def with_wide_slopes(network: bytes) -> bytes:
    """A .tflite network with the slopes of its PReLU layers repeated.

    Raises:
        ValueError: slopes are shared by layers of several widths, computed, or not one per channel.
        RuntimeError: the outcome does not answer as the network does, to the last bit.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(network, 0))
    (graph,) = model.subgraphs
    made_by = {output: operator for operator in graph.operators for output in operator.outputs}
    widths: dict[int, int] = {}
    for operator in graph.operators:
        shape = graph.tensors[operator.outputs[0]].shape
        # Pictures only: a vector's slopes are as long as it is already.
        if _kind(model, operator) != schema.BuiltinOperator.PRELU or len(shape) != 4:
            continue
        slopes, width = int(operator.inputs[1]), int(shape[2])
        if widths.setdefault(slopes, width) != width:
            raise ValueError(f"slopes shared by layers of {widths[slopes]} and {width} columns cannot be repeated")
        tensors = [graph.tensors[slopes]]
        if slopes in made_by:
            if _kind(model, made_by[slopes]) != schema.BuiltinOperator.DEQUANTIZE:
                raise ValueError("slopes that are computed cannot be repeated")
            tensors.append(graph.tensors[made_by[slopes].inputs[0]])
        if int(np.prod(tensors[-1].shape)) != shape[3]:
            raise ValueError(f"slopes of shape {list(tensors[-1].shape)} are not one for each of {shape[3]} channels")
        for tensor in tensors:
            tensor.shape = [1, 1, width, shape[3]]
            tensor.shapeSignature = None
        repeated = schema.BufferT()
        repeated.data = np.tile(np.asarray(model.buffers[tensors[-1].buffer].data, np.uint8), width)
        model.buffers.append(repeated)
        tensors[-1].buffer = len(model.buffers) - 1
    _forget_unused(model)
    builder = flatbuffers.Builder(len(network))
    builder.Finish(model.Pack(builder), b"TFL3")
    wide = bytes(builder.Output())
    _check_equal(network, wide)
    return wide


def _kind(model: schema.ModelT, operator: schema.OperatorT) -> int:
    code = model.operatorCodes[operator.opcodeIndex]
    return max(code.builtinCode, code.deprecatedBuiltinCode)


def _forget_unused(model: schema.ModelT) -> None:
    """Empty the buffers that nothing refers to any more."""
    used = {tensor.buffer for graph in model.subgraphs for tensor in graph.tensors}
    used |= {entry.buffer for entry in model.metadata or []}
    for index, buffer in enumerate(model.buffers):
        if index not in used:
            buffer.data = None


def _check_equal(network: bytes, other: bytes) -> None:
    """Both must answer alike.

    Raises:
        RuntimeError: they do not.
    """
    interpreters = [Interpreter(model_content=content, num_threads=1) for content in (network, other)]
    for interpreter in interpreters:
        interpreter.allocate_tensors()
    shape = interpreters[0].get_input_details()[0]["shape"]
    random = np.random.default_rng(0)
    for _ in range(_PICTURES):
        picture = random.random(shape, np.float32)
        for mine, theirs in zip(*(_outputs(interpreter, picture) for interpreter in interpreters), strict=True):
            if not np.array_equal(mine, theirs):
                raise RuntimeError(f"repeated slopes change the network's answers by {np.abs(mine - theirs).max()}")


def _outputs(interpreter: Interpreter, picture: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture)
    interpreter.invoke()
    return [interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()]
