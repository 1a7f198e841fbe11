"""Language tools that several rooms use: spaCy's English model and Harper's rule checker.

Belongs here: loading them once, in the way every room needs. Does not belong here: what is found out with them
(correction/, teachers/, curation/).
"""
