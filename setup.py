"""Packs the library and the `face3dmm` command for pip; what it is called and needs is in setup.cfg.

With ROS 2, CMakeLists.txt installs the same.
"""

from setuptools import find_packages, setup

# Folders that ROS expects beside the Python package and a wheel carries inside it, where `package_file` finds them;
# msg under share, since face3dmm_ros.msg is the name of the module that ROS generates.
DATA_PACKAGES = {f"face3dmm_ros.{folder}": folder for folder in ("config", "launch", "resource")}
DATA_PACKAGES["face3dmm_ros.share.msg"] = "msg"

setup(
    packages=[*find_packages(include=["face3dmm_ros", "face3dmm_ros.*"]), *DATA_PACKAGES],
    package_dir=DATA_PACKAGES,
    package_data={"": ["**/*"]},
    exclude_package_data={"": ["**/__pycache__/*"]},
)
