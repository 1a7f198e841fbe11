"""The guards: personal data, keys and profanity are found, harmless text is not, and nobody calls out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from correctly_assets.core.edits import apply_edits
from correctly_assets.core.landing import identified
from correctly_assets.core.types import Correction, Edit, Example, Reason
from correctly_assets.curation.guards import Guards, make_guards
from correctly_assets.curation.pii import Found, PersonalData, in_words
from correctly_assets.curation.profanity import Profanity
from correctly_assets.settings import PROJECT_ROOT, Settings
from correctly_assets.workflows.land_rows import make_guards as platform_guards

DATA = PersonalData()
PROFANE = Profanity()


def example(before: str, after: str | None = None, **more: object) -> Example:
    return identified(Example("", before, after, **more))  # pyright: ignore[reportArgumentType]


# -- personal data -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("Write to john.smith@gmail.com please.", "Write to <EMAIL> please."),
        ("Email:anna_k@uni-wien.ac.at.", "Email:<EMAIL>."),
        ("Call +1 415 555 2671 now.", "Call <PHONE> now."),
        ("Ring 020 7946 0958 after six.", "Ring <PHONE> after six."),
        ("It is +49 30 901820.", "It is <PHONE>."),
        ("My number is 010-1234-5678.", "My number is <PHONE>."),
        ("Card 4111 1111 1111 1111 is mine.", "Card <CARD> is mine."),
        ("Pay to DE89370400440532013000 today.", "Pay to <IBAN> today."),
        ("Pay to GB82 WEST 1234 5698 7654 32.", "Pay to <IBAN>."),
        ("The server 192.168.1.20 is down.", "The server <IP> is down."),
        ("It is 2001:0db8:85a3:0000:0000:8a2e:0370:7334 now.", "It is <IP> now."),
        ("See https://example.com/x?y=1 there.", "See <URL> there."),
        ("See www.my-site.org/about there.", "See <URL> there."),
        ("My ssn is 536-90-4399.", "My ssn is <ID>."),
        ("NINO AB123456C it is.", "NINO <ID> it is."),
        ("DNI 12345678Z it is.", "DNI <ID> it is."),
        ("Code RSSMRA85T10A562S here.", "Code <ID> here."),
        ("Send to 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa now.", "Send to <CRYPTO> now."),
        ("Use sk-abcdefghijklmnop1234567890 for it.", "Use <KEY> for it."),
        ("Use ghp_abcdefghijklmnopqrstuvwxyz0123456789 for it.", "Use <KEY> for it."),
        ("AKIAIOSFODNN7EXAMPLE", "<KEY>"),
        ("a@b.co.uk and c@d.org", "<EMAIL> and <EMAIL>"),
    ],
)
def test_personal_data_becomes_a_typed_placeholder(text: str, scrubbed: str) -> None:
    assert DATA.scrub(text) == scrubbed


@pytest.mark.parametrize("text", ["my password is Tr0ub4dor&3", "api_key=abcd1234efgh5678", "token: 12ab34cd56ef"])
def test_a_secret_is_known_by_its_name(text: str) -> None:
    assert DATA.scrub(text) == "<KEY>" or DATA.scrub(text).endswith(" <KEY>")


@pytest.mark.parametrize(
    "text",
    [
        "The meeting is on 12/05/2023 at 10:30 in room 401.",
        "In 1998-2004 we sold 120,000 units for $3,500,000.",
        "The flight BA2490 leaves at 18:45 and lands at 20:10:30.",
        "I went home.it was late.so I slept.",
        "The price rose from 1.234.567 to 2.345.678 euros.",
        "Version 10.15.7 fixed it, update to 3.11.",
        "The ratio is 16:9 and the time 12:34:56.",
        "The ISO9001:2015 certificate and the RTX4090-24GB arrived.",
        "In the years 1914 1918 1939 1945 many died; the score was 100 200 300 400.",
        "COVID-19 started in 2019-12. Invoice no 4500123 is paid.",
        "The password is wrong again, my token of thanks is small, the secret is out.",
        "ISBN 978-3-16-148410-0 is on the shelf.",
        "Dr. Anna Smith lives at 12 High Street, Oxford.",
    ],
)
def test_ordinary_numbers_and_names_are_left_alone(text: str) -> None:
    assert DATA.find(text) == []


def test_the_names_of_people_are_found_only_where_that_is_asked_for() -> None:
    text = "Yesterday Peter Miller's sister wrote to ann@example.org about Katarzyna Nowak from Berlin."
    names = PersonalData(names=True)
    assert names.scrub(text) == "Yesterday <NAME>'s sister wrote to <EMAIL> about <NAME> from Berlin."
    assert names.scrub(names.scrub(text)) == names.scrub(text)
    assert names.find("we met at the old mill and ordered two coffees") == []
    assert in_words({"NAME"}) == "a person's name"
    assert DATA.scrub(text) == text.replace("ann@example.org", "<EMAIL>")


def test_a_row_with_a_name_is_held_or_scrubbed_where_names_count() -> None:
    names = PersonalData(names=True)
    row = example("Please to send the report to Anna Schmidt.", "Please send the report to Anna Schmidt.")
    [(_, refused)] = Guards(personal_data=names).check([row])
    assert refused is not None and (refused.rung, refused.reason) == ("pii", "It holds a person's name.")
    [(scrubbed, refused)] = Guards(pii="scrub", personal_data=names).check([row])
    assert refused is None and scrubbed.after == "Please send the report to <NAME>."
    assert make_guards().check([row]) == [(row, None)]


def test_a_name_found_in_one_text_only_is_held_and_teaches_no_placeholder() -> None:
    class OneSided(PersonalData):
        def find(self, text: str) -> list[Found]:
            at = text.find("Anna Schmidt")
            return [Found(at, at + 12, "NAME")] if at >= 0 else []

    row = example("I gived it to anna schmidt.", "I gave it to Anna Schmidt.")
    [(_, refused)] = Guards(pii="scrub", personal_data=OneSided()).check([row])
    assert refused is not None and "not found in both" in refused.reason


def test_the_setting_makes_names_count_for_every_row_that_lands(monkeypatch: pytest.MonkeyPatch) -> None:
    row = example("I met Katarzyna Nowak at station.", "I met Katarzyna Nowak at the station.")
    assert platform_guards(Settings().privacy).check([row])[0][1] is None
    monkeypatch.setenv("CORRECTLY_PII_NAMES", "true")
    refused = platform_guards(Settings().privacy).check([row])[0][1]
    assert refused is not None and refused.rung == "pii"


def test_the_shipped_sentences_raise_no_false_alarm() -> None:
    texts: set[str] = set()
    for name in ("examples", "sentences", "evaluation"):
        for line in (PROJECT_ROOT / "correctly_assets" / "starter" / f"{name}.jsonl").read_text().splitlines():
            row = json.loads(line)
            texts |= {row.get("before") or row["source"], *row.get("references", ())}
    assert len(texts) > 1000
    assert [text for text in texts if DATA.find(text)] == []
    assert [text for text in texts if PROFANE.words(text)] == []


def test_what_was_found_is_said_in_words() -> None:
    assert in_words({"PHONE"}) == "a phone number"
    assert in_words({"PHONE", "EMAIL", "KEY"}) == "an API key or password, an e-mail address and a phone number"


ISOLATED = """
import sys
calls = []
def hook(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "urllib.Request", "subprocess.Popen"):
        calls.append((event, str(args)))
        raise OSError("no network here")
sys.addaudithook(hook)
from correctly_assets.curation.pii import PersonalData
data = PersonalData()
assert data.scrub("plain text") == "plain text"
assert not {"presidio_analyzer", "spacy", "torch"} & set(sys.modules), "loaded for nothing"
assert data.scrub("Mail bob@example.co.uk or http://x.org, 4111111111111111") == "Mail <EMAIL> or <URL>, <CARD>"
print([call for call in calls if call[0] != "subprocess.Popen"])
"""


@pytest.mark.slow
def test_neither_a_model_nor_the_network_is_asked(tmp_path: Path) -> None:
    env = {
        **os.environ,
        "HOME": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path),
        "TLDEXTRACT_CACHE": str(tmp_path / "t"),
    }
    done = subprocess.run(
        [sys.executable, "-c", ISOLATED], capture_output=True, text=True, cwd=PROJECT_ROOT, env=env, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
    assert not [path for path in tmp_path.rglob("*") if "suffix" in path.name or "tld" in path.name]


# -- scrubbing an answer -------------------------------------------------------------------------------------------


def test_an_answer_is_scrubbed_together_with_its_edits() -> None:
    before = "Mail bob@example.com, he go home."
    edits = (Edit(0, 4, "Mail", "Write to", "R:VERB", "Better.", "rule"), Edit(25, 27, "go", "goes", "R:VERB:SVA"))
    answer = Correction("c", before, apply_edits(before, edits), edits)
    scrubbed = DATA.scrub_correction(answer)
    assert scrubbed.before == "Mail <EMAIL>, he go home."
    assert scrubbed.after == "Write to <EMAIL>, he goes home."
    assert [(edit.start, edit.was, edit.now) for edit in scrubbed.edits] == [
        (0, "Mail", "Write to"),
        (17, "go", "goes"),
    ]


def test_an_edit_inside_personal_data_disappears_with_it() -> None:
    before = "Mail bob@exampel.com now"
    edits = (Edit(9, 16, "exampel", "example", "R:SPELL"), Edit(24, 24, "", ".", "M:PUNCT"))
    scrubbed = DATA.scrub_correction(Correction("c", before, apply_edits(before, edits), edits))
    assert (scrubbed.before, scrubbed.after) == ("Mail <EMAIL> now", "Mail <EMAIL> now.")
    assert [edit.now for edit in scrubbed.edits] == ["."]


def test_personal_data_that_an_edit_put_together_does_not_stay() -> None:
    before = "Mail bob at example.com now"
    edits = (Edit(8, 12, " at ", "@", "R:OTHER"),)
    scrubbed = DATA.scrub_correction(Correction("c", before, apply_edits(before, edits), edits))
    assert scrubbed.after == "Mail <EMAIL> now"
    assert apply_edits(scrubbed.before, scrubbed.edits) == scrubbed.after


class StarsAreSecret(PersonalData):
    """Runs of stars stand for personal data, so that many texts can be tried quickly."""

    def find(self, text: str) -> list[Found]:
        import re

        return [Found(m.start(), m.end(), "ID") for m in re.finditer(r"\*+", text)]


@st.composite
def answers(draw: st.DrawFn) -> Correction:
    words = st.text("ab* ", max_size=4)
    before, edits = "", []
    for _ in range(draw(st.integers(0, 4))):
        before += draw(words)
        was, now = draw(words), draw(words)
        if was != now:
            edits.append(Edit(len(before), len(before) + len(was), was, now, "R:OTHER"))
        before += was
    before += draw(words)
    return Correction("c", before, apply_edits(before, edits), tuple(edits))


@given(answers())
def test_scrubbed_edits_always_lead_from_scrubbed_before_to_scrubbed_after(answer: Correction) -> None:
    scrubbed = StarsAreSecret().scrub_correction(answer)
    assert "*" not in scrubbed.before + scrubbed.after + "".join(edit.was + edit.now for edit in scrubbed.edits)
    assert apply_edits(scrubbed.before, scrubbed.edits) == scrubbed.after
    if "*" not in answer.before + answer.after:
        assert scrubbed == answer


# -- profanity -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "We will assess the class in Scunthorpe.", "He analysed the title of the document.", "What the hell is going on?",
        "I hate Mondays, they are stupid.", "The bloody nose hurt.", "The shiitake mushrooms were great.",
        "Whether to analyse data in Sussex and Essex.", "The virgin olive oil and the breast of chicken.",
        "Uranus is a planet.", "It is a competent therapist.", "I screwed the shelf to the wall.", "We flew to Kuala Terengganu at 455."
    ],
)  # fmt: skip
def test_harmless_words_are_not_called_profane(text: str) -> None:
    assert PROFANE.words(text) == []


@pytest.mark.parametrize(
    ("text", "word"),
    [("This is fucking great.", "fucking"), ("Bullshit!", "Bullshit"), ("what a (shitty) day", "shitty"),
     ("You are an asshole, he said.", "asshole"), ("sh1t happens", "sh1t"), ("Those wankers!", "wankers")],
)  # fmt: skip
def test_profane_words_are_named_as_they_stand(text: str, word: str) -> None:
    assert PROFANE.words(text) == [word]
    assert PROFANE.words(text) == [word]  # the second time from memory


def test_only_what_a_model_adds_is_a_veto() -> None:
    assert PROFANE.added_profanity("This is very bad.", "This is fucking bad.") == ["fucking"]
    assert PROFANE.added_profanity("This are fucking bad.", "This is fucking bad.") == []
    assert PROFANE.added_profanity("He fucks up.", "He fucked up, the asshole.") == ["asshole"]
    assert PROFANE.added_profanity("Nothing here.", "Nothing here.") == []


# -- the guards together -------------------------------------------------------------------------------------------


def test_a_row_is_held_for_personal_data_or_profanity_wherever_they_stand() -> None:
    guards = make_guards()
    rows = [
        example("He go home.", "He goes home."),
        example("Mail me.", "Mail me at bob@example.com."),
        example("He go.", "He goes.", reasons=(Reason("go", "goes", "Ask bob@example.com or ring +1 415 555 2671."),)),
        example("It go.", None, speaker="a fucking pupil"),
    ]
    checked = guards.check(rows)
    assert [row for row, _ in checked] == rows
    assert [held and (held.rung, held.reason) for _, held in checked] == [
        None,
        ("pii", "It holds an e-mail address."),
        ("pii", "It holds an e-mail address and a phone number."),
        ("profanity", "It holds a profane word."),
    ]
    held = checked[3][1]
    assert held is not None
    assert held.row == {"before": "It go.", "language": "en", "speaker": "a fucking pupil", "source": "file"}


def test_scrubbing_lands_the_row_with_placeholders_under_its_new_id() -> None:
    row = example(
        "Mail bob@x.com he go.", "Mail bob@x.com he goes.", reasons=(Reason("bob@x.com he go", "he goes", "x"),)
    )
    [(scrubbed, held)] = make_guards(pii="scrub").check([row])
    assert held is None
    assert (scrubbed.before, scrubbed.reasons[0].was) == ("Mail <EMAIL> he go.", "<EMAIL> he go")
    assert scrubbed == identified(scrubbed) != row


def test_guards_can_be_switched_off() -> None:
    row = example("Mail the fucking bob@example.com.")
    assert make_guards(pii="off", profanity=False).check([row]) == [(row, None)]
