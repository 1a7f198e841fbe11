"""The prompted teacher: a large model asked for pairs and corrections, one example shown with each request.

Belongs here: what is asked and how an answer becomes a pair. Does not belong here: sending requests and paying for them
(llm_api/).
"""
