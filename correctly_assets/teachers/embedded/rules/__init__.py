"""The rules by which learners' errors are put into correct sentences, one module for each part of grammar.

A rule is a function from a parsed sentence to the slips that are possible in it. It yields only slips that a careful
reader would correct, and correct back to what stood there: leaving out an optional comma or swapping near synonyms
would teach the model to meddle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module

from correctly_assets.teachers.embedded.sentence import Sentence, Slip

Rule = Callable[[Sentence], Iterator[Slip]]
MODULES = (
    "agreement",
    "determiners",
    "links",
    "morphology",
    "nouns",
    "order",
    "phrases",
    "prepositions",
    "pronouns",
    "punctuation",
    "spelling",
    "surface",
    "verbs",
    "tenses",
    "wordchoice",
)
RULES: list[Rule] = []


def rule(function: Rule) -> Rule:
    """Register a rule."""
    RULES.append(function)
    return function


def slips_in(sentence: Sentence) -> list[Slip]:
    """Every slip that is possible in a sentence, in a fixed order."""
    if not RULES:
        for module in MODULES:
            import_module(f"{__name__}.{module}")
    return [slip for find in RULES for slip in find(sentence)]
