"""Evaluation sets are read in every shape they come in, or refused by line."""

from __future__ import annotations

import hashlib
import json

import pytest

from correctly_assets.core.errors import UsageError
from correctly_assets.evaluation.evaluation_set import detokenise, limited, read_evaluation_set
from correctly_assets.workflows.full_report import registered_sets


def write(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_rows_of_all_shapes_are_read_with_the_hash_of_the_file(tmp_path):
    rows = [
        {"source": " He go. ", "references": ["He goes.", "He went."], "kind": "awkward"},
        {"source": "She go.", "target": "She goes."},
        {"before": "We goes.", "after": "We go."},
    ]
    path = write(tmp_path, "set.jsonl", "\n".join(map(json.dumps, rows)) + "\n\n")
    data = read_evaluation_set(path)
    assert [row.source for row in data.rows] == ["He go.", "She go.", "We goes."]
    assert [row.references for row in data.rows] == [("He goes.", "He went."), ("She goes.",), ("We go.",)]
    assert (data.rows[0].kind, data.rows[1].kind) == ("awkward", None)
    assert data.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert data.small


def test_m2_becomes_plain_text_with_one_reference_an_annotator(tmp_path):
    m2 = """S He do n't goes to " school " .
A 2 3|||R:VERB:FORM|||n't|||REQUIRED|||-NONE-|||0
A 3 4|||R:VERB:FORM|||go|||REQUIRED|||-NONE-|||0
A -1 -1|||noop|||-NONE-|||REQUIRED|||-NONE-|||1

S Fine .
"""
    data = read_evaluation_set(write(tmp_path, "set.m2", m2))
    assert data.rows[0].source == 'He don\'t goes to "school".'
    assert data.rows[0].references == ('He don\'t go to "school".', 'He don\'t goes to "school".')
    assert data.rows[1].references == ("Fine.",)


def test_m2_insertions_keep_their_order_and_the_first_alternative_counts(tmp_path):
    m2 = """S I went shop .
A 2 2|||M:PREP|||to|||REQUIRED|||-NONE-|||0
A 2 2|||M:DET|||the||a|||REQUIRED|||-NONE-|||0
A 2 3|||R:NOUN|||shops|||REQUIRED|||-NONE-|||0
"""
    data = read_evaluation_set(write(tmp_path, "set.m2", m2))
    assert data.rows[0].references == ("I went to the shops.",)


def test_parallel_text_is_read_by_its_source_file_or_its_folder(tmp_path):
    folder = tmp_path / "dev"
    folder.mkdir()
    write(folder, "dev.src", "He do n't goes .\n\nFine , thanks .\n")
    write(folder, "dev.ref0", "He does n't go .\n\nFine , thanks .\n")
    write(folder, "dev.ref1", "He did n't go .\n\n\n")
    data = read_evaluation_set(folder)
    assert [row.source for row in data.rows] == ["He don't goes.", "Fine, thanks."]
    assert data.rows[0].references == ("He doesn't go.", "He didn't go.")
    assert data.rows[1].references == ("Fine, thanks.",)
    assert (data.name, data) == ("dev.src", read_evaluation_set(folder / "dev.src"))
    assert len(read_evaluation_set(folder, 1).rows) == 1
    write(folder, "dev.ref1", "He did not go .\n\n\n")
    assert read_evaluation_set(folder).sha256 != data.sha256
    write(folder, "dev.ref1", "He did n't go .\n")
    with pytest.raises(UsageError, match=r"dev\.ref1 has 1 lines and dev\.src 3"):
        read_evaluation_set(folder)
    write(folder, "dev.ref1", "\n\n\n")
    write(folder, "dev.ref0", "\n\n\n")
    with pytest.raises(UsageError, match=r"dev\.src, line 1 has no reference"):
        read_evaluation_set(folder)
    with pytest.raises(UsageError, match=r"alone\.ref0 is wanted"):
        read_evaluation_set(write(tmp_path, "alone.src", "He go ."))


def test_parallel_text_in_the_evaluation_folder_is_a_registered_set(settings):
    folder = settings.platform.home / "evaluation" / "jfleg"
    folder.mkdir(parents=True)
    write(folder, "dev.src", "He go .\n")
    write(folder, "dev.ref0", "He goes .\n")
    (settings.platform.home / "evaluation" / "few-shot").mkdir()
    frozen, ours = registered_sets(settings)
    assert frozen.path is None
    assert (ours.data.name, ours.path, len(ours.data.rows)) == ("dev.src", folder, 1)


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        ("I ca n't , he 'll .", "I can't, he'll."),
        ("( see p. 3 ) costs $ 5 ; really ?", "(see p. 3) costs $5; really?"),
        ("`` Go ! '' she said .", '"Go!" she said.'),
        ("the dogs ' bowl", "the dogs ' bowl"),
    ],
)
def test_tokens_are_put_back_as_text(tokens, text):
    assert detokenise(tokens.split()) == text


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"source": "x"}', '{"source": "", "references": ["x"]}', '{"source": 3, "target": "x"}']
)
def test_a_line_that_is_no_row_is_named(tmp_path, line):
    path = write(tmp_path, "bad.jsonl", '{"source": "a", "target": "b"}\n' + line)
    with pytest.raises(UsageError, match=r"bad.jsonl, line 2"):
        read_evaluation_set(path)


def test_missing_empty_and_foreign_files_are_one_sentence(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        read_evaluation_set(tmp_path / "none.jsonl")
    with pytest.raises(UsageError, match="holds no rows"):
        read_evaluation_set(write(tmp_path, "empty.jsonl", "\n"))
    (tmp_path / "latin.jsonl").write_bytes(b'{"source": "caf\xe9", "target": "x"}')
    with pytest.raises(UsageError, match="UTF-8"):
        read_evaluation_set(tmp_path / "latin.jsonl")
    with pytest.raises(UsageError, match="not an M2 file"):
        read_evaluation_set(write(tmp_path, "x.m2", "hello"))


def test_a_limit_keeps_the_mix_and_has_a_hash_of_its_own(tmp_path):
    rows = [{"source": f"text {n}", "target": "x", "kind": "correct" if n >= 60 else "awkward"} for n in range(100)]
    data = read_evaluation_set(write(tmp_path, "set.jsonl", "\n".join(map(json.dumps, rows))))
    some = limited(data, 20)
    assert len(some.rows) == 20
    assert sum(row.kind == "correct" for row in some.rows) == 8
    assert some.sha256 not in (data.sha256, limited(data, 10).sha256)
    assert limited(data, 100) is data
