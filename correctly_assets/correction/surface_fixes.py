"""What is put right before the model sees a sentence, because no model is needed for it: apostrophes, misspelt negations, words run
together, chat shorthand, and capitals.

Belongs here: replacements that hold in any sentence. Does not belong here: misspellings that a sentence decides (spelling_candidates.py), grammar
(the model's), rules of a checker (rules_first.py).

A small model is thrown off by what it never saw in training; it corrects the grammar of "you are great" and not of "u r gr8".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from rapidfuzz.distance import DamerauLevenshtein, JaroWinkler

_NEGATED = re.findall(r"\w+", "do does did ca wo is are was were have has had could would should must need might ai")
"""What stands before n't."""
_APOSTROPHE = re.compile(r"(?<=[A-Za-z])[`´‘ʼ′](?=(?:t|s|m|re|ve|ll|d|em|all|clock|T|S|M|RE|VE|LL|D|ALL)\b)")
# "the boys` room": with no other mark of its kind in the sentence, or it would stand around words.
_OF_MANY = re.compile(r"(?<=[a-z]s)[`´](?=\s+[a-z])")
_OF_A_NAME = re.compile(r"(?<=\b[OD])[`´](?=[A-Z][a-z])")
_WORD = re.compile(r"(?<![\w@#/.'’-])[A-Za-z]+(?:['’][A-Za-z]+)*(?![\w@/]|['’-]\w)")
# A sentence's end without the blank behind it, between two words of prose: "late.The bus".
_STUCK = re.compile(r"(?<=[a-z]{2}[.!?])(?=[A-Z](?:[a-z']+)?\s)")
_AUXILIARY = "do|does|did|ca|wo|is|are|was|were|have|has|had|could|would|should|must|need|ai"
# "do n't", "do nt", "don' t", "don t", "don;t", "don''t", "dont'".
_SPLIT = re.compile(
    rf"\b({_AUXILIARY})(?:\s+n['’`´]?t|n['’`´]?\s+t|n['’`´]{{2,}}t|n[;,:\"]t|nt['’`´](?=\s))(?!\w)", re.I
)
# "it 's", where the mark belongs to a pronoun.
_APART = re.compile(r"\b(I|you|he|she|it|we|they|that|there|what|who)\s+['’‘`´]\s?(s|re|ve|ll|m|d)\b(?!\w*['’])", re.I)
# "donot", "hasnot".
_RUN_TOGETHER = re.compile(r"(do|does|did|is|are|was|were|have|has|had|will|could|would|should|must|may|might)not")
_ALWAYS = {
    "noone": "no one",
    "alot": "a lot",
    "nothin": "nothing",
    "nuthing": "nothing",
    "nobdy": "nobody",
    "nevr": "never",
    "nver": "never",
    "canot": "cannot",
    "cannnot": "cannot",
    "connot": "cannot",
    "nto": "not",
    "eachother": "each other",
    "infact": "in fact",
    "atleast": "at least",
    "aswell": "as well",
    "incase": "in case",
    "teh": "the",
    "hte": "the",
    "adn": "and",
    "taht": "that",
    "thier": "their",
    "wnat": "want",
    "waht": "what",
    "becuase": "because",
    "dosent": "doesn't",
    "doesent": "doesn't",
    "dosnt": "doesn't",
    "dont": "don't",
    "didnt": "didn't",
    "doesnt": "doesn't",
    "isnt": "isn't",
    "isent": "isn't",
    "arent": "aren't",
    "wasnt": "wasn't",
    "wasent": "wasn't",
    "werent": "weren't",
    "wernt": "weren't",
    "hasnt": "hasn't",
    "hasent": "hasn't",
    "havent": "haven't",
    "havnt": "haven't",
    "hadnt": "hadn't",
    "couldnt": "couldn't",
    "coudnt": "couldn't",
    "couldent": "couldn't",
    "wouldnt": "wouldn't",
    "woudnt": "wouldn't",
    "wouldent": "wouldn't",
    "shouldnt": "shouldn't",
    "shoudnt": "shouldn't",
    "shouldent": "shouldn't",
    "mustnt": "mustn't",
    "neednt": "needn't",
    "cannt": "can't",
    "shant": "shan't",
    "darent": "daren't",
}
_IDIOMS = (
    (
        re.compile(
            r"\b(have|has|had|having|with|got|is|are|was|were|be|been|there['’]?s|theirs|it['’]?s|makes?|made|see|saw|makes)\s+know\s+"
            r"(idea|clue|time|money|choice|reason|problem|way|doubt|need|use|point|sense|longer|more|one|matter|chance|hope|room|rush"
            r"|hurry|luck|news|difference|trouble|excuse|interest|plans?|friends?|problems)\b",
            re.I,
        ),
        r"\1 no \2",
    ),
    (re.compile(r"\b(it['’]?s|is|was)\s+now\s+use\s+(?=\w+ing\b)", re.I), r"\1 no use "),
    (
        re.compile(
            r"\b(to|you|I|we|they|do|don['’]?t|didn['’]?t|let me|let us)\s+no\s+(?=(?:wh?at|wh?en|where|who|why|how|if|whether)\b)",
            re.I,
        ),
        r"\1 know ",
    ),
    (
        re.compile(r"\b(am|do|does|did|will|would|could|should|may|might|must)\s+(?:bot|nit|nott|noot)\b", re.I),
        r"\1 not",
    ),
    # A wont and a cant are nothing that a pronoun could do.
    (re.compile(r"\b(I|you|he|she|we|they|it|that|this|there|who)\s+(wo|ca)nt(?=\s+[a-z])", re.I), r"\1 \2n't"),
    # After an auxiliary a knot has no place.
    (
        re.compile(
            r"\b(am|is|are|was|were|have|has|had|do|does|did|will|would|can|could|should|may|might|must|['’](?:m|re|ve|s|ll))\s+knot\b",
            re.I,
        ),
        r"\1 not",
    ),
    (
        re.compile(
            r"\b(should|could|would|might|must)(n['’]t)?\s+of\s+(?=\w+(?:ed|en|ne|wn|id|ade|ought|aught|een|ad)\b)",
            re.I,
        ),
        r"\1\2 have ",
    ),
)
_SHORTHAND = {
    "u": "you", "ur": "your", "r": "are", "y": "why", "c": "see", "k": "okay", "b4": "before", "gr8": "great", "m8": "mate",
    "l8": "late", "l8r": "later", "w8": "wait", "w8ing": "waiting", "h8": "hate", "2day": "today", "2moro": "tomorrow",
    "2morrow": "tomorrow", "2nite": "tonight", "2night": "tonight", "tmrw": "tomorrow", "tmr": "tomorrow", "2mrw": "tomorrow",
    "thx": "thanks", "thnx": "thanks", "tnx": "thanks", "thks": "thanks", "ty": "thank you", "pls": "please", "plz": "please",
    "plse": "please", "ppl": "people", "msg": "message", "txt": "text", "wud": "would", "cud": "could", "shud": "should",
    "wat": "what", "wen": "when", "coz": "because", "cuz": "because", "bcoz": "because", "bcuz": "because", "bc": "because",
    "bcs": "because", "abt": "about", "hlp": "help", "gd": "good", "nite": "night", "luv": "love", "sum1": "someone",
    "any1": "anyone", "every1": "everyone", "no1": "no one", "some1": "someone", "gonna": "going to", "wanna": "want to",
    "gotta": "have to", "im": "I'm", "ive": "I've", "hav": "have", "da": "the", "dat": "that", "dis": "this", "dey": "they",
    "wiv": "with", "ya": "you", "yr": "your", "yrs": "yours", "sry": "sorry", "soz": "sorry", "prob": "probably",
    "probs": "probably", "2": "to", "4": "for", "n": "and", "idk": "I don't know", "omw": "on my way", "btw": "by the way",
    "asap": "asap", "rly": "really", "rlly": "really", "sth": "something", "smth": "something", "tho": "though", "thru": "through",
    "cya": "see you", "cu": "see you", "brb": "be right back", "gtg": "got to go", "g2g": "got to go", "ttyl": "talk to you later",
    "doin": "doing", "thr": "there", "frm": "from", "ofc": "of course", "rn": "right now", "np": "no problem",
    "wont": "won't", "cant": "can't", "wil": "will", "wher": "where", "nvr": "never", "evr": "ever", "bday": "birthday", "fone": "phone",
    "b": "be", "dnt": "don't", "knw": "know", "bk": "back", "cn": "can", "yall": "y'all", "tym": "time",
}  # fmt: skip
"""What chat shorthand stands for. None of it is replaced in a sentence that holds less than two of these."""
_TELLING = frozenset(
    [
        "u",
        "ur",
        "gr8",
        "m8",
        "l8r",
        "w8",
        "w8ing",
        "h8",
        "2day",
        "2moro",
        "2morrow",
        "2nite",
        "2night",
        "2mrw",
        "thx",
        "thnx",
        "tnx",
        "plz",
        "pls",
        "ppl",
        "b4",
        "coz",
        "bcoz",
        "bcuz",
        "sum1",
        "any1",
        "every1",
        "some1",
        "idk",
        "dnt",
        "knw",
        "wud",
        "cud",
        "shud",
        "hlp",
        "abt",
        "nvr",
        "luv",
        "tmrw",
        "cya",
        "brb",
        "gtg",
        "g2g",
        "ttyl",
    ]
)
"""Shorthand that is nothing else."""
_CHAT_WORD = re.compile(
    r"(?<![\w@#/.'’$€£%-])(?:[A-Za-z]+\d\w*|\d[A-Za-z]\w+|[A-Za-z]+|[24](?=\s+[A-Za-z]))(?![\w@/'’%-]|\.\w)"
)


def put_right(text: str, protected: Sequence[tuple[int, int]] = (), knows: Callable[[str], bool] | None = None) -> str:
    """The sentence with what is surely meant.

    Args:
        protected: ranges that stay as they are.
        knows: whether a word is English; a word that it knows is never taken for a misspelt negation.
    """
    pieces: list[str] = []
    position = 0
    chat = _is_chat(text)
    curly = "’" in text and "'" not in text
    for start, end in [*protected, (len(text), len(text))]:
        piece = _piece(text[position:start], chat, knows)
        pieces += [re.sub(r"(?<=\w)'(?=\w)", "’", piece) if curly else piece, text[start:end]]
        position = end
    return "".join(pieces)


def _piece(text: str, chat: bool, knows: Callable[[str], bool] | None) -> str:
    text = _OF_A_NAME.sub("'", _APOSTROPHE.sub("'", text))
    if text.count("`") + text.count("´") == 1:
        text = _OF_MANY.sub("'", text)
    text = _SPLIT.sub(_negated, _APART.sub(r"\1'\2", _STUCK.sub(" ", text)))
    text = _WORD.sub(lambda match: _word(match.group(), knows), text)
    for pattern, now in _IDIOMS:
        text = pattern.sub(now, text)
    if chat:
        text = _CHAT_WORD.sub(lambda match: _in_case(match.group(), _SHORTHAND.get(match.group().casefold())), text)
    return text


def _negated(match: re.Match[str]) -> str:
    return match.group(1) + ("N'T" if match.group().isupper() else "n't")


def _word(word: str, knows: Callable[[str], bool] | None) -> str:
    if not word.isupper() and word[1:] != word[1:].lower():
        # AtLeast names something.
        return word
    low = word.casefold().replace("’", "'")
    apart = _RUN_TOGETHER.fullmatch(low)
    return _in_case(word, _ALWAYS.get(low) or (f"{apart.group(1)} not" if apart else negation_meant(word, knows)))


def negation_meant(word: str, knows: Callable[[str], bool] | None = None) -> str | None:
    """The negation that a misspelt one stands for (did'nt, wern't, cann't), in lower case; None for any other word.

    Without an apostrophe only what ``knows`` takes for no word is looked at.
    """
    low = word.casefold().replace("’", "'")
    if low in _RIGHT:
        return None
    if low in _ALWAYS:
        return _ALWAYS[low] if negates(_ALWAYS[low]) else None
    has_mark = "'" in low
    bare = low.replace("'", "")
    if not bare.endswith("nt") or len(bare) < 4 or (not has_mark and (knows is None or knows(word))):
        return None
    if has_mark and not re.search(r"n'?n?'?t$", low):
        return None
    if bare in ("cannt", "cant"):
        return "can't"
    # The nearest of the same beginning; "dosn't" is "doesn't" and not "don't".
    choices = [stem for stem in _NEGATED if _near(bare.removesuffix("nt").removesuffix("n"), stem)]
    best = max(choices, key=lambda stem: _shared(bare, f"{stem}nt"), default=None)
    return f"{best}n't" if best else None


_RIGHT = frozenset(f"{stem}n't" for stem in _NEGATED) | {"shan't", "mayn't", "daren't", "oughtn't"}
_NEGATORS = frozenset(
    ["not", "never", "no", "none", "nobody", "nothing", "neither", "nor", "nowhere", "cannot", "no-one"]
)


def negates(words: str) -> bool:
    """Whether words hold a negation that is spelt right."""
    return any(word in _RIGHT or word in _NEGATORS for word in words.casefold().replace("’", "'").split())


def _near(one: str, stem: str) -> bool:
    """Whether a beginning is a stem but for one letter more, less or other."""
    return bool(one) and one[0] == stem[0] and DamerauLevenshtein.distance(one, stem) <= (1 if len(stem) > 2 else 0)


def _shared(one: str, other: str) -> float:
    return JaroWinkler.similarity(one, other)


def _is_chat(text: str) -> bool:
    found = [match.group().casefold() for match in _CHAT_WORD.finditer(text)]
    short = [word for word in found if word in _SHORTHAND and not word.isdigit()]
    return len(short) >= 2 and any(word in _TELLING for word in short)


def _in_case(word: str, now: str | None) -> str:
    if now is None:
        return word
    if word[0].isupper():
        return now.upper() if word.isupper() and len(word) > 1 else now[0].upper() + now[1:]
    return now


# -- capitals -------------------------------------------------------------------------------------------------------


def is_in_capitals(
    text: str, protected: Sequence[tuple[int, int]] = (), knows: Callable[[str], bool] | None = None
) -> bool:
    """Whether a sentence is written in capitals: two words at least, or one that is none, and no small letter outside what is
    protected.

    Args:
        knows: whether a word is English; a word by itself that it does not know is a misspelt one.
    """
    outside = [c for place, c in enumerate(text) if c.isalpha() and not any(a <= place < b for a, b in protected)]
    words = re.findall(r"[^\W\d_]{2,}", text)
    enough = len(words) >= 2 or (len(words) == 1 and knows is not None and not knows(words[0]))
    return len(outside) >= 6 and enough and all(not character.islower() for character in outside)


def in_small_letters(text: str, protected: Sequence[tuple[int, int]] = ()) -> str | None:
    """A sentence in capitals as it is usually written, of the same length; None where lengths would differ."""
    small = "".join(c if any(a <= place < b for a, b in protected) else c.lower() for place, c in enumerate(text))
    if len(small) != len(text):
        return None
    small = re.sub(r"\bi\b", "I", small)
    small = re.sub(r"\b(?:mr|mrs|ms|dr)\.", lambda match: match.group().capitalize(), small)
    first = next((place for place, c in enumerate(small) if c.isalpha()), None)
    return small if first is None else small[:first] + small[first].upper() + small[first + 1 :]
