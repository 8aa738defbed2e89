"""Pictures, videos, meshes and other files: one reader and one writer of each, sizes checked first."""
