"""Forms of one word: verb forms, number of nouns, degrees of adjectives, word classes.

Belongs here: how the learner's word and the right one are related. Does not belong here: what governs them (syntax.py).
"""

from __future__ import annotations

from functools import lru_cache

from correctly_assets.correction.points.change import Change
from correctly_assets.correction.points.conditions import Slots, predicate, word_set
from correctly_assets.language.inflection import all_lemmas, inflection


@lru_cache(maxsize=20_000)
def lemmas(word: str, upos: str = "") -> frozenset[str]:
    """The lemmas that a word can belong to, of one word class or of any."""
    found = all_lemmas(word)
    if upos == "VERB":
        rows = (*found.get("VERB", ()), *found.get("AUX", ()))
    else:
        rows = found.get(upos, ()) if upos else tuple(lemma for each in found.values() for lemma in each)
    return frozenset(rows)


@lru_cache(maxsize=20_000)
def forms(lemma: str, tag: str) -> frozenset[str]:
    """The spellings of a lemma's form."""
    return frozenset(inflection(lemma, tag))


@lru_cache(maxsize=20_000)
def can_be(word: str, tag: str) -> bool:
    """Whether a word can be a form with this Penn tag."""
    upos = {"V": "VERB", "N": "NOUN", "J": "ADJ", "R": "ADV"}[tag[0]]
    return any(word in forms(lemma, tag) for lemma in lemmas(word, upos))


def _last(text: str) -> str:
    """The word that carries the meaning of a verb group: without "to", auxiliaries and marks."""
    words = [w for w in text.replace("'", " ").split() if w.isalpha()]
    return words[-1] if words else ""


@predicate()
def same_verb(c: Change) -> bool:
    """Both sides end in a form of one verb."""
    was, now = _last(c.was), _last(c.now)
    return bool(was and now and lemmas(was, "VERB") & lemmas(now, "VERB"))


@predicate()
def one_word_now(c: Change) -> bool:
    """The right side is one word."""
    return c.now.isalpha()


@predicate()
def same_word(c: Change) -> bool:
    """Both sides are single forms of one lemma, of any word class."""
    return " " not in c.was and " " not in c.now and bool(lemmas(c.was) & lemmas(c.now))


@predicate()
def was_form(c: Change, tag: str) -> bool:
    """The learner's single word can be a form with one of these Penn tags."""
    return c.was.isalpha() and any(can_be(c.was, each) for each in tag.split("|"))


@predicate()
def now_form(c: Change, tag: str) -> bool:
    """The corrected single word can be a form with one of these Penn tags."""
    return c.now.isalpha() and any(can_be(c.now, each) for each in tag.split("|"))


@predicate()
def made_plural(c: Change) -> bool:
    """A singular noun became its plural."""
    was, now = c.was, c.now
    # "Noise" is a plural of "noise" in the tables, as "fish" is one of "fish".
    if not was.isalpha() or was == now or was in forms(now, "NNS"):
        return False
    return any(now in forms(lemma, "NNS") for lemma in lemmas(was, "NOUN") | {was})


@predicate()
def made_singular(c: Change) -> bool:
    """A plural noun became its singular."""
    was, now = c.was, c.now
    return (
        now.isalpha() and was != now and (was in forms(now, "NNS") or (was == now + "s" and bool(lemmas(now, "NOUN"))))
    )


@predicate()
def plural_added(c: Change) -> bool:
    """The ending "-s" or "-es" of a plural went from a noun."""
    return c.was in (c.now + "s", c.now + "es") and not c.now.endswith("s") and bool(lemmas(c.now, "NOUN"))


@predicate()
def made_past(c: Change) -> bool:
    """A present or base form became the simple past of the same verb."""
    was, now = c.was, c.now
    if {was, now} & {"am", "is", "are"} or now in ("was", "were"):
        return was in ("am", "is", "are", "be") and now in ("was", "were")
    return any(
        now in forms(lemma, "VBD") and now != was and (was == lemma or was in forms(lemma, "VBZ"))
        for lemma in lemmas(now, "VERB")
    )


@predicate()
def made_present(c: Change) -> bool:
    """A past form became the simple present of the same verb."""
    was, now = c.was, c.now
    if was in ("was", "were"):
        return now in ("am", "is", "are")
    return any(
        was in forms(lemma, "VBD") and was != now and (now == lemma or now in forms(lemma, "VBZ"))
        for lemma in lemmas(was, "VERB")
    )


@predicate()
def word_class(c: Change, change: str) -> bool:
    """The word changed its class, e.g. "NOUN>ADJ"; both words begin alike and neither can be of the other's class."""
    first, second = change.split(">")
    was, now = c.was, c.now
    if not (was.isalpha() and now.isalpha()) or was[:2] != now[:2] or was == now:
        return False
    if not any(derived(lemma, now, second) for lemma in lemmas(was, first)):
        return False
    return bool(lemmas(now, second)) and not lemmas(was, second)


_ENDINGS = {
    "NOUN": (
        "ion", "ment", "ance", "ence", "ancy", "ency", "al", "er", "or", "ist", "ity", "ness", "ure", "age", "y",
        "th", "t", "ing", "dom", "hood", "ship", "ism",
    ),
    "ADJ": (
        "able", "ible", "ive", "ful", "less", "ed", "en", "ing", "ous", "al", "ial", "ary", "ory", "y", "ly", "ent",
        "ant", "ic", "ish", "some", "er", "est",
    ),
    "VERB": (
        "ize", "ise", "ify", "ate", "en",
    ),
}  # fmt: skip
_FAMILIES = {
    "advise": "advice", "choose": "choice", "live": "life", "believe": "belief", "lose": "loss", "strong": "strength",
    "speak": "speech", "long": "length", "wide": "width", "deep": "depth", "hot": "heat", "prove": "proof",
    "receive": "reception", "able": "ability", "pronounce": "pronunciation", "grow": "growth", "think": "thought",
    "succeed": "success", "proceed": "process", "relieve": "relief", "sell": "sale", "die": "death", "give": "gift",
    "weigh": "weight", "fly": "flight", "see": "sight", "repeat": "repetition", "explain": "explanation",
}  # fmt: skip


def derived(lemma: str, now: str, upos: str) -> bool:
    """Whether a word belongs to the family of a lemma of another class, and does not only begin like it."""
    base = next((n for n in lemmas(now, upos)), now)
    if _FAMILIES.get(lemma) in (now, base) or lemma == base:
        return True
    shared = next((i for i, (a, b) in enumerate(zip(lemma, now, strict=False)) if a != b), min(len(lemma), len(now)))
    if shared < max(3, len(lemma) - 2):
        return False
    # A verb or noun made shorter: "beautiful" → "beauty", "angry" → "anger"; its own lemma is then the stem.
    return now.endswith(_ENDINGS.get(upos, ())) or base.endswith(_ENDINGS.get(upos, ())) or lemma.startswith(base[:-1])


@predicate()
def stood(c: Change, place: str) -> bool:
    """The word at this place stands near the change in the learner's sentence too: no other edit put it there."""
    token = c.place(place)
    near = c.before[max(0, c.o[0] - 8) : c.o[1] + 8]
    return token is not None and any(t.lower_ == token.lower_ for t in near)


@predicate()
def right_unchanged(c: Change) -> bool:
    """The word behind the change is the learner's own."""
    own, right = c.place("bright"), c.place("right")
    return own is not None and right is not None and own.lower_ == right.lower_


@predicate("noun")
def more_than_one(c: Change) -> Slots | None:
    """The noun of the change is plural in form."""
    noun = c.place("noun")
    return {"noun": noun.text} if noun is not None and noun.tag_ in ("NNS", "NNPS") else None


@predicate()
def known_mass(c: Change, side: str = "now") -> bool:
    """The word of one side is a noun that has no plural."""
    return (c.now if side == "now" else c.was) in word_set("never_plural")


@predicate()
def comparative(c: Change, side: str) -> bool:
    """A side is one comparative adjective or adverb in "-er", or an irregular one."""
    word = c.now if side == "now" else c.was
    return word in word_set("irregular_comparatives") or (
        word.endswith("er") and (can_be(word, "JJR") or can_be(word, "RBR"))
    )


@predicate("word")
def degree_from(c: Change) -> Slots | None:
    """ "more big" became "bigger", or "bigger" became "more big"; {word} is the plain adjective."""
    was, now = c.was.split(), c.now.split()
    if len(was) != 2 or was[0] not in ("more", "most") or len(now) != 1:
        return None
    known = lemmas(was[1]) and [was[1]]
    for word in known or sorted(lemmas(now[0], "ADJ")):
        # A misspelt adjective is named as it is written: "more lonly" → "lonelier".
        near = word == was[1] or (word != now[0] and word[:3] == was[1][:3])
        if near and any(now[0] in forms(word, tag) for tag in ("JJR", "JJS", "RBR", "RBS")):
            return {"word": word}
    return None


@predicate("phrase")
def turned_compound(c: Change) -> Slots | None:
    """ "ticket of train" became "train ticket"."""
    was, now = [w for w in c.was.split() if w not in ("of", "for", "the")], c.now.split()
    if len(was) != 2 or len(now) != 2 or was[0][:4] != now[1][:4] or was[1][:4] != now[0][:4]:
        return None
    return {"phrase": c.now_text}


@predicate("verb")
def regular_for_irregular(c: Change) -> Slots | None:
    """ "teached" became "taught"; {verb} is the plain verb."""
    if not (c.was.isalpha() and c.now.isalpha()):
        return None
    for lemma in sorted(lemmas(c.now, "VERB")):
        stem = lemma.removesuffix("e")
        irregular = c.now != stem + "ed" and not c.now.endswith("ed")
        if irregular and c.was in (
            stem + "ed",
            lemma + "ed",
            lemma + lemma[-1] + "ed",
            lemma[:-1] + "ied",
            c.now + "ed",
        ):
            return {"verb": lemma}
    return None


@predicate()
def same_stem(c: Change) -> bool:
    """Both sides are single words that begin alike: "careful", "carefully"; "easy", "easily"."""
    was, now = c.was, c.now
    if not (was.isalpha() and now.isalpha()):
        return False
    shared = next((i for i, (a, b) in enumerate(zip(was, now, strict=False)) if a != b), min(len(was), len(now)))
    return shared >= max(3, min(len(was), len(now)) - 2)


@predicate("verb")
def very_moved(c: Change) -> Slots | None:
    """ "very like it" became "like it very much"."""
    was, now = c.was.removeprefix("very much ").removeprefix("very "), c.now
    if not now.endswith(("very much", "a lot")) or not was.split():
        return None
    verb = was.split()[0]
    return {"verb": verb} if now.startswith(verb) and lemmas(verb, "VERB") else None


@predicate()
def same_start(c: Change) -> bool:
    """Both sides are single words of one family by their first letters."""
    was, now = c.was, c.now
    return (
        was.isalpha()
        and now.isalpha()
        and was != now
        and was[:3] == now[:3]
        and (len(was) < 5 or was[:4] == now[:4] or len(now) < 6)
    )


@predicate()
def now_is(c: Change, upos: str) -> bool:
    """The corrected word can be of this word class (a universal part of speech)."""
    return bool(lemmas(c.now, upos))


@predicate()
def was_is(c: Change, upos: str) -> bool:
    """The learner's word can be of this word class (a universal part of speech)."""
    return bool(lemmas(c.was, upos))


@predicate()
def noun_for_verb(c: Change) -> bool:
    """The learner's word is only a noun and begins like the verb that is right."""
    was, now = c.was, c.now
    return (
        was.isalpha()
        and now.isalpha()
        and was[:4] == now[:4]
        and not lemmas(was, "VERB")
        and bool(lemmas(was, "NOUN") and lemmas(now, "VERB"))
    )


_PREFIXES = ("un", "in", "im", "ir", "il", "dis", "non", "mis", "a")


@predicate()
def other_prefix(c: Change) -> bool:
    """Only the negative prefix differs."""
    was, now = c.was.replace("-", ""), c.now
    stems = ((p, was[len(p) :]) for p in _PREFIXES if was.startswith(p) and len(was) > len(p) + 2)
    first = next((p for p, stem in stems if any(now == q + stem for q in _PREFIXES)), None)
    return was != now and first is not None and now.isalpha()
