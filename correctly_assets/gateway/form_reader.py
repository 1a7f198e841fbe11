"""Reading a form, whatever encoding it names for itself.

Belongs here: what a form may hold. Does not belong here: which fields are asked for (languagetool.py, fine_tuning.py), bodies of JSON
(admission.py).
"""

from __future__ import annotations

from starlette.datastructures import FormData
from starlette.requests import Request

from correctly_assets.core.errors import UsageError
from correctly_assets.gateway.admission import can_be_written


async def read_form(request: Request, *, max_files: int, max_fields: int, max_part_size: int) -> FormData:
    """The form of a request, of texts and names of files that UTF-8 can write.

    Raises:
        UsageError: it is not written in the encoding that it names, or comes to half a pair of surrogates by it.
    """
    body = await request.body()
    try:
        form = await request.form(max_files=max_files, max_fields=max_fields, max_part_size=max_part_size)
    except UnicodeError:
        raise UsageError(
            "The form is not written in the encoding that it names: send it in UTF-8.", code="invalid_text"
        ) from None
    texts = [value if isinstance(value, str) else value.filename or "" for _, value in form.multi_items()]
    if not all(map(can_be_written, texts)):
        raise UsageError("The form holds characters that are in no text (half a pair).", code="invalid_text")
    # What is no UTF-8 in a form that escapes its bytes has become this mark on the way here, and is the body's only where it holds it.
    if any("\ufffd" in text for text in texts) and not (b"%EF%BF%BD" in body.upper() or "\ufffd".encode() in body):
        raise UsageError("The form is not written in UTF-8: send it so.", code="invalid_text")
    return form
