"""Models behind an OpenAI-compatible address: the teacher's, the judge's and the comparator's.

Belongs here: requests and answers, sending them, their price and budget, the journal of what was paid, recordings. Does not
belong here: what is asked (teachers/, evaluation/judge/), or the platform's own engine (engine/).
"""
