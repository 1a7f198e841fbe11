"""What rows without a correction wait for.

Belongs here: the sentence, in a module that loads fast enough for `correctly status`. Does not belong here: completing them
(complete_examples.py).
"""

from __future__ import annotations

from correctly_assets.llm_api.requests import record_command
from correctly_assets.settings import TeacherSettings


def waits_for(teacher: TeacherSettings) -> str:
    """What a row without a correction waits for, in a sentence."""
    if teacher.kind == "embedded":
        return "They wait until CORRECTLY_TEACHER=openai names a teacher that corrects: the embedded one only puts errors in."
    if teacher.kind == "recorded":
        command = record_command(teacher.model, "teacher")
        return (
            "The recorded teacher corrects those that its recording holds before the next train set, or now with "
            f"`correctly generate`; the others wait for {command}."
        )
    return f"The {teacher.kind} teacher corrects them before the next train set, or now with `correctly generate`."
