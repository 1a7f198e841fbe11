"""What a person finds on the page of `train_set` after it was made: the mix, the counts, the samples, what fell."""

from __future__ import annotations

import base64
import json

import dagster as dg
import pytest
from matplotlib import image

from correctly_assets.core.landing import identified
from correctly_assets.core.ports import Refusal
from correctly_assets.core.types import Edit, Example, TrainPair
from correctly_assets.definitions import defs
from correctly_assets.defs.resources import make_resources
from correctly_assets.settings import get_settings
from correctly_assets.workflows.describe_train_set import (
    ErrorMix,
    Share,
    departure,
    draw_mix,
    error_mix,
    rejected_rows,
    samples,
    source_rows,
    type_rows,
)
from correctly_assets.workflows.wiring import open_platform_store


def pair(number: int, origin: str, *kinds: str, example: str = "e1", weight: int = 1) -> TrainPair:
    edits = tuple(Edit(0, 1, "a", "b", f"R:{kind}", "why", "rule") for kind in kinds)
    return TrainPair(f"p{number}", example, origin, f"a{number}", f"b{number}", edits, weight)  # pyright: ignore[reportArgumentType]


PAIRS = [
    pair(1, "injected", "PUNCT", "DET"),
    pair(2, "injected", "PUNCT"),
    pair(3, "injected", *["PREP"] * 6),
    pair(4, "bait"),
    pair(5, "human", "PUNCT", example="e2", weight=8),
]


def test_the_mix_is_held_against_its_target_and_against_learners():
    mix = error_mix(PAIRS)
    shares = {share.kind: share for share in mix.types}
    assert shares["PUNCT"].edits == 3 and shares["PUNCT"].percent == pytest.approx(30)
    assert shares["PUNCT"].learners == 20 and shares["ADJ"].learners is None
    assert sum(share.target for share in mix.types) == pytest.approx(100)
    assert sum(share.percent for share in mix.types) == pytest.approx(100)
    numbers = {name: (here, learners) for name, here, _, learners in mix.counts}
    assert numbers["1"] == (50.0, 39.0) and numbers["5+"] == (25.0, 14.0)  # bait has no errors to count
    assert sum(learners for _, _, _, learners in mix.counts) == 100
    heads = type_rows(mix)[[row[0] for row in type_rows(mix)].index("DET")]
    assert heads[1:4] == ["article or determiner", "1", "10.0"]


def test_the_page_says_by_how_much_the_target_departs_from_learners() -> None:
    said = departure(error_mix(PAIRS))
    aimed = {share.kind: share for share in error_mix(PAIRS).types}
    for kind, learners in (("PUNCT", 20), ("SPELL", 6), ("NOUN:NUM", 3)):
        assert aimed[kind].learners == learners and abs(aimed[kind].target - learners) > 3
        assert f"{kind} {aimed[kind].target:.0f} % for {learners} %" in said
    like = [Share(kind, 1, 1.0, 10.2, 10.0) for kind in ("DET", "PREP")]
    assert departure(ErrorMix(tuple(like), ())) == "The target keeps to learners' shares (W&I)."


def test_a_set_without_any_edit_is_drawn_too():
    assert base64.b64decode(draw_mix(error_mix([pair(1, "bait")]))).startswith(b"\x89PNG")


def test_pairs_are_counted_by_source_and_origin():
    heads, rows = source_rows(PAIRS, {"e1": "starter"})
    assert heads == ["Source", "bait", "human", "injected", "Pairs", "Weight"]
    assert rows == [["starter", "1", "0", "3", "4", "4"], ["unknown", "0", "1", "0", "1", "8"]]


def test_samples_show_every_origin():
    shown = samples([pair(n, "injected") for n in range(50)] + [pair(98, "bait"), pair(99, "human")])
    assert len(shown) == 10 and {p.origin for p in shown} == {"injected", "bait", "human"}


def test_what_fell_is_summed_up_by_rung_with_its_words():
    refused = [Refusal("numbers", "25 became 26.", {"before": f"row {n}"}) for n in range(3)]
    rows = rejected_rows([*refused, Refusal("schema", "no reason", {})])
    assert rows == [["numbers", "3", "3 × 25 became 26.", "row 0"], ["schema", "1", "1 × no reason", ""]]


@pytest.mark.slow
def test_the_asset_shows_its_mix_its_sources_and_ten_pairs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CORRECTLY_TRAIN_PAIRS", "40")
    settings = get_settings()
    rows = [json.loads(line) for line in settings.platform.starter_paths[0].read_text().splitlines()[:12]]
    with open_platform_store(settings.platform) as store:
        store.land(
            identified(Example("", row["before"], row["after"], source="starter" if n % 2 else "mine"))
            for n, row in enumerate(rows)
        )
    job = dg.define_asset_job("made", selection=dg.AssetSelection.assets("examples", "train_set"))
    made = dg.Definitions(
        assets=defs.assets, resources=make_resources(settings), jobs=[job], executor=dg.in_process_executor
    )
    with dg.DagsterInstance.ephemeral() as instance:
        result = made.resolve_job_def("made").execute_in_process(instance=instance)
    [event] = [e for e in result.get_asset_materialization_events() if e.asset_key == dg.AssetKey("train_set")]
    shown = {name: value.value for name, value in event.materialization.metadata.items()}
    picture = str(shown["error_mix"]).removeprefix("![error mix](data:image/png;base64,").removesuffix(")")
    path = settings.platform.home / "mix.png"
    path.write_bytes(base64.b64decode(picture))
    assert image.imread(path).shape[1] > 600
    assert "| starter |" in str(shown["by_source"]) and "| mine |" in str(shown["by_source"])
    assert "| PUNCT | punctuation |" in str(shown["by_error_type"])
    assert len(str(shown["samples"]).splitlines()) == 12 and shown["cost_usd_per_pair"] == 0
    assert "departs from learners' shares" in str(shown["mix_beside_learners"])
