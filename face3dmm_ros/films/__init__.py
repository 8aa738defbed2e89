"""Faces of whole films, worked out with what comes before and after each image; no ROS.

`landmark_store` keeps what the networks saw, `film_fitter` makes tracks of it, and the others write these for other
programs: curves, an animated head, a video and a page.
"""
