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
    try:
        form = await request.form(max_files=max_files, max_fields=max_fields, max_part_size=max_part_size)
    except UnicodeError:
        raise UsageError(
            "The form is not written in the encoding that it names: send it in UTF-8.", code="invalid_text"
        ) from None
    texts = [value if isinstance(value, str) else value.filename or "" for _, value in form.multi_items()]
    if not all(map(can_be_written, texts)):
        raise UsageError("The form holds characters that are in no text (half a pair).", code="invalid_text")
    return form
