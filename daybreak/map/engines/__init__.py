"""Engines beyond the workers of this machine."""
