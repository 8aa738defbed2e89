"""The options that say which trained network a fit method runs, of all verbs that fit."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from face3dmm_ros.fit_methods import RegressorFile

METHODS = "joint, alternating, regressor or regressor+fit (the last two need torch)"
"""As `fit_methods.FIT_METHODS`, which would load numpy."""


def add_regressor_options(verb: argparse.ArgumentParser) -> None:
    """Add them."""
    verb.add_argument(
        "--regressor",
        default="default",
        metavar="FILE",
        help="network of the regressor methods: 'default', weights (.safetensors) that `face3dmm train` wrote, or a "
        "TorchScript archive of `face3dmm export`",
    )
    verb.add_argument(
        "--regressor-sha256",
        default="",
        metavar="HEX",
        help="hash of that archive; one that you do not name is not opened, since an archive can run any code",
    )


def regressor_file(arguments: argparse.Namespace) -> "RegressorFile":
    """What they say."""
    from face3dmm_ros.fit_methods import RegressorFile

    return RegressorFile(arguments.regressor, arguments.regressor_sha256)
