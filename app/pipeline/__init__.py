"""Engines that drive the analyzer, and what they write."""
