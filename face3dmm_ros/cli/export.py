"""`face3dmm export WEIGHTS`: a trained regressor for use elsewhere."""

import argparse
from pathlib import Path

from face3dmm_ros.cli.train import require_torch
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.files.whole_file import check_writable

EPILOG = """
Both formats take crops as they are, uint8 BGR (B, 120, 120, 3), and the landmark map (B, 120, 120) where the network
was trained with it; normalisation, whitening and decoding are inside. They give scale s (B,) px/mm, rotation R
(B, 3, 3), translation t (B, 2) px, alpha, beta, gamma, and landmarks (B, 68, 2) px with their deviation (B, 68) px;
pixels are those of the crop. What the network was not trained for is left out of ONNX, and empty in TorchScript (of a
pose: that of a face seen from the front). Every export is run beside the original, and refused if it differs by more
than 1e-4. The dense landmark network needs no export: its training leaves dense.tflite.

A TorchScript archive can run any code: open one from elsewhere only where its SHA-256 is the one that was printed when
it was written.

examples:
  face3dmm export runs/light                              runs/light/weights.pt, TorchScript
  face3dmm export runs/light --format onnx --save face.onnx
  face3dmm export runs/light --format weights --save face.safetensors     the weights themselves, checked, in 16 bits
"""
_SUFFIXES = {"torchscript": ".pt", "onnx": ".onnx", "weights": ".safetensors"}

DESCRIPTION = "Write a trained network as TorchScript or ONNX, and check that it is the same."


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Describe the verb."""
    verb.add_argument("weights", type=Path, metavar="WEIGHTS", help=".safetensors file, or the folder of a training")
    verb.add_argument("--format", choices=tuple(_SUFFIXES), default="torchscript", help="what to write")
    verb.add_argument("--save", type=Path, metavar="FILE", help="to write; without it one beside the weights")


def run(arguments: argparse.Namespace) -> int:
    """Export; returns 0.

    Raises:
        Face3DMMError: torch is not installed, the weights are not of this package, or the export computes other
            values than the original.
    """
    require_torch()
    from face3dmm_ros.lab.training.parameter_objective import WEIGHTS
    from face3dmm_ros.regressor.export import save_onnx, save_torchscript
    from face3dmm_ros.regressor.weights_file import digest_of, load_regressor, read_description, save_weights

    weights = arguments.weights / WEIGHTS if arguments.weights.is_dir() else arguments.weights
    out = arguments.save or weights.with_suffix(_SUFFIXES[arguments.format])
    if out.resolve() == weights.resolve():
        raise Face3DMMError(f"{out} would be written over itself: name another file with --save")
    check_writable(out.parent, (out.name,))
    if arguments.format == "weights":
        save_weights(out, load_regressor(weights), read_description(weights))
        checked = "the weights of one network"
    else:
        save = save_torchscript if arguments.format == "torchscript" else save_onnx
        checked = f"within {max(save(weights, out), 1e-9):.0e} of the original"
    print(f"written: {out} ({out.stat().st_size / 1e6:.1f} MB, {checked})")
    print(f"SHA-256: {digest_of(out)}")
    return 0
