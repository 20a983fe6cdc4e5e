"""Hostile input: mutated videos and pictures, each through the program in a watched process."""
