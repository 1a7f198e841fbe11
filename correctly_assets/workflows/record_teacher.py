"""Recording the teacher: what it is asked for what waits and for a train set, and its answers, kept as one file.

Belongs here: `correctly record --kind teacher`. Does not belong here: comparators (comparator.py), the file's format
(llm_api/requests.py).
"""

from __future__ import annotations

from correctly_assets.artifacts.examples_snapshot import write_examples_snapshot
from correctly_assets.llm_api.recordings import RecordingTransport, add_kept, now, recording_path
from correctly_assets.llm_api.requests import Recorder, Recording
from correctly_assets.settings import Settings
from correctly_assets.workflows.build_train_set import write_all_pairs
from correctly_assets.workflows.complete_examples import rehearse_waiting
from correctly_assets.workflows.make_teacher import make_platform_teacher, teacher_recordings_dir
from correctly_assets.workflows.read_examples import read_pool
from correctly_assets.workflows.wiring import open_platform_store


def record_teacher(settings: Settings, *, model: str | None = None, base_url: str | None = None) -> Recording:
    """Ask the openai teacher all that the next run asks of the examples that stand now, and keep the answers for ever:
    corrections of those that wait, and the pairs of a train set that holds these corrections too.

    Nothing lands: what waits goes on waiting, for a teacher or for the recording's replay. The journal answers what was
    asked before, and the teacher's budget holds. What the model's recording holds already is not asked again.
    `CORRECTLY_TEACHER=recorded` then writes the same corrections and pairs without a key, under the same settings.

    Args:
        model, base_url: instead of CORRECTLY_TEACHER_MODEL and CORRECTLY_TEACHER_BASE_URL.

    Raises:
        RefusedError: the endpoint answers under another name than was asked for; nothing is written.
        RetryableError, PermanentError: a request was not answered, or the budget is reached; nothing is written, and the
            answers that came are in the journal.
    """
    given = {"model": model, "base_url": base_url}
    asked = settings.changed(teacher={"kind": "openai", **{name: value for name, value in given.items() if value}})
    path = recording_path(teacher_recordings_dir(asked.platform), asked.teacher.model)
    keep = Recording.load(path, requested=asked.teacher.model, kind="teacher") if path.exists() else None
    recorder = Recorder(path, requested=asked.teacher.model, kind="teacher", now=now)
    if keep is not None:
        add_kept(recorder, keep)
    failed: list[Exception] = []
    teacher = make_platform_teacher(asked, lambda transport: RecordingTransport(transport, recorder, failed, keep))
    with open_platform_store(asked.platform) as store:
        snapshot = write_examples_snapshot(store, asked.platform.snapshots_dir)
        completed = rehearse_waiting(store, teacher)
    if failed:
        raise failed[0]  # before the pairs cost money
    write_all_pairs(asked, teacher, read_pool(asked, snapshot.id, completed).examples)
    if failed:
        raise failed[0]
    return recorder.write()
