"""Tracked faces shown with Rerun: image, landmarks, head, blendshapes and curves, live or from a bag."""
