"""Records, crops, scoring and settings: NumPy and OpenCV only."""
