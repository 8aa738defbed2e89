"""`face3dmm train CONFIG`: a network that regresses a face's parameters, or its points, from pixels."""

import argparse
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from face3dmm_ros.core.errors import Face3DMMError

EPILOG = """
CONFIG is a YAML file, or the name of one that ships (face3dmm_ros/config/train):

  light             the light network for live use, on synthetic faces of the default model: needs no data
  dense             the dense landmark network, likewise
  light_people      the light network goes on, on skins of people and photographs turned to the side
  dense_people      the dense landmark network, likewise
  2dasl             2DASL's recipe: ResNet-50, 300W-LP and unlabelled photographs, self-critic
  tran              Tran et al.'s recipe: ResNet-101, pooled labels, asymmetric loss

The folder gets checkpoint.pt, from which the same command goes on after a kill at any moment, along the same curve;
weights.safetensors, for `face3dmm export`, or dense.tflite, as the detector runs it; losses.csv and validation.csv, the
curves; and the same for TensorBoard (tensorboard --logdir DIR). Faces are validated before the first step, so that what
is wrong with data, model or disk shows at once.

examples:
  face3dmm train light --out runs/light                              on a GPU where there is one, else on the CPU
  face3dmm train light --out runs/try --set steps=100 --set batch=8  with some values replaced
  face3dmm train 2dasl --out runs/2dasl --set model=BFM.mat --set datasets.0.path=300W_LP
  face3dmm train mine.yaml --check                                   read the configuration and the data only
  torchrun --nproc-per-node 4 -m face3dmm_ros.cli.main train 2dasl --out runs/2dasl       on four GPUs
"""

DESCRIPTION = "Train a network that regresses the model's parameters, or the face's points, from pixels."


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Describe the verb."""
    add = verb.add_argument
    add("config", type=Path, metavar="CONFIG", help="YAML file, or the name of a shipped one")
    add("--out", type=Path, metavar="DIR", help="folder to write to, made if missing; without it runs/NAME of "
        "CONFIG")  # fmt: skip
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="replace a value of the configuration, such as "
        "optimizer.rate=0.01; may be given several times; without it they are as CONFIG has them")  # fmt: skip
    add("--fresh", action="store_true", help="start over, without the folder's checkpoint")
    add("--check", action="store_true", help="read the configuration and a face of each data set, and stop")


def run(arguments: argparse.Namespace) -> int:
    """Train; returns 0.

    Raises:
        Face3DMMError: torch is not installed, the configuration or the data cannot be used, or the folder's checkpoint
            is of another training.
    """
    require_torch()
    # Threads that spin while they wait would take the cores of samples in the making, and of whatever else runs here:
    # two trainings side by side take a third of the time so. OpenMP reads it as torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from face3dmm_ros.lab.training.config import read_config

    config = read_config(arguments.config, tuple(arguments.set))
    from face3dmm_ros.lab.training.batches import FaceStream, check
    from face3dmm_ros.lab.training.training import open_objective, train

    if arguments.check:
        open_objective(config)
        for line in check(config, FaceStream(config)):
            print(line)
        return 0
    folder = arguments.out or Path("runs") / arguments.config.stem
    try:
        weights = train(config, folder, resume=not arguments.fresh)
    except KeyboardInterrupt:
        print(f"stopped: the same command goes on from {folder}", file=sys.stderr)
        raise
    if os.environ.get("RANK", "0") == "0":
        print(f"written: {weights}")
    return 0


def require_torch() -> None:
    """Check that torch is installed.

    Raises:
        Face3DMMError: torch is not installed.
    """
    if find_spec("torch") is None:
        raise Face3DMMError("this needs torch, which is not installed: `make torch`, or pip install torch")
