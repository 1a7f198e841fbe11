"""Reasons for injected errors, from the templates of prompts/rules.yaml.

Belongs here: choosing and filling a template. Does not belong here: the wording (prompts/rules.yaml), or rule reasons
for edits that no rule of ours made (correction/).
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

from correctly_assets.core.errors import PermanentError
from correctly_assets.core.prompts import fill
from correctly_assets.teachers.embedded.sentence import Slip, read_yaml


class ReasonWriter:
    """Fills the templates of one language.

    Attributes:
        templates: {rule: its templates}; ``{was}`` and ``{now}`` stand for the words, other placeholders for the slip's
            values.
    """

    def __init__(self, templates: Mapping[str, list[str]], language: str) -> None:
        self.templates = templates
        self.language = language

    @classmethod
    def load(cls, prompts_dir: Path, language: str) -> ReasonWriter:
        """Read the templates.

        Raises:
            PermanentError: the file is missing, or holds no templates in this language.
        """
        path = prompts_dir / "rules.yaml"
        if not path.exists():
            raise PermanentError(f"The reason templates {path} are missing; restore prompts/ from the repository.")
        table = {name: entry.get(language) or [] for name, entry in read_yaml(path).items()}
        if not any(table.values()):
            raise PermanentError(f"{path} holds no reasons in {language!r}: choose en or ko.")
        return cls(table, language)

    def write(self, slip: Slip, wrong: str, right: str, rng: random.Random) -> str:
        templates = self.templates[slip.rule]
        template = templates[0] if len(templates) == 1 else rng.choice(templates)
        return fill(template, was=wrong.strip(), now=right.strip(), **dict(slip.values))
