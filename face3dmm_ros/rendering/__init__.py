"""Parameters → pixels: offscreen OpenGL, the lighting model, overlays, and colours sampled back from the image."""
