"""Points to parameters: analysis by synthesis."""

from face3dmm_ros.fitting.track_fitter import LANDMARK_METHODS, FitOptions, TrackFitter

__all__ = ["LANDMARK_METHODS", "FitOptions", "TrackFitter"]
