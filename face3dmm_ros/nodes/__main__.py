"""`python -m face3dmm_ros.nodes NAME --ros-args …` runs a node of this folder without an installed executable."""

import sys
from importlib import import_module

sys.exit(import_module(f"face3dmm_ros.nodes.{sys.argv[1]}").main(sys.argv[2:]))
