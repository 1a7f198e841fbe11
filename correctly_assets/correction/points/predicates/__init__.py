"""Named predicates of conditions: pure functions of a change that return the slots they found.

Belongs here: what data cannot say (conditions.py). Does not belong here: wording. Every module of this package is
imported once by catalogue.py.
"""
