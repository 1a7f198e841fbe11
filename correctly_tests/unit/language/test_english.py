"""spaCy as the rooms import it."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "made",
    [
        "from correctly_assets.correction.annotate import ErrantAnnotator; ErrantAnnotator().tokens('He goes.')",
        "from correctly_assets.teachers.embedded.sentence import Parser; list(Parser().parse(['He goes.']))",
    ],
)
def test_reading_english_takes_no_pipe_of_another_package_with_it(made: str) -> None:
    code = f"import sys; {made}; print(*{{'spacy', 'presidio_analyzer', 'transformers'}} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["spacy"]
