"""The configured embedding, by which similar texts are found.

Belongs here: choosing it from the settings. Does not belong here: vectors and neighbours (curation/embeddings.py, search.py).
"""

from __future__ import annotations

import json
from pathlib import Path

from correctly_assets.core.errors import UsageError
from correctly_assets.curation.embeddings import EndpointEmbedding, base_embedding
from correctly_assets.curation.vector_search import Embedding, HashedNgrams
from correctly_assets.settings import Settings


def make_embedding(settings: Settings) -> Embedding:
    """The configured embedding (CORRECTLY_EMBEDDING), by which neighbours are found.

    Raises:
        UsageError: no model is named for the endpoint.
        PermanentError: the base model's files are not there.
    """
    if settings.curation.embedding == "openai":
        if not settings.curation.embedding_model:
            raise UsageError("CORRECTLY_EMBEDDING=openai needs a model: set CORRECTLY_EMBEDDING_MODEL.")
        key = settings.curation.embedding_api_key
        return EndpointEmbedding(
            base_url=settings.curation.embedding_base_url,
            model=settings.curation.embedding_model,
            api_key=key.get_secret_value() if key else None,
            cache=settings.platform.vectors_path,
        )
    model = Path(settings.base_model_path)
    there = (model / "tokenizer.json").is_file() and any(model.glob("*.safetensors"))
    if settings.curation.embedding == "base" or (settings.curation.embedding is None and there):
        rows = (json.loads(line) for path in settings.platform.starter_paths for line in path.open(encoding="utf-8"))
        return base_embedding(model, (row["before"] for row in rows))
    return HashedNgrams()
