"""Points to parameters: analysis by synthesis."""

from face3dmm_ros.fitting.track_fitter import FIT_METHODS, FitOptions, TrackFitter

__all__ = ["FIT_METHODS", "FitOptions", "TrackFitter"]
