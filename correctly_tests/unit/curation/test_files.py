"""Rows and files: what is taken, what is refused, and that one bad row costs no other."""

from __future__ import annotations

import io
import json
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import Workbook

from correctly_assets.core.errors import PermanentError, UsageError
from correctly_assets.core.landing import content_sha
from correctly_assets.core.ports import Refusal
from correctly_assets.core.types import Example, Reason
from correctly_assets.curation.columns import Columns, parse_map
from correctly_assets.curation.file_layouts import detokenise
from correctly_assets.curation.guards import make_guards
from correctly_assets.curation.land_file import BATCH_ROWS, batch_rows, land_file, land_rows
from correctly_assets.curation.readers import MAX_FILE_BYTES, MAX_WHOLE_BYTES, read_rows
from correctly_assets.curation.rows import MAX_TEXT, parse_row
from correctly_assets.curation.tables import MAX_UNPACKED_BYTES, train_files
from correctly_assets.settings import PROJECT_ROOT
from correctly_assets.store import Store, open_store

GUARDS = make_guards()
GOOD = {"before": "He go home.", "after": "He goes home."}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path / 'store.sqlite'}", PROJECT_ROOT / "sql") as opened:
        yield opened


def good(raw: Any, **how: Any) -> Example:
    row = parse_row(raw, **how)
    assert isinstance(row, Example), row
    return row


def why(raw: Any, **how: Any) -> str:
    row = parse_row(raw, **how)
    assert isinstance(row, Refusal), row
    return row.reason


def before_of(path: Path) -> list[Any]:
    """What each row of a file shows: its ``before``, or the words of its refusal."""
    return [row.reason if isinstance(row, Refusal) else row.get("before") for _, row in read_rows(path)]


# -- rows ----------------------------------------------------------------------------------------------------------


def test_a_row_becomes_an_example_under_the_hash_of_its_content() -> None:
    row = good(
        {
            "before": "  He   go\nhome. ",
            "after": "He goes home.",
            "reasons": [{"was": "go", "now": "goes", "reason": " The subject  is singular. "}],
            "form": "Email",
            "key_expressions": ["go home"],
            "speaker": "",
            "junk": 3,
        }
    )
    assert (row.before, row.form, row.speaker, row.language) == ("He go home.", "email", None, "en")
    assert row.reasons == (Reason("go", "goes", "The subject is singular."),)
    assert row.id == content_sha(row)[:16]
    assert row.id == good({**GOOD, "reasons": [{"was": "go", "now": "goes", "reason": "The subject is singular."}]}).id
    assert row.id != good(GOOD).id


def test_lists_may_be_json_text_as_they_are_in_csv() -> None:
    reasons = json.dumps([{"was": "go", "now": "goes", "reason": "Singular."}])
    assert good({**GOOD, "reasons": reasons, "key_expressions": '["a", "b"]'}).key_expressions == ("a", "b")
    assert good({**GOOD, "reasons": reasons}).reasons[0].now == "goes"
    assert good({**GOOD, "key_expressions": "go home; at once"}).key_expressions == ("go home", "at once")
    assert good({**GOOD, "reasons": "", "key_expressions": None}).reasons == ()


def test_a_row_without_after_waits_and_an_unchanged_one_is_fine() -> None:
    assert good({"before": "He go."}).after is None
    assert good({"before": "He go.", "after": "  "}).after is None
    assert good({"before": "He goes.", "after": "He goes."}).after == "He goes."


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ([], "must be an object"),
        ({}, "`before` is missing; put the text"),
        ({"before": " \n"}, "`before` is empty; put the text"),
        ({"before": "123 ?!"}, "`before` holds no word; leave the row out."),
        ({"before": 3}, "`before` must be text, not a number; write it"),
        ({"before": "x" * (MAX_TEXT + 1)}, "`before` has 2,001 characters; at most 2,000 are taken: split it."),
        ({"before": "x" * 10_000_000}, "`before` has 10,000,000 characters"),
        ({**GOOD, "after": "a\x00b"}, "`after` holds a NUL character"),
        ({**GOOD, "topic": "a\x07b"}, "`topic` holds a control character"),
        ({"before": "caf\udce9"}, "`before` is not valid UTF-8"),
        ({"before": "caf\ufffd"}, "`before` is not valid UTF-8"),
        ({"before": "=SUM(A1:A3)"}, "`before` is a spreadsheet formula"),
        ({**GOOD, "after": "=A1"}, "`after` is a spreadsheet formula"),
        ({"before": '+HYPERLINK("x")'}, "`before` is a spreadsheet formula"),
        ({**GOOD, "language": "English!"}, "`language` must be a code"),
        ({**GOOD, "language": "xx"}, "The language 'xx' is not known here; write one of en, ko."),
        ({**GOOD, "reasons": "[{"}, "`reasons` is not valid JSON; write ["),
        ({**GOOD, "reasons": "[" * 5000}, "`reasons` is not valid JSON; write ["),
        ({**GOOD, "reasons": {"was": "go"}}, "`reasons` must be a list, not an object; put it"),
        ({**GOOD, "reasons": ["go"]}, "Reason 1 must be an object"),
        ({**GOOD, "reasons": [{"was": "go", "now": "goes", "reason": ""}]}, "Reason 1 says nothing"),
        ({**GOOD, "reasons": [{"was": "", "now": "", "reason": "x"}]}, "Reason 1 names no words"),
        ({**GOOD, "reasons": [{"was": "went", "now": "goes", "reason": "x"}]}, "'went', which `before` does not have"),
        ({**GOOD, "reasons": [{"was": "go", "now": "gone", "reason": "x"}]}, "'gone', which `after` does not have"),
        ({"before": "He go.", "reasons": [{"was": "go", "now": "", "reason": "x"}]}, "explain an `after`"),
        ({**GOOD, "reasons": [{"was": "go", "now": "goes", "reason": "x"}] * 65}, "`reasons` has 65 entries"),
        ({**GOOD, "reasons": [{"was": 1, "now": "goes", "reason": "x"}]}, "`was` of reason 1 must be text"),
    ],
)
def test_a_bad_row_is_refused_in_words(row: Any, words: str) -> None:
    assert words in why(row, languages={"en", "ko"})


@pytest.mark.parametrize(
    "text",
    ["- I went home.", "+ one more", "@anna can you come?", "-5 degrees it was", "He said = no.", "@Anna: can you calls me?",
     "-Hello! How is you?", "-Yes! I am come", "=) it was fun", "=D I laughs", "=3 I loves it", "-IT was late", "@You (all)"],
)  # fmt: skip
def test_what_only_looks_like_a_formula_is_taken(text: str) -> None:
    assert good({"before": text}).before == text


@pytest.mark.parametrize(
    "text",
    ["=1+1", "=A1", "=$A$1", "= SUM(A1:A3)", '="text"', "=-2+3", "@SUM(1+1)", "-SUM(A1)", "+cmd|' /C calc'!A0",
     "-2+3+cmd|' /C calc'!A0", "=cmd|' /C calc'!A0"],
)  # fmt: skip
def test_a_formula_or_a_command_of_a_spreadsheet_is_refused(text: str) -> None:
    assert "is a spreadsheet formula; put its value there" in why({"before": text})


@given(st.dictionaries(st.sampled_from(["before", "after", "reasons", "language", "key_expressions", "x"]),
                       st.none() | st.text() | st.integers() | st.lists(st.none() | st.text(max_size=5), max_size=3)))  # fmt: skip
def test_any_row_ends_as_an_example_or_a_sentence(raw: dict[str, Any]) -> None:
    row = parse_row(raw)
    if isinstance(row, Refusal):
        assert row.reason.endswith(".")
    else:
        assert row.before.strip()
        json.dumps([row.before, row.after], ensure_ascii=False).encode()


# -- formats -------------------------------------------------------------------------------------------------------


def test_csv_is_read_with_commas_semicolons_tabs_and_in_utf_16(tmp_path: Path) -> None:
    for number, (separator, encoding) in enumerate([(",", "utf-8"), (";", "utf-8-sig"), ("\t", "utf-16")]):
        path = tmp_path / f"rows{number}.csv"
        lines = [("before", "after"), ('"Zwei, drei; é"', "Two")]
        path.write_text("\r\n".join(separator.join(cells) for cells in lines), encoding=encoding)
        assert [row for _, row in read_rows(path)] == [{"before": "Zwei, drei; é", "after": "Two"}]


def test_a_cell_may_have_several_lines_and_rows_count_from_their_first(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('before,after\n"one\ntwo",x\n\nthree,y\n')
    assert [(line, row) for line, row in read_rows(path)] == [
        (2, {"before": "one\ntwo", "after": "x"}),
        (5, {"before": "three", "after": "y"}),
    ]


def rows_in(path: Path, columns: Columns | None = None) -> list[tuple[Any, ...]]:
    """(line, before, after) of each row of a file, or (line, the words of its refusal)."""
    return [
        (line, row.reason) if isinstance(row, Refusal) else (line, row.get("before"), row.get("after"))
        for line, row in read_rows(path, columns)
    ]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"sep=;\nbefore;after\nI has it.;I have it.\n", 3),
        ("\ufeffsep=;\r\nBefore;After\r\nI has it.;I have it.\r\n".encode(), 3),
        ("sep=\t\r\nbefore\tafter\r\nI has it.\tI have it.\r\n".encode("utf-16"), 3),
        (b"Before, After\nI has it.,I have it.\n", 2),
        (b'Before, After\n"I has it.", "I have it."\n', 2),
        ("\u00a0BEFORE\u00a0|after \nI has it.|I have it.\n".encode(), 2),
        (b"before,after\nI has it.,I have it.,\n", 2),
        (b"before;after;;\nI has it.;I have it.;;;;\n", 2),
        (b";;\n\nbefore;after\nI has it.;I have it.\n", 4),
        (b"input,output\nI has it.,I have it.\n", 2),
        (b"source,target\nI has it.,I have it.\n", 2),
        (b"Incorrect,Correct\nI has it.,I have it.\n", 2),
        (b"id,Original,Corrected\n7,I has it.,I have it.\n", 2),
        (b"Original text;Corrected text\nI has it.;I have it.\n", 2),
        (b"before_sentence,after_sentence\nI has it.,I have it.\n", 2),
        (b"Error,Correction\nI has it.,I have it.\n", 2),
        ("before,after\nI has it.,I have it.\n".encode("utf-16-le"), 2),
        (b"before,after\rI has it.,I have it.\r", 2),
        ("before,after\nI has it.,I have it.\n".encode("utf-32"), 2),
        ("before,after\nI has it.,I have it.\n".encode("utf-32-be"), 2),
        (b"My corrections\nbefore,after\nI has it.,I have it.\n", 3),
        (b"My corrections;;\n;;\nOf May\nbefore;after;\nI has it.;I have it.;\n", 5),
        (b'[{"before": "I has it.", "after": "I have it."}]', 1),
        (b'{"before": "I has it.", "after": "I have it."}\n', 1),
    ],
)  # fmt: skip
def test_csv_is_read_as_spreadsheets_save_it(tmp_path: Path, content: bytes, line: int) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    assert rows_in(path) == [(line, "I has it.", "I have it.")]


def test_in_a_file_of_one_column_a_comma_parts_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('before\nWell, I has it, too.\n"So, have she."\n')
    assert before_of(path) == ["Well, I has it, too.", "So, have she."]


def test_a_file_without_a_header_is_told_to_get_one(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("I has it.,I have it.\n" * 20)
    with pytest.raises(
        UsageError, match=r"its columns are: I has it\., I have it\.\. .* put a line `before,after` above it"
    ):
        list(read_rows(path))


@pytest.mark.parametrize(
    ("name", "start", "words"),
    [
        ("rows.csv", b"PK\x03\x04rows", "is a ZIP archive"),
        ("rows.zip", b"PK\x03\x04rows", "is a ZIP archive"),
        ("rows.jsonl", b"\x1f\x8b\x08rows", "is packed with gzip"),
        ("rows.xlsx", b"\xd0\xcf\x11\xe0\xa1", "is an old Office document, or one with a password"),
    ],
)
def test_a_packed_file_is_told_so_whatever_it_is_called(tmp_path: Path, name: str, start: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(start)
    with pytest.raises(UsageError, match=rf"{name} {words}.*; unpack it, or save it as"):
        list(read_rows(path))


def test_text_with_tabs_may_be_written_without_quoting(tmp_path: Path) -> None:
    path = tmp_path / "rows.txt"
    path.write_text('before\tafter\n"I am agree," he say.\t"I agree," he says.\n"I has it."\tI have it.\n')
    assert rows_in(path) == [(2, '"I am agree," he say.', '"I agree," he says.'), (3, "I has it.", "I have it.")]


def test_an_apostrophe_that_marks_text_in_a_spreadsheet_is_no_part_of_it(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("before,after\n'-Hello! How is you?,'-Hello! How are you?\n'Tis late.,It's late.\n")
    assert rows_in(path) == [(2, "-Hello! How is you?", "-Hello! How are you?"), (3, "'Tis late.", "It's late.")]


def test_columns_of_other_names_are_read_as_a_person_says(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("Learner text,Teacher,Where\nI has it.,I have it.,school\n")
    columns = parse_map(["before=learner text", "after=Teacher", "topic=Where"])
    [(_, row)] = read_rows(path, columns)
    assert row == {"before": "I has it.", "after": "I have it.", "topic": "school"}
    with pytest.raises(UsageError, match="has no column 'Pupil', which --map names; its columns are: Learner text"):
        list(read_rows(path, parse_map(["before=Pupil"])))
    for wrong in (["before"], ["colour=Where"], ["before=a", "before=b"]):
        with pytest.raises(UsageError, match="--map"):
            parse_map(wrong)


def test_two_pairs_of_columns_that_may_be_meant_are_not_guessed_between(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("input,output,original,corrected\na,b,c,d\n")
    with pytest.raises(UsageError, match=r"\(input/output, original/corrected\).* --map"):
        list(read_rows(path))
    path.write_text("source,before,after\nweb,I has it.,I have it.\n")
    [(_, row)] = read_rows(path)
    assert row == {"source": "web", "before": "I has it.", "after": "I have it."}


def test_a_stray_quotation_mark_costs_one_row_and_not_the_rest_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('before,after\na,b\n"stray,c\nd,e\nf,"g"h\ni,j\n"last\n')
    shown = before_of(path)
    assert [text for text in shown if len(text) == 1] == ["a", "d", "i"]
    assert sum("quotation marks are off" in text for text in shown) == 3


def test_a_stray_quotation_mark_in_a_long_file_does_not_read_it_repeatedly(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("before,after\n" + '"stray,x\n' * 3000 + "good,x\n")
    shown = before_of(path)
    assert shown[-1] == "good"
    assert len(shown) == 3001


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (
            b"text,fixed\na,b\n",
            "has no column `before` in its first line; its columns are: text, fixed. .* --map before=COLUMN",
        ),
        (b"before,before\na,b\n", "has the column `before` twice"),
        (b"\xff\xfeb", "is neither UTF-8 nor UTF-16"),
    ],
)
def test_a_csv_that_cannot_be_read_as_a_whole_says_why(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=words):
        list(read_rows(path))


def test_a_csv_in_the_wrong_encoding_loses_only_the_rows_it_garbles(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "rows.csv"
    rows = [
        b"before,after\nPlain text,Plain\n",
        "The café close early,x\n".encode("latin-1"),
        "Möre text,More\n".encode(),
    ]
    path.write_bytes(b"".join(rows))
    outcome = land_file(path, store, GUARDS)
    assert (outcome.landed, outcome.refused) == (2, 1)
    assert "not valid UTF-8; save the file as UTF-8" in outcome.reasons[0][0]


def test_csv_in_the_encoding_of_windows_is_read_and_said_to_be(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes("before;after\r\nThe café’s close – at 5 €.;The café’s closed – at 5 €.\r\n".encode("cp1252"))
    assert rows_in(path) == [(2, "The café’s close – at 5 €.", "The café’s closed – at 5 €.")]
    outcome = land_file(path, store, GUARDS)
    assert (outcome.landed, outcome.read_as) == (1, "Windows-1252")
    assert "Windows-1252" in outcome.message


@pytest.mark.parametrize("encoding", ["cp949", "shift_jis", "cp1251", "utf-8", "utf-16"])
def test_no_other_encoding_is_taken_for_that_of_windows(tmp_path: Path, store: Store, encoding: str) -> None:
    topic = {"cp949": "한국어 문장", "shift_jis": "日本語の文", "cp1251": "Русский текст"}.get(encoding, "café")
    path = tmp_path / "rows.csv"
    path.write_bytes(f"before,after,topic\nI has it.,I have it.,{topic}\n".encode(encoding))
    outcome = land_file(path, store, GUARDS)
    assert outcome.read_as is None and outcome.landed == ("utf" in encoding)


def test_jsonl_refuses_each_broken_line_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    lines = [
        b'\xef\xbb\xbf{"before": "a"}',
        b"{",
        b"[1]",
        b"",
        b'{"before": "caf\xe9"}',
        b"[" * 100_000,
        b'{"before": "z"}',
    ]
    path.write_bytes(b"\n".join(lines))
    shown = before_of(path)
    assert (shown[0], shown[-1]) == ("a", "z")
    assert "not valid JSON" in shown[1]
    assert "not a JSON object" in shown[2]
    assert "not valid UTF-8" in shown[3]
    assert "nested too deeply" in shown[4]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig"])
def test_jsonl_is_read_as_powershell_writes_it(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(
        '{"before":"I has it.","after":"I have it."}\r\n\r\n{"Before":"She go.","After":null}\r\n'.encode(encoding)
    )
    assert rows_in(path) == [(1, "I has it.", "I have it."), (3, "She go.", None)]


def chat(*turns: str, **more: Any) -> dict[str, Any]:
    """A line of OpenAI's chat format: turns of user and assistant by turns, after a system message."""
    roles = ["user", "assistant"] * len(turns)
    said = [{"role": role, "content": text} for role, text in zip(roles, turns, strict=False)]
    return {"messages": [{"role": "system", "content": "Correct the text."}, *said], **more}


def test_chats_for_fine_tuning_give_a_row_for_each_answer(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    parts = {"role": "user", "content": [{"type": "text", "text": "She go."}]}
    weighed = chat("He go.", "He went?", "He go.", "He goes.")
    weighed["messages"][2]["weight"] = 0
    lines = [
        chat("I has it.", "I have it."),
        chat("I has it.", "I have it.", "He go.", "He goes."),
        {"messages": [parts, {"role": "assistant", "content": "She goes."}]},
        weighed,
        {"conversations": [{"from": "human", "value": "We was."}, {"from": "gpt", "value": "We were."}]},
        chat("It wait."),
        {"messages": [{"role": "system", "content": "x"}]},
        {"messages": ["x"]},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    shown = rows_in(path)
    assert shown[:7] == [
        (1, "I has it.", "I have it."), (2, "I has it.", "I have it."), (2, "He go.", "He goes."),
        (3, "She go.", "She goes."), (4, "He go.", "He goes."), (5, "We was.", "We were."), (6, "It wait.", None),
    ]  # fmt: skip
    assert "holds no text of a user; write a user's message" in shown[7][1]
    assert "is no object; write" in shown[8][1]


@pytest.mark.parametrize(
    "value",
    [
        [{"instruction": "Fix grammar", "input": "I has it.", "output": "I have it."}],
        {"data": [{"source": "I has it.", "target": "I have it."}]},
        {"train": [{"src": "I has it.", "tgt": "I have it."}], "test": [{"src": "a", "tgt": "b"}]},
        {"before": "I has it.", "after": "I have it."},
        [chat("I has it.", "I have it.")],
        [{"sentence": "I has it.", "corrections": ["I have it.", "I have it."]}],
    ],
)
def test_json_is_read_as_an_array_of_rows(tmp_path: Path, value: Any) -> None:
    for name in ("rows.json", "rows.jsonl"):
        path = tmp_path / name
        path.write_text(json.dumps(value, indent=2 if name.endswith("json") else None))
        if name == "rows.json" or isinstance(value, list):
            assert rows_in(path) == [(1, "I has it.", "I have it.")]


def test_json_that_is_none_is_said_so_and_lines_of_it_are_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text('{"before": "I has it."}\n{"before": "She go."}\nnot json\n')
    assert rows_in(path)[:2] == [(1, "I has it.", None), (2, "She go.", None)]
    assert "write one object a line" in rows_in(path)[2][1]
    path.write_text("[1, 2")
    with pytest.raises(UsageError, match="write an array of objects, or one object a line"):
        list(read_rows(path))
    path.write_text(json.dumps([{"instruction": "I has it.", "input": "", "output": "I have it."}, {"x": 1}, 3]))
    instead, other, number = (words for _, words in rows_in(path))
    assert "and not into `instruction`" in instead and "--map before=COLUMN" in other and "not a JSON object" in number


@pytest.mark.parametrize(
    "value",
    [
        {"before": ["I has it.", "She go."], "after": ["I have it.", "She goes."]},
        {"before": {"0": "I has it.", "1": "She go."}, "after": {"0": "I have it.", "1": "She goes."}},
    ],
)
def test_json_may_hold_a_table_by_its_columns(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(value))
    assert rows_in(path) == [(1, "I has it.", "I have it."), (2, "She go.", "She goes.")]


def test_a_comma_too_many_in_json_is_passed_over_or_shown(tmp_path: Path) -> None:
    lines, whole = tmp_path / "rows.jsonl", tmp_path / "rows.json"
    lines.write_text('{"before": "I has it.", "after": "I have it."},\n')
    assert rows_in(lines) == [(1, "I has it.", "I have it.")]
    whole.write_text('[\n{"before": "I has it."},\n]')
    with pytest.raises(UsageError, match=r"is not valid JSON \(line 3, character 1: "):
        list(read_rows(whole))


@pytest.mark.parametrize(
    ("turns", "shown"),
    [
        ([("human", "I has it."), ("chatgpt", "I have it.")], "I have it."),
        ([("user", "I has it."), ("assistant", None), ("tool", "found"), ("model", "I have it.")], "I have it."),
        ([("user", "I has it."), ("pirate", "Arr.")], "Who wrote a message of `conversation` is not known ('pirate')"),
    ],
)
def test_no_answer_of_a_chat_is_lost_by_the_name_of_who_wrote_it(
    tmp_path: Path, turns: list[tuple[str, str | None]], shown: str
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"conversation": [{"from": who, "value": text} for who, text in turns]}))
    [(_, row)] = read_rows(path)
    assert (row.reason if isinstance(row, Refusal) else str(row["after"])).startswith(shown)


def test_m2_and_parallel_text_are_read_in_utf_16(tmp_path: Path) -> None:
    m2 = tmp_path / "rows.m2"
    m2.write_bytes("S I has it .\r\nA 1 2|||R|||have|||REQUIRED|||-NONE-|||0\r\n".encode("utf-16"))
    for name, text in (("rows.src", "I has it .\r\n"), ("rows.tgt", "I have it .\r\n")):
        (tmp_path / name).write_bytes(text.encode("utf-16"))
    assert rows_in(m2) == rows_in(tmp_path / "rows.src") == [(1, "I has it.", "I have it.")]


def test_a_folder_of_parquet_files_is_read_without_its_test_split(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    (folder / "data").mkdir(parents=True)
    for name, text in (("train-00000-of-00002", "a"), ("train-00001-of-00002", "b"), ("test-00000-of-00001", "c")):
        table = pa.table({"input": [f"I has {text}.", None], "output": [f"I have {text}.", None]})
        pq.write_table(table, folder / "data" / f"{name}.parquet")
    (folder / "README.md").write_text("# Corpus")
    assert [row for row in rows_in(folder) if row[1:] != (None, None)] == [
        (1, "I has a.", "I have a."), (3, "I has b.", "I have b."),
    ]  # fmt: skip
    assert [file.name for file in train_files(folder)[1]] == ["test-00000-of-00001.parquet"]
    for file in (folder / "data").glob("train*"):
        file.unlink()
    assert rows_in(folder)[0] == (1, "I has c.", "I have c.")


def test_parquet_is_read_with_reasons_as_structs_or_as_text(tmp_path: Path) -> None:
    reason = {"was": "go", "now": "goes", "reason": "Singular."}
    for name, reasons in (("structs", [[reason], None]), ("text", [json.dumps([reason]), None])):
        path = tmp_path / f"{name}.parquet"
        pq.write_table(pa.table({"before": ["He go.", "x"], "after": ["He goes.", None], "reasons": reasons}), path)
        first, second = (row for _, row in read_rows(path))
        assert good(first).reasons == (Reason(**reason),)
        assert second == {"before": "x"}


def test_a_parquet_file_that_is_none_or_lacks_before_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"PAR1 not really")
    with pytest.raises(UsageError, match="not a readable Parquet file"):
        list(read_rows(path))
    pq.write_table(pa.table({"text": ["x"]}), path)
    with pytest.raises(UsageError, match="has no column `before`; its columns are: text"):
        list(read_rows(path))


def test_m2_gives_a_row_for_each_annotator_that_differs(tmp_path: Path) -> None:
    path = tmp_path / "rows.m2"
    path.write_text(
        "S He go to school , is n't it ?\n"
        "A 1 2|||R:VERB:SVA|||goes|||REQUIRED|||-NONE-|||0\n"
        "A 1 2|||R:VERB:TENSE|||went|||REQUIRED|||-NONE-|||1\n"
        "A 2 2|||M:ADV|||back|||REQUIRED|||-NONE-|||1\n\n"
        "S All is well .\n"
        "A -1 -1|||noop|||-NONE-|||REQUIRED|||-NONE-|||0\n\n"
        "S Broken one .\n"
        "A 7 9|||R:X|||y|||REQUIRED|||-NONE-|||0\n"
        "A nonsense\n\n"
        "S Drop the the word .\n"
        "A 2 3|||U:DET|||-NONE-|||REQUIRED|||-NONE-|||0\n"
    )
    rows = [row for _, row in read_rows(path)]
    found = [(row["before"], row["after"]) for row in rows if not isinstance(row, Refusal)]
    assert found == [
        ("He go to school, isn't it?", "He goes to school, isn't it?"),
        ("He go to school, isn't it?", "He went back to school, isn't it?"),
        ("All is well.", "All is well."),
        ("Drop the the word.", "Drop the word."),
    ]
    assert sum(isinstance(row, Refusal) for row in rows) == 1


def test_parallel_text_gives_a_row_for_each_reference_that_differs(tmp_path: Path) -> None:
    (tmp_path / "dev.src").write_text("He go .\nAll well .\n\n")
    (tmp_path / "dev.ref0").write_text("He goes .\nAll is well .\n\n")
    (tmp_path / "dev.ref1").write_text("He went .\nAll is well .\n\n")
    for path in (tmp_path, tmp_path / "dev.src"):
        rows = [(line, row["before"], row["after"]) for line, row in read_rows(path) if not isinstance(row, Refusal)]
        assert rows == [(1, "He go.", "He goes."), (1, "He go.", "He went."), (2, "All well.", "All is well.")]
    (tmp_path / "dev.spellchecked.src").write_text("He goes .\nAll well .\n\n")
    assert len([row for _, row in read_rows(tmp_path) if not isinstance(row, Refusal)]) == 3
    (tmp_path / "dev.ref1").write_text("He went .\n")
    with pytest.raises(UsageError, match=r"dev.ref1 has 1 lines and dev.src 3"):
        list(read_rows(tmp_path))


def test_parallel_text_may_be_one_source_and_one_target(tmp_path: Path) -> None:
    (tmp_path / "train[1].src").write_text("I has it.\nShe go.\n")
    (tmp_path / "train[1].tgt").write_text("I have it.\nShe goes.\n")
    assert rows_in(tmp_path / "train[1].src") == [(1, "I has it.", "I have it."), (2, "She go.", "She goes.")]
    assert rows_in(tmp_path) == rows_in(tmp_path / "train[1].src")
    (tmp_path / "alone.tgt").write_text("x")
    with pytest.raises(UsageError, match=r"its NAME.src is not beside it"):
        list(read_rows(tmp_path / "alone.tgt"))


def test_one_file_of_parallel_text_alone_is_refused_with_what_to_do(tmp_path: Path) -> None:
    for name in ("dev.src", "test.ref0"):
        (tmp_path / name).write_text("He go .\n")
        with pytest.raises(UsageError, match="correctly add FOLDER"):
            list(read_rows(tmp_path / name))


def test_tokenised_text_is_written_as_people_write_it() -> None:
    tokens = "I do n't know ( really ) , but \" he 's fine \" , she said ; we can not go !"
    assert detokenise(tokens) == "I don't know (really), but \"he's fine\", she said; we cannot go!"


def test_a_workbook_is_read_from_the_sheet_that_has_before(tmp_path: Path) -> None:
    workbook = Workbook()
    notes = workbook.active
    assert notes is not None
    notes.append(["notes"])
    sheet = workbook.create_sheet("rows")
    for cells in (
        ["Corrections of May"],
        ["before", "after"],
        ["He go.", "He goes."],
        [None, None],
        ["=1+1", "x"],
        [12, "x"],
    ):
        sheet.append(cells)
    path = tmp_path / "rows.xlsx"
    workbook.save(path)
    rows = list(read_rows(path))
    assert rows[0] == (3, {"before": "He go.", "after": "He goes."})
    assert "spreadsheet formula" in why(rows[1][1])
    assert "must be text" in why(rows[2][1])
    (tmp_path / "broken.xlsx").write_bytes(b"PK nothing")
    with pytest.raises(UsageError, match="not a readable Excel workbook"):
        list(read_rows(tmp_path / "broken.xlsx"))


def test_a_workbook_is_read_as_word_pastes_into_it(tmp_path: Path) -> None:
    workbook = Workbook()
    sheet = workbook.active
    assert sheet is not None
    reasons = "[{“was”: “has”, “now”: “have”, “reason”: “I is first person.”}]"
    rows = [
        [None, None],
        ["Before\u00a0", "AFTER", "Reasons"],
        ["I has it._x000D_\nThanks.", "I have it._x000D_\nThanks.", reasons],
        ["I\u00a0has “it” there\u00ad.", "I have\u200b “it” there.", None],
        ["'-Hello! How is you?", "'-Hello! How are you?", None],
    ]
    for cells in rows:
        sheet.append(cells)
    path = tmp_path / "rows.xlsx"
    workbook.save(path)
    first, second, third = (good(row) for _, row in read_rows(path))
    assert (first.before, first.after) == ("I has it. Thanks.", "I have it. Thanks.")
    assert first.reasons == (Reason("has", "have", "I is first person."),)
    assert (second.before, second.after) == ("I has “it” there.", "I have “it” there.")
    assert third.before == "-Hello! How is you?"


def test_a_file_that_claims_too_much_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("xl/sheet.xml", "w") as part:
        for _ in range(MAX_UNPACKED_BYTES // 2**24 + 1):
            part.write(bytes(2**24))
    assert path.stat().st_size < 2**23
    with pytest.raises(UsageError, match=r"unpacks to 1\.0 GB and may have 1 GB; split it"):
        list(read_rows(path))
    for name, size in (("huge.jsonl", MAX_FILE_BYTES), ("huge.json", MAX_WHOLE_BYTES)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(size + 1)
        with pytest.raises(UsageError, match="MB; split it into several files"):
            list(read_rows(tmp_path / name))


def test_a_file_that_is_missing_or_of_an_unknown_kind_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        list(read_rows(tmp_path / "nothing.csv"))
    (tmp_path / "rows.docx").write_text("x")
    with pytest.raises(UsageError, match="convert it to one of them"):
        list(read_rows(tmp_path / "rows.docx"))
    with pytest.raises(UsageError, match="add its files themselves"):
        list(read_rows(tmp_path))


@pytest.mark.parametrize("kind", ["xlsx", "parquet", "csv", "utf16.csv", "jsonl", "json", "m2", "src"])
def test_a_good_file_damaged_anywhere_ends_in_rows_refusals_or_a_sentence(tmp_path: Path, kind: str) -> None:
    """Cut, zeroed or altered at many places: whatever else a reader raises would stop the inbox at that file."""
    path = tmp_path / f"rows.{kind}"
    whole = _good_file(path)
    chance = random.Random(kind)
    ends = [len(whole) * n // 25 for n in range(25)]
    damaged = [whole[:end] for end in ends] + [whole[: end - 1] for end in ends[1:]]
    damaged += [whole[:end] + bytes(len(whole) // 9) + whole[end + len(whole) // 9 :] for end in ends[:22]]
    for _ in range(40):
        altered = bytearray(whole)
        for _ in range(chance.choice((1, 5, 30))):
            altered[chance.randrange(len(whole))] = chance.randrange(256)
        damaged.append(bytes(altered))
    if kind == "xlsx":
        damaged += _workbooks_with_a_cut_part(whole)
    said = 0
    for data in damaged:
        path.write_bytes(data)
        try:
            rows = list(read_rows(path))
        except UsageError:
            said += 1
        else:
            assert all(isinstance(row, (dict, Refusal)) for _, row in rows)
    assert said or kind in ("csv", "jsonl", "utf16.csv", "m2")


def _good_file(path: Path) -> bytes:
    """Writes 120 good rows in the file's own format and returns what it then holds."""
    rows = [(f"He go to plan {n} – naïve .", f"He goes to plan {n} – naïve .") for n in range(120)]
    if path.name.endswith("xlsx"):
        workbook = Workbook()
        sheet = workbook.active
        assert sheet is not None
        for cells in (("before", "after"), *rows):
            sheet.append(cells)
        workbook.save(path)
    elif path.name.endswith("parquet"):
        pq.write_table(pa.table(dict(zip(("before", "after"), zip(*rows, strict=True), strict=True))), path)
    elif path.name.endswith("csv"):
        text = "before,after\n" + "".join(f'"{before}","{after}"\n' for before, after in rows)
        path.write_text(text, encoding="utf-16" if "utf16" in path.name else "utf-8")
    elif path.name.endswith("jsonl"):
        path.write_text("".join(json.dumps({"before": before, "after": after}) + "\n" for before, after in rows))
    elif path.name.endswith("json"):
        path.write_text(json.dumps([{"input": before, "output": after} for before, after in rows]))
    elif path.name.endswith("m2"):
        edit = "A 1 2|||R:VERB:SVA|||goes|||REQUIRED|||-NONE-|||0"
        path.write_text("".join(f"S {before}\n{edit}\n\n" for before, _ in rows))
    else:
        path.write_text("".join(f"{before}\n" for before, _ in rows))
        path.with_suffix(".ref0").write_text("".join(f"{after}\n" for _, after in rows))
    return path.read_bytes()


def _workbooks_with_a_cut_part(whole: bytes) -> list[bytes]:
    """The workbook with one of its parts cut short, or gone, under checksums that are right."""
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    made: list[bytes] = []
    for name in parts:
        for content in (None, parts[name][: len(parts[name]) // 2], parts[name].replace(b'"', b"x", 9)):
            file = io.BytesIO()
            with zipfile.ZipFile(file, "w") as archive:
                for other, kept in parts.items():
                    if other != name:
                        archive.writestr(other, kept)
                    elif content is not None:
                        archive.writestr(other, content)
            made.append(file.getvalue())
    return made


# -- landing -------------------------------------------------------------------------------------------------------


def test_a_half_bad_file_lands_its_good_rows_and_writes_the_others_beside(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "rows.jsonl"
    lines = [GOOD, {"after": "x"}, {"before": "Only this."}, {"before": "x" * 5000}, GOOD, {**GOOD, "colour": "red"}]
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\nnot json\n")
    outcome = land_file(path, store, GUARDS)
    assert outcome.to_json() == {
        "landed": 2, "duplicates": 2, "refused": 3, "waiting": 1, "quarantined": 0,
        "refused_file": str(path) + ".refused.jsonl",
        "reasons": {
            "`before` is missing; put the text that is to be corrected there.": 1,
            "`before` has 5,000 characters; at most 2,000 are taken: split it.": 1,
            "The line is not valid JSON (expecting value); write one object a line.": 1,
        },
        "lines": {
            "`before` is missing; put the text that is to be corrected there.": [2],
            "`before` has 5,000 characters; at most 2,000 are taken: split it.": [4],
            "The line is not valid JSON (expecting value); write one object a line.": [7],
        },
        "ignored_columns": {"colour": 1},
    }  # fmt: skip
    refused = [json.loads(line) for line in Path(str(path) + ".refused.jsonl").read_text().splitlines()]
    assert [row["line"] for row in refused] == [2, 4, 7]
    missing = "`before` is missing; put the text that is to be corrected there."
    assert refused[0] == {"line": 2, "reason": missing, "row": {"after": "x"}}
    assert len(refused[1]["row"]["before"]) == 1001
    assert store.get(next(store.waiting()).id).source_line == 3


def test_landing_a_file_again_changes_nothing_but_the_count_of_duplicates(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps({"before": f"He go {n}."}) for n in range(10)))
    assert land_file(path, store, GUARDS).landed == 10
    digest = store.accepted_digest()
    again = land_file(path, store, GUARDS)
    assert (again.landed, again.duplicates, store.accepted_digest()) == (0, 10, digest)
    assert [landing.duplicates for landing in store.landings()] == [10, 0]


def test_a_report_of_refused_rows_goes_when_the_file_was_mended(tmp_path: Path, store: Store) -> None:
    path, report = tmp_path / "rows.jsonl", tmp_path / "rows.jsonl.refused.jsonl"
    path.write_text("{}\n")
    assert land_file(path, store, GUARDS).refused_file == str(report)
    path.write_text(json.dumps(GOOD))
    assert land_file(path, store, GUARDS).refused_file is None
    assert not report.exists()


def test_a_csv_with_ten_megabytes_in_one_cell_lands_its_other_rows(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(
        "before,after\nHe go.,He goes.\n" + "x" * 10_000_000 + ",y\nI has it.,I have it.\n=1+1,2\na\x00b,c\n"
    )
    outcome = land_file(path, store, GUARDS)
    assert (outcome.landed, outcome.refused) == (2, 3)
    assert Path(str(outcome.refused_file)).stat().st_size < 10_000


def test_refused_rows_that_cannot_be_written_down_are_a_clear_error(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("{}\n")
    (tmp_path / "blocked").write_text("a file where a folder is wanted")
    with pytest.raises(PermanentError, match="give another place"):
        land_file(path, store, GUARDS, refused_path=tmp_path / "blocked" / "refused.jsonl")


def test_rows_from_a_request_land_without_a_file(store: Store) -> None:
    outcome, refused = land_rows([GOOD, {"after": "x"}], store, GUARDS)
    assert (outcome.landed, outcome.refused, outcome.refused_file) == (1, 1, None)
    missing = "`before` is missing; put the text that is to be corrected there."
    assert refused == [{"line": 2, "reason": missing, "row": {"after": "x"}}]
    assert next(store.accepted()).source == "api"


def test_the_starter_examples_all_land_and_none_is_held(tmp_path: Path, store: Store) -> None:
    for name in ("examples.jsonl", "sentences.jsonl"):
        path = PROJECT_ROOT / "correctly_assets" / "starter" / name
        outcome = land_file(path, store, GUARDS, refused_path=tmp_path / "refused.jsonl")
        assert (outcome.refused, outcome.quarantined, outcome.duplicates) == (0, 0, 0), outcome.reasons
        assert outcome.landed >= 300


def test_a_slow_file_lands_in_batches_of_about_a_second():
    """Or the sensor takes the silence between two batches for the end of the landing, and trains on half of a file."""
    assert batch_rows(100, 0.01) == 400  # it may grow fourfold at a time
    assert batch_rows(2000, 0.2) == BATCH_ROWS
    assert batch_rows(2000, 8.0) == 250
    assert batch_rows(250, 100.0) == 25
    assert batch_rows(0, 0.0) >= 25


def test_a_file_of_several_batches_lands_whole_whatever_their_size(store, tmp_path: Path):
    path = tmp_path / "many.jsonl"
    path.write_text(
        "".join(
            json.dumps({"before": f"He go home {n} time.", "after": f"He goes home {n} times."}) + "\n"
            for n in range(730)
        )
    )
    told: list[int] = []
    outcome = land_file(path, store, GUARDS, progress=told.append)
    assert (outcome.landed, told[0], told[-1]) == (730, 100, 730)
