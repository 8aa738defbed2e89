"""From parameters to pixels: offscreen OpenGL, lighting models, overlays, and vertex colours read from images."""
