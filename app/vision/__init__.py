"""From frames to per-face results, synchronously and without threads."""
