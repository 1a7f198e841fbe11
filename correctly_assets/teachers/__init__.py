"""Teachers: who writes train pairs from examples.

Belongs here: the embedded teacher (typed errors put into correct sentences), the one behind an OpenAI-compatible
endpoint, the one that replays a recording, and the ladder that every written pair climbs. Does not belong here: landing
rows (curation/), keeping pairs (store/), or choosing which pairs a train set holds (defs/).
"""
