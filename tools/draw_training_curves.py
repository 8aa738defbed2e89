"""Draw the curves of a training, as for docs/images/regressor_curves.png: the loss learnt from, and faces held back."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt

from face3dmm_ros.lab.training.curves import read_curve


def main() -> int:
    """Read losses.csv and validation.csv, write a picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="of `face3dmm train`, each going on from the one before")
    parser.add_argument("--out", type=Path, default=Path("docs/images/regressor_curves.png"))
    arguments = parser.parse_args()
    losses, validation = (columns(arguments.folders, f"{name}.csv") for name in ("losses", "validation"))
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), dpi=110, layout="constrained")
    left.plot(losses["step"], losses["loss"], color="0.75", linewidth=0.8, label="learnt from")
    left.plot(validation["step"][1:], validation["loss"][1:], color="tab:blue", label="held back")
    left.set(xlabel="step", ylabel="loss", title="Loss")
    left.set_ylim(min(validation["loss"]) - 2.0, validation["loss"][1] + 12.0)
    left.legend(frameon=False)
    # The first look is at a network that has learnt nothing.
    right.plot(validation["step"][1:], validation["rotation_degrees"][1:], label="rotation, °")
    right.plot(validation["step"][1:], validation["nme_percent"][1:], label="NME of the model's 68 points, %")
    right.plot(validation["step"][1:], validation["landmark_nme_percent"][1:], "--", label="NME of its own 68, %")
    right.set(xlabel="step", title="Faces held back")
    right.set_ylim(bottom=0.0)
    right.grid(alpha=0.3)
    right.legend(frameon=False)
    figure.savefig(arguments.out)
    print(arguments.out)
    return 0


def columns(folders: Sequence[Path], name: str) -> dict[str, list[float]]:
    """The numbers of a curve by its columns, steps counted on through the folders."""
    joined: dict[str, list[float]] = {}
    for folder in folders:
        rows = read_curve(folder / name)
        before = joined["step"][-1] if joined else 0.0
        for row in rows if not joined else rows[1:]:
            for column, value in row.items():
                joined.setdefault(column, []).append(value + before if column == "step" else value)
    return joined


if __name__ == "__main__":
    sys.exit(main())
