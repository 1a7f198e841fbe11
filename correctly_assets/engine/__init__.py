"""vLLM, the only engine: starting it, talking to it, loading an adapter and proving that it answers.

Belongs here: its command line, its client, the plug-in that runs inside it. Does not belong here: the chat's gateway
(gateway/) or which adapter is to serve (workflows/promote.py).
"""
