"""Where the points of our head lie on any other: landmarks, outlines, regions and ARKit's shapes for models without."""
