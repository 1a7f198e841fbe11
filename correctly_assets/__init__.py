"""Correctly: a self-improving English corrector that a team runs itself."""

__version__ = "0.1.0"
