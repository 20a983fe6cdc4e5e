"""Unmask: tells AI-generated faces from real ones, live and in recorded video."""

from pathlib import Path

__version__ = "0.1.0"

DEMO = Path(__file__).parent / "assets" / "demo.mp4"
"""The clip that comes with the program: one real and one generated face."""
