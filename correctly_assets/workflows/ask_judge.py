"""How models from outside are asked in evaluation: their prompts, the judge's endpoint, and its two yes/no questions.

Belongs here: making the asker from the settings, choosing what is asked about, and saying so where it could not be asked.
Does not belong here: preferences between two answers (comparator.py), reading answers and shares (evaluation/judge/questions.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypedDict

from correctly_assets.core.errors import CorrectlyError, PermanentError
from correctly_assets.core.hashing import sha256_of
from correctly_assets.evaluation.judge.questions import (
    REASON_TRUE,
    SAME_MEANING,
    KeptQuestions,
    ShareFigures,
    reasons_true,
    same_meaning,
)
from correctly_assets.llm_api.judge_client import JudgeEndpoint
from correctly_assets.settings import JudgeSettings, PlatformSettings, Settings

if TYPE_CHECKING:
    from correctly_assets.evaluation.metrics.score import Evaluation


def read_prompt(platform: PlatformSettings, name: str) -> str:
    """A prompt file that only evaluation uses.

    Raises:
        PermanentError: it is missing.
    """
    try:
        return (platform.prompts_dir / name).read_text(encoding="utf-8").strip("\n")
    except OSError as error:
        raise PermanentError(f"The prompt file {platform.prompts_dir / name} is missing; restore prompts/.") from error


def judge_endpoint(judge: JudgeSettings) -> JudgeEndpoint | None:
    """The configured judge as it is asked now; None without a model or an address: then only kept answers count."""
    if judge.model is None or judge.base_url is None:
        return None
    key = judge.api_key
    return JudgeEndpoint(judge.base_url, judge.model, api_key=key.get_secret_value() if key else None)


def make_questions(settings: Settings) -> KeptQuestions | None:
    """The configured judge as one that is asked yes/no questions; None where no model is named.

    Raises:
        PermanentError: a prompt file is missing.
    """
    if settings.judge.model is None:
        return None
    prompts = {
        SAME_MEANING: read_prompt(settings.platform, "judge_meaning.txt"),
        REASON_TRUE: read_prompt(settings.platform, "judge_reason.txt"),
    }
    # Keys hold the wording too; a file a wording keeps what is read small.
    file = settings.platform.home / "judge" / f"questions-{sha256_of(prompts)[:12]}.jsonl"
    return KeptQuestions(file, settings.judge.model, prompts, judge_endpoint(settings.judge))


class QuestionFigures(TypedDict, total=False):
    """The two questions' part of a report's judge section; ``questions_say`` stands alone where the judge could not be asked."""

    sentences: int
    same_meaning: dict[str, ShareFigures]
    reasons_true: dict[str, ShareFigures] | None
    questions_say: str


async def ask_questions(
    settings: Settings,
    systems: Mapping[str, Evaluation | None],
    explained: Evaluation | None,
    *,
    chosen: Sequence[int],
    log: Callable[[str], object] = lambda _: None,
) -> QuestionFigures:
    """The two questions' part of the judge's section; empty where no judge is configured.

    Args:
        systems: whose changed sentences are asked about, by the name they are shown under.
        explained: the candidate's answers with reasons, every one of which is asked about.
        chosen: indices of the rows asked about.

    Returns:
        ``sentences`` (asked about in each system), ``same_meaning`` by system, ``reasons_true`` by origin or None; or
        ``questions_say``, a sentence, where the judge could not be asked: the gate does not need it, so nothing stops.
    """
    try:
        judge = make_questions(settings)
        if judge is None:
            return {}
        means: dict[str, ShareFigures] = {}
        for name, one in systems.items():
            if one is not None:
                means[name] = await same_meaning(judge, [one.answers.corrections[index] for index in chosen])
        true = None if explained is None else await reasons_true(judge, explained.answers.corrections)
    except CorrectlyError as error:
        log(str(error))
        return {"questions_say": str(error)}
    log(f"{judge.name} was asked whether changed sentences mean the same and reasons are true.")
    return {"sentences": len(chosen), "same_meaning": means, "reasons_true": true}
