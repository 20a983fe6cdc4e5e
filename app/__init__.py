"""Unmask: tells AI-generated faces from real ones, live and in recorded video."""

__version__ = "0.1.0"
