"""Examples that write themselves: the teacher lands new ones over the thinnest cells of the taxonomy.

Belongs here: joining store, teacher and guards for `write_examples` and `correctly generate`. Does not belong here: the
teacher.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from correctly_assets.settings import Settings

if TYPE_CHECKING:
    from correctly_assets.store import Store


def write_new_examples(store: Store, settings: Settings, count: int = 20) -> str:
    """Have the teacher complete what waits. Returns one sentence that says what was done."""
    from .join import make_platform_teacher

    if settings.teacher == "embedded":
        return "The embedded teacher writes no new examples; set CORRECTLY_TEACHER=openai for that."
    waiting = list(store.waiting())[:count]
    if not waiting:
        return "No example waits for a teacher."
    answers, refusals = make_platform_teacher(settings).complete_examples(waiting)
    for example_id, (after, reasons) in answers.items():
        store.complete_waiting(example_id, after, reason=" ".join(reasons) or None)
    return f"The teacher completed {len(answers)} examples; {len(refusals)} were refused."
