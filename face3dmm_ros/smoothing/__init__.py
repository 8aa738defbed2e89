"""Tracked faces made steady over time."""

from face3dmm_ros.smoothing.camera_motion import CameraPlace
from face3dmm_ros.smoothing.cover_smoother import CoverSmoother
from face3dmm_ros.smoothing.face_smoother import FaceSmoother
from face3dmm_ros.smoothing.filters import SMOOTHING_METHODS, SmoothingOptions

__all__ = ["SMOOTHING_METHODS", "CameraPlace", "CoverSmoother", "FaceSmoother", "SmoothingOptions"]
