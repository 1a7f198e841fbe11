"""The rooms behind the gateway, put together from the settings.

Belongs here: which room's object stands behind which Protocol. Does not belong here: work of any room.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from correctly_assets.core.json_shapes import Row
from correctly_assets.core.landing import LandOutcome
from correctly_assets.correction.annotate import ErrantAnnotator
from correctly_assets.correction.points.catalogue import load_catalogue
from correctly_assets.correction.spelling_candidates import load_dictionary
from correctly_assets.curation.guards import Guards
from correctly_assets.curation.land_file import land_rows
from correctly_assets.curation.pii import PersonalData
from correctly_assets.curation.profanity import Profanity
from correctly_assets.engine.replicas import Replicas
from correctly_assets.engine.vllm_client import VllmClient
from correctly_assets.gateway import chat_text as answers
from correctly_assets.gateway.dashboard import dashboard_page
from correctly_assets.gateway.live_comparator import live_comparator
from correctly_assets.gateway.options import Options
from correctly_assets.gateway.own_key import bearer
from correctly_assets.gateway.service import Parts
from correctly_assets.gateway.token_usage import MeteredCompleter
from correctly_assets.settings import Settings
from correctly_assets.training.adapter import check_adapter
from correctly_assets.workflows.dagster_runs import DagsterRuns
from correctly_assets.workflows.find_challenger import find_challenger
from correctly_assets.workflows.fine_tune import FineTunes
from correctly_assets.workflows.loop_metrics import read_loop
from correctly_assets.workflows.make_corrector import make_corrector
from correctly_assets.workflows.promote import return_to_previous
from correctly_assets.workflows.watch_loop import watch_loop
from correctly_assets.workflows.wiring import open_platform_store


def build_parts(settings: Settings, options: Options) -> Parts:
    """Open the store, load the parser, and join everything. Takes seconds; call it in a thread.

    Raises:
        RetryableError: the database is away.
        PermanentError: a file or package is missing.
    """
    store = open_platform_store(settings.platform)
    personal_data, profane = PersonalData(names=settings.privacy.pii_names), Profanity()
    if settings.privacy.pii_names:
        personal_data.warm()
    guards = Guards(pii=settings.privacy.pii, personal_data=personal_data, profane=profane)
    engine = Replicas.of(settings, timeout=options.answer_seconds)
    annotator = ErrantAnnotator()
    # The first parse builds what every later one uses; no person should wait for it.
    annotator.edits("He go there.", "He goes there.")
    answers.warm()
    load_catalogue()
    load_dictionary()
    corrector = make_corrector(settings, MeteredCompleter(engine), annotator, profane)

    def land(rows: Sequence[Row]) -> LandOutcome:
        outcome, _ = land_rows(rows, store, guards, source="api", name="/v1/examples")
        return outcome

    def check(directory: Path) -> object:
        return check_adapter(directory, Path(settings.base_model_path))

    async def turn_back(why: str, instead_of: str) -> str:
        async with VllmClient.of(settings) as client:
            adapters = settings.platform.adapters_dir
            release, _ = await return_to_previous(store, client, adapters, check, why, instead_of=instead_of)
        return release.id

    return Parts(
        engine=engine,
        corrector=corrector,
        book=store,
        journal=store,
        scrub=personal_data.scrub,
        scrub_correction=personal_data.scrub_correction,
        lander=land,
        adapters_dir=settings.platform.adapters_dir,
        spool=settings.platform.home / "run" / "journal.jsonl",
        check=check,
        watched=store,
        turn_back=turn_back,
        read_loop=lambda: read_loop(store, settings),
        watch_loop=lambda losses: watch_loop(store, settings, engine_losses=losses),
        dashboard=lambda losses: dashboard_page(store, settings, engine_losses=losses),
        comparator=live_comparator(settings, annotator),
        tuning=FineTunes(
            settings, store, guards, DagsterRuns(settings.platform.dagster_api_url, lambda: bearer(settings))
        ),
        find_challenger=lambda without: find_challenger(settings.platform, store, without),
        close=store.close,
    )
