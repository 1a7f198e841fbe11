"""Ways of doing one training step: transformers' own model, and Gemma 3's layers written for a CPU.

Belongs here: forward, loss and backward for a batch, and what makes them fast. Does not belong here: the recipe
(training/produce_adapter.py, trainer.py).
"""
