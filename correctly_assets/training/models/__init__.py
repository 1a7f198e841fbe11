"""Base models and adapters as files: where they come from, how they are read, merged, converted and adopted.

Belongs here: everything about a model's own files. Does not belong here: training steps (engines/).
"""
