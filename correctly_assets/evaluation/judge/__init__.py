"""A large model as judge: which of two answers is better, whether meaning is kept, whether a reason is true.

Belongs here: what is asked of a judge and what its verdicts come to. Does not belong here: sending requests (llm_api/).
"""
