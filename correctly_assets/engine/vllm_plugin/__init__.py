"""What runs inside vLLM's own processes: faster LoRA on a CPU, cheaper log-probabilities, memory given back, a health check.

Belongs here: changes to vLLM's behaviour, each with the version it was written for. Does not belong here: anything that the
rest of the platform imports.
"""
