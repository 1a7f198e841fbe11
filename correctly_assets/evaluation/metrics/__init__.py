"""Scores of a system's answers: GLEU, ERRANT's precision, recall and F0.5, restraint, and their intervals.

Belongs here: arithmetic over texts and edits. Does not belong here: getting answers (systems.py) or showing scores (report/).
"""
