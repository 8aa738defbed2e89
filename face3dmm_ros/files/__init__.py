"""Pictures, videos, meshes and other files: one reader and one writer of each, sizes checked first."""

import os

import cv2

# What is wrong with a picture or a video is an error of this package, of one line. OpenCV and FFmpeg would write lines
# of their own to stderr besides, thousands for some files; they do for who sets these variables.
_logging = getattr(getattr(cv2, "utils", None), "logging", None)  # None: OpenCV 4.5
if "OPENCV_LOG_LEVEL" not in os.environ and _logging is not None:
    _logging.setLogLevel(_logging.LOG_LEVEL_SILENT)
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET
