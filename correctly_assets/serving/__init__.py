"""vLLM under control: start it, talk to it, prove what it loads, roll releases out; and gateway/, for chat clients.

Belongs here: the engine's command line, its HTTP client, the one way an adapter is loaded and proved, the ways of
rolling out. Does not belong here: correcting (correction/), training, the store. Only gateway/, a top layer, joins.
"""
