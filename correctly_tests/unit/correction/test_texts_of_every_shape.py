"""Texts as people have them: the right correction reaches every one of them, and what is not prose stays byte for byte."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from correctly_assets.core.edits import apply_edits
from correctly_assets.core.ports import Completion
from correctly_assets.core.types import Correction
from correctly_assets.correction.markup import blocks, closed_tags, inline_marks
from correctly_assets.correction.path import Corrector
from correctly_assets.correction.segment import segments
from correctly_assets.correction.surface_fixes import put_right
from correctly_assets.language.identify import is_foreign
from correctly_tests.oracle import PROMPTS, Case, correct, read_cases
from correctly_tests.serving_fakes import errant_annotator

CASES = read_cases(Path(__file__).resolve().parents[2] / "cases" / "texts.jsonl")


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_a_right_answer_reaches_every_kind_of_text(case: Case) -> None:
    assert case.right is not None
    answer, _ = correct(case)
    assert answer.after == case.right
    assert apply_edits(case.input, answer.edits) == answer.after
    assert all(case.input[one.start : one.end].strip() for one in answer.skipped)


class Eager:
    """A model that rewrites as much as it can: capitals, full stops, articles, tags and marks of its own."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def complete(self, prompt: str, **_: object) -> Completion:
        if "Say in " in prompt:
            return Completion("", "stop")
        text = prompt.split("\n", 2)[2].split("<end_of_turn>")[0]
        self.asked.append(text)
        text = re.sub(r"\bgo\b", "goes", text).replace("`", "'").replace("{", "(").replace("<", "(").replace("/", " ")
        text = (
            re.sub(r"\b(in|to) (\w)", r"\1 the \2", text)
            .replace("$", "")
            .replace("recieve", "receive")
            .replace("&", "and")
        )
        return Completion(text[:1].upper() + text[1:].rstrip(".") + ".", "stop")


def eager(text: str) -> tuple[Correction, Eager]:
    engine = Eager()
    path = Corrector(engine, errant_annotator(), PROMPTS)
    return asyncio.run(path.correct(text, model="m", release=None, adapter=None, reasons=False)), engine


PIECES = [
    "he go to school ", "and **he go** home ", "in <b>town</b> ", "`he go` ", "<NAME> go ", "[he go](https://x.org/go) ", "$a+b=c$ ",
    "\\emph{he go} ", "\\cite{go} ", "{name} ", "%s ", "https://x.org/go ", "a.b@go.org ", "[[go note|he go]] ", "word[^1] ", "&amp; ",
    "it is late. ", "I recieve it. ", "\n", "\n\n", "- ", "1. ", "# ", "> he go\n", "<p>", "</p>", "<br>", "| he go home | in town |\n",
    "```\nhe go\n```\n", "<!-- he go -->", "$$\nhe go\n$$\n", "don`t ", "HE GO HOME NOW. ", "_he go_ ", "~~go~~ ", "Bonjour, je voudrais une table. ",
    "*|FNAME|* ", "@@go_name@@ ", "%%he go%%", "caf\\'e ", "5\\,kg ", "{\\em he go} ", "\\href{https://x.org/go}{he go} ", ":::note\n", "«Name» ",
    "____ ", ":name ", "<<First Name>> ", "Name | he go\n--- | ---\nhe go | in town\n", "From: go\nSent: go\nTo: go\n\nhe go home\n",
    "2024-01-05 15:00 Ann <go@x.org>:\n", "| he go\n", "→ he go\n", "  and he go\n", "Ich gehe in die Stadt und du auch. ",
    "[%NAME%] ", "{First Name} ", "{{{go}}} ", "%{go} ", "$(GO) ", "{go[0]} ", "{#go-id}", "\\(a_{go}\\) ", "\\(go.name) ", "#GO# ", "[Product name] ",
    "&goname; ", "&lt;p&gt;he go&lt;/p&gt; ", "go.md ", "example.com/go ", "go_home() ", "--dry-go ", '{"go": "he go"} ', "[b]he go[/b] ", "~/go ",
    "---\r\ntitle: he go\r\n---\r\n", "```\r\nhe go\r\n```\r\n", "{code}\nhe go\n{code}\n", "import Go from './go'\n", "$ go run\n", "\r\n",
    "'''he go''' ", "**go**es ", "don&rsquo;t go<sup>1</sup> ", "1.) he go\n", ".. note:: he go\n", "``he go'' ", "<img src=go> ",
    "**", "*", "`", "<", "}", "]", "\\begin{itemize}\n", "\\item he go\n", "(he go) ", "“he go” ", "\t", "  ", "@tom ", "<a href=\"go\">he go</a> ",
]  # fmt: skip


def kept(text: str) -> list[str]:
    """What of a text may not change, in order."""
    found = [text[block.start : block.end] for block in blocks(text)]
    for part in segments(text):
        found += [part.text[mark.start : mark.end] for mark in part.marks] if part.prose else [part.text]
    return found


@settings(max_examples=250, deadline=None)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=14).map("".join))
def test_no_correction_changes_a_protected_byte(text: str) -> None:
    answer, _ = eager(text)
    assert apply_edits(text, answer.edits) == answer.after
    position = 0
    for part in segments(text):
        ranges = [(m.start, m.end) for m in part.marks] if part.prose else [(0, len(part.text))]
        for start, end in ranges:
            for edit in answer.edits:
                first, last = position + start, position + end
                assert not (edit.start < last and first < edit.end), (edit, text[first:last])
                assert not first < edit.start == edit.end < last
        position += len(part.text)
    place = 0
    for piece in kept(text):
        place = answer.after.find(piece) if place < 0 else place
        assert piece in answer.after


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Hello ${name}, you has %{count} message.", ["${name}", "%{count}"]),
        ("Hi {{{name}}}, [%NAME%] have sent %recipient.name% it.", ["{{{name}}}", "[%NAME%]", "%recipient.name%"]),
        ("Dear {First Name}, #NAME# and ##name## is here, @{user}.", ["{First Name}", "#NAME#", "##name##", "@{user}"]),
        ("The {x:>10} of {items[0]} are $(HOME), %1 and %ld.", ["{x:>10}", "{items[0]}", "$(HOME)", "%1", "%ld"]),
        (
            "Dear [Product name], [first_name] of [Hotel] are &appname;.",
            ["[Product name]", "[first_name]", "[Hotel]", "&appname;"],
        ),
        (
            "See go.org/he, README.md, ~/go.txt and file:///go now.",
            ["go.org/he", "README.md", "~/go.txt", "file:///go"],
        ),
        ("Run go_home() with --go-home and go.run(x) now.", ["go_home()", "--go-home", "go.run(x)"]),
        ('He go {.class #go key="go"} home {#go-id}', ['{.class #go key="go"}', "{#go-id}"]),
        ("The \\(a_{go}\\) are small, and \\(user.name) too.", ["\\(a_{go}\\)", "\\(user.name)"]),
        ("import Go from './go'\n\nexport const go = {\n\nHe go.", ["import Go from './go'", "export const go = {"]),
        ('{"title": "he go", "n": 1}', ['"title":', '"n":']),
        ("$ go run main.go\nHe go.", ["$ go run main.go"]),
        ("&lt;p&gt;He go&lt;/p&gt; to [b]school[/b].", ["&lt;p&gt;", "&lt;/p&gt;", "[b]", "[/b]"]),
        (
            "{code:java}\nhe go\n{code}\nHe go.\n#+begin_src sh\nhe go\n#+end_src\n",
            ["\nhe go\n{code}", "he go\n#+end_src"],
        ),
        ("---\r\ntitle: he go\r\n---\r\nHe go.", ["title: he go"]),
        ("\ufeff---\ntitle: he go\n...\nHe go.", ["title: he go"]),
    ],
)
def test_what_a_program_reads_may_not_change(text: str, kept: list[str]) -> None:
    position, free = 0, set(range(len(text)))
    for part in segments(text):
        marked = [(mark.start, mark.end) for mark in part.marks] if part.prose else [(0, len(part.text))]
        for start, end in marked:
            free -= set(range(position + start, position + end))
        position += len(part.text)
    for piece in kept:
        start = text.index(piece)
        assert not free & set(range(start, start + len(piece))), piece


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("It was nt me, they ain,t here.", "It wasn't me, they ain't here."),
        ("I didn t know.", "I didn't know."),
        ("I cant do it and he wont help.", "I can't do it and he won't help."),
        ("As is his wont, he speaks cant.", "As is his wont, he speaks cant."),
        ("We shant go and she darent ask.", "We shan't go and she daren't ask."),
        ("The boys` room is big.", "The boys' room is big."),
        ("It ' s late.", "It's late."),
        ("i dnt knw y he didnt", "i don't know why he didn't"),
    ],
)
def test_what_is_surely_meant_needs_no_model(wrong: str, right: str) -> None:
    assert put_right(wrong) == right


@pytest.mark.parametrize(
    ("text", "whys"),
    [
        ("---\r\ntitle: a b\r\n---\r\nHe goes home.", ["front matter"]),
        ("He goes.\r\n```\r\nhe go\r\n```\r\nShe sleeps.", ["code"]),
        ("omg idk wat 2 do lol", []),
        ("Tot ziens", ["another language"]),
        ("---\ntitle: a b\n---\nHe go home.", ["front matter"]),
        ("He go.\n```\nhe go\n```\nShe go.", ["code"]),
        ("Bonjour, je voudrais réserver une table pour deux personnes.", ["another language"]),
        ("I go.\n\nOn Mon, Jan 5, 2024 at 3:00 PM Ann <a@x.org> wrote:\n> he go\n> she go", ["quoted mail"]),
        ("From: a\nTo: b\n\nHe go home.", ["mail header"]),
        ("He go.\n\n$$\nx = y\n$$", ["formula"]),
        ("apple " * 260, ["a sentence that is too long"]),
        ("bliffo granzel tropik wuzzle frandip.", ["too many words that no dictionary knows"]),
        ("He goes home. She sleeps.", []),
        ("definately", ["a word that no dictionary knows"]),
        ("He goes home now.\nThanks,\nTom", []),
        ("He goes home now.\nRecieved", ["a word by itself"]),
        ("https://x.org/go", ["no sentence"]),
        ("He goes.\n\nFrom: Ann\nSent: Monday\nTo: Tom\n\nHe go.", ["quoted mail"]),
        ("Guten Morgen", ["another language"]),
        ("Prezado cliente, sua fatura está disponível. He goes to the bank with them.", ["another language"]),
        ("<p>He goes home.</p>", []),
    ],
)
def test_whatever_was_not_looked_at_is_said(text: str, whys: list[str]) -> None:
    answer, _ = eager(text)
    assert [one.why for one in answer.skipped] == whys
    assert answer.to_json()["skipped"] == [one.to_json() for one in answer.skipped]


@pytest.mark.parametrize(
    "text",
    [
        "- read the manual\n- install the driver\n- restart the machine and wait for the green light\n- open it",
        "1. read it\n2. wait there\n3. close it",
        "milk\nbread\ncheese",
        "todo: buy milk\ndone: call mum",
        "1.1 open it\n1.2 close it",
        "pros:\n+ cheap\n+ fast\ncons:\n- ugly",
        "→ read it\n→ close it",
        "- read the manual that is here\n  and close it",
        "| what it is | why it is |\n| --- | --- |\n| it is late | he is here |",
    ],
)
def test_lists_keep_their_small_letters_and_their_missing_stops(text: str) -> None:
    assert eager(text)[0].after == text


def test_a_long_dictation_is_asked_about_in_clauses() -> None:
    text = " ".join(f"and then he go to the shop number {n} because they has bread" for n in range(40))
    answer, engine = eager(text)
    assert len(text) > 1200
    assert all(len(asked) < 400 for asked in engine.asked)
    assert answer.after.count("goes") == 40
    assert " And" not in answer.after and answer.after.count(".") <= 1


def test_capitals_are_shown_in_small_letters_and_put_back() -> None:
    answer, engine = eager("HE GO TO SCHOOL. She is ok.")
    assert engine.asked[0] == "He go to school."
    assert answer.after == "HE GOES TO THE SCHOOL. She is ok."


def test_the_model_sees_words_and_no_markup() -> None:
    _, engine = eager("He <!-- soon --> go home, <%= name %> said.")
    assert engine.asked == ["He go home, <%= name %> said."]
    _, engine = eager("<p>He <b>go</b> to [school](x.html), see[^1] **now** &amp; [[a|later]].</p>")
    assert engine.asked == ["He go to school, see now & later."]


@pytest.mark.parametrize(
    ("text", "foreign"),
    [
        ("Vielen Dank für Ihre Hilfe", True),
        ("Grazie mille!", True),
        ("Kan du hjelpe meg med dette?", True),
        ("Was war am Montag in der Stadt los?", True),
        ("He is at home.", False),
        ("Muchas gracias por su ayuda", True),
        ("안녕하세요 여러분", True),
        ("teh qiuck brwon fox jmups ovr teh lzay dgo", False),
        ("Siobhán met Ngozi in Llanberis.", False),
        ("We eat paella and tortilla.", False),
        ("Please RSVP asap", False),
    ],
)
def test_another_language_is_told_from_awkward_english(text: str, foreign: bool) -> None:
    assert is_foreign(text) is foreign


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("I don`t know why he can`t come.", []),
        ("It costs $5 and then $10 more.", []),
        ("2 * 3 * 4 and snake_case_name", []),
        ("The f**k and s**t of it", []),
        ("if a < b then c > d", []),
        ("see <first name> and </b>", ["<first name>", "</b>"]),
        ("a `b` c", ["`b`"]),
        ("it is {name} or {he go home}", ["{name}"]),
        (r"Don\'t go, he said \"hello\" to them", []),
        ("a caf\\'e", ["\\'e"]),
        ("___he go___ and ____", ["___", "___", "____"]),
    ],
)
def test_marks_are_told_from_signs_that_mean_themselves(text: str, marked: list[str]) -> None:
    assert [text[mark.start : mark.end] for mark in inline_marks(text, closed_tags(text))] == marked
