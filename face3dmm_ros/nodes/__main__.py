"""`python -m face3dmm_ros.nodes NAME --ros-args …` runs a node of this folder without an installed executable."""

import signal
import sys
from importlib import import_module

# Until the node is there, the system ends the process: what is imported swallows some of Python's exceptions.
signal.signal(signal.SIGINT, signal.SIG_DFL)
sys.exit(import_module(f"face3dmm_ros.nodes.{sys.argv[1]}").main(sys.argv[2:]))
