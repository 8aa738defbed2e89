"""The landmark schemes' names and sizes, of which detectors, models and messages speak."""

IBUG68 = "ibug68"
"""68 points (Sagonas et al., 300 Faces in-the-Wild, 2013), 0-based."""
MEDIAPIPE478 = "mediapipe478"
"""468 points of the skin (Kartynnik et al., Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs,
2019), then ten of the irises (Grishchenko et al., Attention Mesh: High-fidelity Face Mesh Prediction in Real-time,
2020): the right one's centre and four points around it, then the left one's."""
SCHEME_SIZES = {IBUG68: 68, MEDIAPIPE478: 478}
"""Points of each scheme."""
FACE_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
"""Points of `MEDIAPIPE478` along the outline of the face, from the middle of the forehead over the person's left to the
chin and back.
"""
