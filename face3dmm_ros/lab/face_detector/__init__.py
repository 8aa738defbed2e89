"""Learns the classifiers of `landmarks.hog_detector`."""
