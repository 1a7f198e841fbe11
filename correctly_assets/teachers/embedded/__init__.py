"""The embedded teacher: errors put into correct sentences by rule, with no key and no network.

Belongs here: reading a sentence, the rules, the mix of errors. Does not belong here: asking a large model (prompted/).
"""
