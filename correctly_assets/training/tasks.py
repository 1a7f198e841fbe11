"""``python -m correctly_assets.training.tasks NAME REQUEST RESULT``: short work on a model, in a process of its own.

Belongs here: reading the request, writing the result or the error, the exit code. Does not belong here: the work. As with
training, the memory is freed at exit and a killed child is nobody's end but its own.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from correctly_assets.artifacts.files import write_text_atomically
from correctly_assets.core.errors import CorrectlyError
from correctly_assets.core.prompts import load_prompts
from correctly_assets.training.config import TrainConfig
from correctly_assets.training.models.base_model import base_model_revision


class MergeRequest(BaseModel):
    """Base model and adapter, to be one directory at ``target``."""

    base_model: str
    adapter: Path
    target: Path
    prompts_dir: Path
    chat_family: str


class GgufRequest(BaseModel):
    """A merged directory, to be one GGUF file at ``target``; ``prompts`` are what both are asked afterwards."""

    model: Path
    vocabulary: Path
    target: Path
    name: str
    prompts: list[str]


class AdoptRequest(BaseModel):
    """An adapter's directory from elsewhere, and the config that says where it goes."""

    directory: Path
    config: TrainConfig


class AverageRequest(BaseModel):
    """Two adapters, and the config that says where their mean goes."""

    first: Path
    second: Path
    config: TrainConfig


class ConvertRequest(BaseModel):
    """A GGUF file, to be a base model's directory at ``target``."""

    gguf: Path
    target: Path
    prompts_dir: Path
    chat_family: str


class AnswerRequest(BaseModel):
    """Texts that a base model with an adapter corrects greedily."""

    base_model: str
    adapter: Path
    prompts_dir: Path
    chat_family: str
    texts: list[str]


class ScoreRequest(BaseModel):
    """Texts that a base model finds more or less likely."""

    base_model: str
    texts: list[str]


class AdoptedAdapter(BaseModel):
    """An adopted adapter's ID and directory; ``known`` where it stood there already."""

    adapter: str
    path: str
    known: bool


def merge(request: MergeRequest) -> dict[str, float]:
    """Base and adapter as one directory."""
    from correctly_assets.training.models.merging import merge_adapter

    prompts = load_prompts(request.prompts_dir, request.chat_family)
    return merge_adapter(request.base_model, request.adapter, request.target, prompts)


def gguf(request: GgufRequest) -> dict[str, float]:
    """A merged directory as one GGUF file, checked for equal answers."""
    from correctly_assets.training.models.gguf_file import check_gguf, write_gguf

    write_gguf(request.model, request.vocabulary, request.target, name=request.name)
    return check_gguf(request.model, request.target, request.prompts)


def adopt(request: AdoptRequest) -> AdoptedAdapter:
    """An adapter from elsewhere, with a manifest of ours."""
    from correctly_assets.training.adoption import adopt_adapter

    identity, path, known = adopt_adapter(request.directory, request.config)
    return AdoptedAdapter(adapter=identity, path=str(path), known=known)


def average(request: AverageRequest) -> dict[str, str]:
    """The mean of two adapters, as an adapter of ours."""
    from correctly_assets.training.adoption import average_adapters

    path = average_adapters(request.first, request.second, request.config)
    return {"adapter": path.name, "path": str(path)}


def convert(request: ConvertRequest) -> dict[str, str]:
    """A GGUF file as a base model's directory."""
    from correctly_assets.training.models.convert_model import convert_gguf

    prompts = load_prompts(request.prompts_dir, request.chat_family)
    path = convert_gguf(request.gguf, request.target, prompts, request.chat_family)
    return {"path": str(path), "revision": base_model_revision(str(path))}


def answer(request: AnswerRequest) -> dict[str, list[str]]:
    """Greedy corrections of texts by a base model with an adapter."""
    from correctly_assets.training.answering import answer_texts

    prompts = load_prompts(request.prompts_dir, request.chat_family)
    return {"answers": answer_texts(request.base_model, request.adapter, prompts, request.texts)}


def score(request: ScoreRequest) -> list[tuple[float, int]]:
    """Each text's nats under a base model, and its tokens."""
    from correctly_assets.training.text_scores import score_texts

    return score_texts(request.base_model, request.texts)


TASKS: dict[str, tuple[type[BaseModel], Callable[[Any], object]]] = {
    "merge": (MergeRequest, merge),
    "gguf": (GgufRequest, gguf),
    "adopt": (AdoptRequest, adopt),
    "average": (AverageRequest, average),
    "convert": (ConvertRequest, convert),
    "answer": (AnswerRequest, answer),
    "score": (ScoreRequest, score),
}
"""By its name, what a task is asked with and what does it."""


def main(name: str, request: Path, result: Path) -> int:
    """Do the work named; returns 0, or the exit code of the error that was written."""
    # No telemetry, and no question to a hub: everything the work needs is in directories.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        kind, work = TASKS[name]
        outcome = to_jsonable_python(work(kind.model_validate_json(request.read_text(encoding="utf-8"))))
        code = 0
    except CorrectlyError as error:
        outcome = {"error": {**error.to_json()["error"], "rule": getattr(error, "rule", "")}}
        code = error.exit_code
    except MemoryError:
        text = "There is too little memory for this base model; stop other programs, or choose a smaller one."
        outcome = {"error": {"message": text, "type": "PermanentError", "code": "out_of_memory"}}
        code = 1
    write_text_atomically(result, json.dumps(outcome) + "\n")
    return code


if __name__ == "__main__":
    os.umask(0o077)
    if len(sys.argv) != 4 or sys.argv[1] not in TASKS:
        print(f"usage: python -m correctly_assets.training.tasks {'|'.join(TASKS)} REQUEST RESULT", file=sys.stderr)
        sys.exit(2)
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
