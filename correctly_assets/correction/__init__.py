"""Correct → diff → explain, with its guards and fallbacks: the one path of chat, command line, evaluation and canary.

Belongs here: sentence splitting, ERRANT's edits on code points, reasons, guards, and the changes table. Does not belong
here: HTTP (engine/, gateway/), metrics (evaluation/), word lists (curation/).
"""
