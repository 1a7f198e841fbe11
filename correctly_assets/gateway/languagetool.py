"""LanguageTool's HTTP API: ``POST /v2/check`` and ``GET /v2/languages``, so that its editors' plug-ins work here.

Belongs here: the parameters that are read, and the routes. Does not belong here: what a match holds (languagetool_matches.py),
correcting.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TypedDict

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from correctly_assets import __version__
from correctly_assets.core.errors import UsageError
from correctly_assets.gateway.admission import check_body
from correctly_assets.gateway.form_reader import read_form
from correctly_assets.gateway.http_errors import UnsupportedField
from correctly_assets.gateway.languagetool_matches import FoundMatch, Rule, Sent, matches, sent_annotated
from correctly_assets.gateway.routes import ERRORS, ClientOf, ServiceOf, asker_of
from correctly_assets.gateway.shapes import HowAsked
from correctly_assets.language.identify import identifier, is_foreign, language_named

router = APIRouter(prefix="/v2", responses=ERRORS)

LANGUAGES = {
    "en": "English",
    "en-US": "English (US)",
    "en-GB": "English (GB)",
    "en-AU": "English (Australian)",
    "en-CA": "English (Canadian)",
    "en-NZ": "English (New Zealand)",
    "en-ZA": "English (South African)",
}

_LEVELS, _MODES = ("default", "picky"), ("all", "allButTextLevelOnly", "textLevelOnly")
_DETECTED_BY = 2000
"""Code points of a text by which its language is told."""
_FORM = {
    "application/x-www-form-urlencoded": {
        "schema": {
            "type": "object",
            "properties": {
                "text": {"type": "string"},
                "data": {"type": "string", "description": 'JSON: `{"annotation": [{"text": …}, {"markup": …}]}`'},
                "language": {"enum": ["auto", *LANGUAGES]},
                "motherTongue": {"type": "string"},
                "level": {"enum": ["default", "picky"]},
                "enabledRules": {"type": "string"},
                "disabledRules": {"type": "string"},
                "enabledCategories": {"type": "string"},
                "disabledCategories": {"type": "string"},
                "enabledOnly": {"enum": ["true", "false"]},
                "mode": {"enum": list(_MODES)},
                "preferredVariants": {"type": "string"},
            },
            "required": ["language"],
        }
    }
}
"""The form as the page of the API shows it; it is read by `check` itself."""


@router.get("/languages", summary="Languages that can be checked, as LanguageTool lists them")
async def languages(service: ServiceOf, client: ClientOf) -> list[dict[str, str]]:
    """The varieties of English that a request can name, in LanguageTool's shape."""
    return [{"name": name, "code": "en", "longCode": code} for code, name in LANGUAGES.items()]


@router.post(
    "/check",
    summary="Check a text, as LanguageTool does",
    openapi_extra={"requestBody": {"required": True, "content": _FORM}},
)
async def check(request: Request, service: ServiceOf, client: ClientOf) -> JSONResponse:
    """A form with ``text`` or ``data`` (annotated text) and ``language`` (``auto`` or an English one). Each change is a match, with
    offset and length in UTF-16 code units. ``level=picky`` answers in the mode ``fluent``, ``motherTongue=ko`` gives reasons
    in Korean; rules and categories can be switched by their ids; what else is read stands in docs/clients.md.
    """
    sent_form = await read_form(request, max_files=0, max_fields=1000, max_part_size=service.options.max_body_bytes)
    form = {name: str(value) for name, value in sent_form.items()}
    if not form:
        raise UsageError("Send a form (application/x-www-form-urlencoded) with `text` and `language`.")
    language = _language(form)
    how = HowAsked(
        reason_language="ko" if form.get("motherTongue", "").lower().startswith("ko") else None,
        mode="fluent" if _choice(form, "level", _LEVELS) == "picky" else None,
    )
    mode = _choice(form, "mode", _MODES)
    switches = Switches.of(form)
    sent = _sent(form, service.options.max_items)
    shown = {"name": LANGUAGES[language], "code": language}
    detected = await asyncio.to_thread(_detected, sent.text, shown)
    if mode == "textlevelonly":  # asked beside the rest of the rules, and none of ours looks at the text as a whole
        return JSONResponse(_answer(shown, detected, [], is_complete=True))
    asker = asker_of(request, client, how)
    [correction] = await service.correct([sent.text], model="correctly", reasons=True, asker=asker)
    found, is_complete = matches(correction, sent)
    wanted = [match for match in found if switches.want(match["rule"])]
    return JSONResponse(_answer(shown, detected, wanted, is_complete=is_complete and not correction.fallback))


def _answer(
    shown: dict[str, str], detected: Detected, found: list[FoundMatch], *, is_complete: bool
) -> dict[str, object]:
    return {
        "software": {
            "name": "Correctly",
            "version": __version__,
            "buildDate": "",
            "apiVersion": 1,
            "premium": False,
            "status": "",
        },
        "warnings": {"incompleteResults": not is_complete},
        "language": {**shown, "detectedLanguage": detected},
        "matches": found,
    }


class Detected(TypedDict):
    """The language that a text seems to be in; ``confidence`` is the identifier's probability."""

    name: str
    code: str
    confidence: float


def _detected(text: str, asked: dict[str, str]) -> Detected:
    """The language that a text seems to be in: the one asked for, unless it is surely another. Of that, the name is its code."""
    start = text[:_DETECTED_BY]
    shares = dict(identifier().rank(start))
    if is_foreign(start):
        code = language_named(start)
        return Detected(name=code, code=code, confidence=round(float(shares[code]), 4))
    return Detected(name=asked["name"], code=asked["code"], confidence=round(float(shares["en"]), 4))


def _language(form: dict[str, str]) -> str:
    """The code of the English that is asked for; with ``auto``, the first one of ``preferredVariants``.

    Raises:
        UnsupportedField: it is no English.
    """
    asked = form.get("language", "").strip()
    by_code = {code.lower(): code for code in LANGUAGES}
    if asked.lower() == "auto":
        preferred = (one.strip().lower() for one in form.get("preferredVariants", "").split(","))
        return next((by_code[one] for one in preferred if one in by_code), "en-US")
    if (found := by_code.get(asked.lower())) is None:
        named = f"There is no language {asked[:20]!r} here" if asked else "No language is named"
        raise UnsupportedField("language", f"{named}: `language` is auto or one of {', '.join(LANGUAGES)}.")
    return found


def _choice(form: dict[str, str], name: str, choices: tuple[str, ...]) -> str:
    """What a parameter chooses, in small letters; the first of the choices where it is left out.

    Raises:
        UnsupportedField: it is none of them.
    """
    value = form.get(name, "").strip().lower() or choices[0].lower()
    if value not in map(str.lower, choices):
        raise UnsupportedField(name, f"`{name}` is one of {', '.join(choices)}.")
    return value


def _sent(form: dict[str, str], max_items: int) -> Sent:
    """What is to be checked.

    Raises:
        UsageError: there is neither a text nor data, or what cannot be read.
    """
    if ("text" in form) == ("data" in form):
        raise UsageError("Send either `text` or `data` in a form.")
    if "text" in form:
        if "\0" in form["text"]:
            raise UsageError("The text holds a character that is in no text (NUL).", code="invalid_text")
        sent = Sent()
        sent.add_text(form["text"])
        return sent
    check_body(form["data"].encode(), max_items)
    try:
        return sent_annotated(json.loads(form["data"]))
    except (ValueError, RecursionError) as error:
        raise UsageError("`data` is not JSON.") from error


@dataclass(frozen=True, slots=True)
class Switches:
    """Which rules are wanted, in LanguageTool's order: a rule that is named holds against its category, and what is named to be
    looked at holds against a category that is switched off."""

    only: bool
    rules: frozenset[str]
    categories: frozenset[str]
    not_rules: frozenset[str]
    not_categories: frozenset[str]

    @classmethod
    def of(cls, form: dict[str, str]) -> Switches:
        """The switches of a form.

        Raises:
            UnsupportedField: `enabledOnly` with nothing enabled, or beside something disabled.
        """
        names = ("enabledRules", "enabledCategories", "disabledRules", "disabledCategories")
        rules, categories, not_rules, not_categories = (
            frozenset(one.strip().lower() for one in form.get(name, "").split(",") if one.strip()) for name in names
        )
        only = _choice(form, "enabledOnly", ("false", "true", "no", "yes")) in ("true", "yes")
        if only and not (rules or categories):
            raise UnsupportedField("enabledOnly", "With `enabledOnly` name `enabledRules` or `enabledCategories`.")
        if only and (not_rules or not_categories):
            raise UnsupportedField(
                "enabledOnly", "With `enabledOnly` leave `disabledRules` and `disabledCategories` out."
            )
        return cls(only, rules, categories, not_rules, not_categories)

    def want(self, rule: Rule) -> bool:
        """Whether what a rule has found is told."""
        own, category = rule["id"].lower(), rule["category"]["id"].lower()
        if self.only:
            return own in self.rules or category in self.categories
        if category in self.not_categories - self.categories:
            return own in self.rules
        return own not in self.not_rules
