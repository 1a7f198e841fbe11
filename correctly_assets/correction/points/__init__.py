"""Grammar points: which of the catalogue's points explains an edit.

Belongs here: conditions over an edit and its two parses, groups of edits, the choice among points. Does not belong here:
the points' wording (prompts/grammar/), finding the edits (annotate.py), or asking a model (path.py).
"""
