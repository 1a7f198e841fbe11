"""The training room: base models, chat rendering to tokens, the LoRA trainer and the adapter's static rules.

Belongs here: everything that needs torch, transformers or peft. Does not belong here: Dagster, the store, vLLM.
"""
