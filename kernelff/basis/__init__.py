"""Radial functions and their tables: pure functions of distance."""
