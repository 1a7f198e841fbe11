"""LanguageTool's HTTP API: ``POST /v2/check`` and ``GET /v2/languages``, so that its editors' plug-ins work here.

Belongs here: the parameters that are read, and the routes. Does not belong here: what a match holds (languagetool_matches.py),
correcting.
"""

from __future__ import annotations

import json

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from correctly_assets import __version__
from correctly_assets.core.errors import UsageError
from correctly_assets.gateway.admission import check_body
from correctly_assets.gateway.form_reader import read_form
from correctly_assets.gateway.languagetool_matches import Rule, Sent, matches, sent_annotated
from correctly_assets.gateway.routes import ERRORS, ClientOf, ServiceOf, asker_of
from correctly_assets.gateway.shapes import HowAsked

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
    in Korean; rules and categories can be switched by their ids; other parameters are ignored.
    """
    sent_form = await read_form(request, max_files=0, max_fields=1000, max_part_size=service.options.max_body_bytes)
    form = {name: str(value) for name, value in sent_form.items()}
    language = _language(form.get("language", ""))
    sent = _sent(form, service.options.max_items)
    how = HowAsked(
        reason_language="ko" if form.get("motherTongue", "").lower().startswith("ko") else None,
        mode="fluent" if form.get("level") == "picky" else None,
    )
    asker = asker_of(request, client, how)
    [correction] = await service.correct([sent.text], model="correctly", reasons=True, asker=asker)
    found, is_complete = matches(correction, sent)
    shown = {"name": LANGUAGES[language], "code": language}
    return JSONResponse(
        {
            "software": {
                "name": "Correctly",
                "version": __version__,
                "buildDate": "",
                "apiVersion": 1,
                "premium": False,
                "status": "",
            },
            "warnings": {"incompleteResults": not is_complete or bool(correction.fallback)},
            "language": {**shown, "detectedLanguage": {**shown, "confidence": 1.0}},
            "matches": [match for match in found if _is_wanted(match["rule"], form)],
        }
    )


def _language(asked: str) -> str:
    """The code of the English that is asked for.

    Raises:
        UsageError: it is no English.
    """
    by_code = {code.lower(): code for code in LANGUAGES} | {"auto": "en-US"}
    if (found := by_code.get(asked.strip().lower())) is None:
        raise UsageError(
            f"There is no language {asked[:20]!r} here: `language` is auto or one of {', '.join(LANGUAGES)}."
        )
    return found


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


def _is_wanted(rule: Rule, form: dict[str, str]) -> bool:
    def listed(name: str) -> set[str]:
        return {one.strip().lower() for one in form.get(name, "").split(",") if one.strip()}

    own, category = rule["id"].lower(), rule["category"]["id"].lower()
    if form.get("enabledOnly") == "true":
        return own in listed("enabledRules") or category in listed("enabledCategories")
    return own not in listed("disabledRules") and category not in listed("disabledCategories")
