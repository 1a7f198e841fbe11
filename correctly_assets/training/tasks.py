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

from correctly_assets.artifacts.files import write_text_atomically
from correctly_assets.core.errors import CorrectlyError
from correctly_assets.core.prompts import load_prompts
from correctly_assets.training.config import TrainConfig
from correctly_assets.training.models.base_model import base_model_revision, convert_gguf
from correctly_assets.training.models.gguf_file import check_gguf, write_gguf


def merge(request: dict[str, Any]) -> dict[str, Any]:
    """Base and adapter as one directory."""
    from correctly_assets.training.models.merging import merge_adapter

    prompts = load_prompts(Path(request["prompts_dir"]), request["chat_family"])
    return merge_adapter(request["base_model"], Path(request["adapter"]), Path(request["target"]), prompts)


def gguf(request: dict[str, Any]) -> dict[str, Any]:
    """A merged directory as one GGUF file, checked for equal answers."""
    model, target = Path(request["model"]), Path(request["target"])
    write_gguf(model, Path(request["vocabulary"]), target, name=request["name"])
    return check_gguf(model, target, request["prompts"])


def adopt(request: dict[str, Any]) -> dict[str, Any]:
    """An adapter from elsewhere, with a manifest of ours."""
    from correctly_assets.training.adoption import adopt_adapter

    identity, path, known = adopt_adapter(Path(request["directory"]), TrainConfig.model_validate(request["config"]))
    return {"adapter": identity, "path": str(path), "known": known}


def average(request: dict[str, Any]) -> dict[str, Any]:
    """The mean of two adapters, as an adapter of ours."""
    from correctly_assets.training.adoption import average_adapters

    path = average_adapters(
        Path(request["first"]), Path(request["second"]), TrainConfig.model_validate(request["config"])
    )
    return {"adapter": path.name, "path": str(path)}


def convert(request: dict[str, Any]) -> dict[str, Any]:
    """A GGUF file as a base model's directory."""
    family = request["chat_family"]
    prompts = load_prompts(Path(request["prompts_dir"]), family)
    path = convert_gguf(Path(request["gguf"]), Path(request["target"]), prompts, family)
    return {"path": str(path), "revision": base_model_revision(str(path))}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Greedy corrections of texts by a base model with an adapter."""
    from correctly_assets.training.answering import answer_texts

    prompts = load_prompts(Path(request["prompts_dir"]), request["chat_family"])
    return {"answers": answer_texts(request["base_model"], Path(request["adapter"]), prompts, request["texts"])}


TASKS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "merge": merge,
    "gguf": gguf,
    "adopt": adopt,
    "average": average,
    "convert": convert,
    "answer": answer,
}


def main(name: str, request: Path, result: Path) -> int:
    """Do the work named; returns 0, or the exit code of the error that was written."""
    # No telemetry, and no question to a hub: everything the work needs is in directories.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        outcome = TASKS[name](json.loads(request.read_text(encoding="utf-8")))
        code = 0
    except CorrectlyError as error:
        outcome = dict(error.to_json())
        outcome["error"]["rule"] = getattr(error, "rule", "")
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
