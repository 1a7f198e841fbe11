"""The data factory: rows landed and placed, near-duplicates found, pairs written, and what they teach.

`make bench-data`. Parts, each in a process of its own so that its peak memory is its own:
  rows     10⁴ to 10⁶ rows (recombined from the shipped ones) landed, guarded, de-duplicated, split and written; then 100 more;
           after each the train set that the platform makes of them with its settings' number of pairs
  near     recall of near-duplicates at Jaccard 0.8 against brute force
  teacher  train pairs a minute, ladder included, and how near the mix is to its target
  neighbours  which embedding without a download finds better neighbours (`base` needs the converted base model)
  score    an adapter trained on the embedded teacher's output alone, on learners' sentences (needs the converted base
           model and CORRECTLY_BENCHMARK_DATA, a folder with `jfleg_dev.jsonl` and `score_gec.py`; nothing of it is kept)

Not part of the CI: nothing here passes or fails by a clock.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.common import figure, write_results
from correctly_assets.core.text import normalise
from correctly_assets.core.types import Example, Reason

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "data.json"
STARTER = ROOT / "correctly_assets" / "starter"
PARTS = ("rows", "near", "neighbours", "teacher", "score")
SIZES = (10_000, 100_000, 1_000_000)
MORE = 100


def peak_mb() -> float:
    """Peak resident memory of this process, MiB (Linux reports KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def shipped(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (STARTER / name).read_text(encoding="utf-8").splitlines() if line.strip()]


def recombined(count: int, first: int = 0) -> Iterator[dict[str, Any]]:
    """Rows number ``first`` to ``first + count``: a shipped example followed or preceded by a shipped sentence."""
    examples, sentences = shipped("examples.jsonl"), shipped("sentences.jsonl")
    order = list(range(2 * len(examples) * len(sentences)))
    random.Random(20).shuffle(order)
    for number in order[first : first + count]:
        number, place = divmod(number, 2)
        which, other = divmod(number, len(sentences))
        row, more = examples[which], sentences[other]["before"]
        texts = {side: f"{row[side]} {more}" if place else f"{more} {row[side]}" for side in ("before", "after")}
        yield {**row, **texts, "source": "bench"}


def write_rows(path: Path, count: int, first: int = 0) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in recombined(count, first))


def part_rows(size: int) -> dict[str, Any]:
    """Land ``size`` rows, write the snapshot, place every row, make a train set of them; then the same with 100 more."""
    from correctly_assets.artifacts.examples_snapshot import write_examples_snapshot
    from correctly_assets.curation.guards import make_guards
    from correctly_assets.curation.land_file import land_file
    from correctly_assets.curation.near import NearIndex
    from correctly_assets.curation.rows import parse_row
    from correctly_assets.store.store import open_store

    with tempfile.TemporaryDirectory(prefix="bench-data-") as name:
        folder = Path(name)
        write_rows(folder / "rows.jsonl", size)
        write_rows(folder / "more.jsonl", MORE, first=size)
        store, guards = open_store(f"sqlite:///{folder / 'store.sqlite'}", ROOT / "sql"), make_guards()

        # Not the platform's own, which holds only what train sets were made from.
        index = NearIndex(folder / "near-all")

        def load(file: Path, new: Callable[[], Iterator[Example]]) -> tuple[int, int, str]:
            outcome = land_file(file, store, guards, refused_path=folder / "refused.jsonl")
            snapshot = write_examples_snapshot(store, folder / "snapshots")
            placed = index.place((example.id, example.before) for example in new())
            return outcome.landed, sum(item.split is not None for item in placed), snapshot.id

        def just_landed() -> Iterator[Example]:
            # The index remembers the rest.
            for line in (folder / "more.jsonl").read_text(encoding="utf-8").splitlines():
                example = parse_row(json.loads(line), source="bench")
                if isinstance(example, Example):
                    yield example

        started = time.perf_counter()
        landed, placed, snapshot = load(folder / "rows.jsonl", store.accepted)
        seconds = time.perf_counter() - started
        memory = peak_mb()
        first = in_child("train_set", "--home", str(folder), "--snapshot", snapshot)
        started = time.perf_counter()
        _, _, snapshot = load(folder / "more.jsonl", just_landed)
        more = time.perf_counter() - started
        store.close()
        again = in_child("train_set", "--home", str(folder), "--snapshot", snapshot)
    made = {"size": size, "landed": landed, "placed": placed, "seconds": seconds, "more": more, "mb": memory}
    return {**made, "train_set": first, "train_set_more": again}


def part_train_set(home: Path, snapshot: str) -> dict[str, Any]:
    """Make a train set of a snapshot of examples as the platform does, with its settings' number of pairs.

    A process of its own, so that its peak memory is its own; the program's start is not counted.
    """
    from correctly_assets.settings import get_settings
    from correctly_assets.workflows.build_train_set import make_train_set

    os.environ["CORRECTLY_HOME"] = str(home)
    settings = get_settings()
    started = time.perf_counter()
    made = make_train_set(settings, examples_snapshot=snapshot, log=print)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "mb": peak_mb(), "pairs": len(made.pairs)}


def part_near(count: int = 20_000) -> dict[str, Any]:
    """Recall of near-duplicates at 0.8 on texts of which a third are edited copies of earlier ones."""
    from correctly_assets.curation.near import NearIndex

    rng = random.Random(20)
    texts: list[str] = []
    for row in recombined(count):
        if texts and rng.random() < 0.33:
            words = rng.choice(texts[-2000:]).split()
            for _ in range(rng.choice((1, 1, 2))):
                words[rng.randrange(len(words))] = rng.choice(row["before"].split())
            texts.append(" ".join(words))
        else:
            texts.append(row["before"])
    started = time.perf_counter()
    placed = list(NearIndex(threshold=0.8).place((str(n), text) for n, text in enumerate(texts)))
    seconds = time.perf_counter() - started
    wanted = brute_force(texts, {n for n, item in enumerate(placed) if item.split is None}, 0.8)
    hit = sum(placed[n].near is not None for n in wanted)
    return {"recall": hit / max(1, len(wanted)), "near": len(wanted), "seconds": seconds}


def brute_force(texts: list[str], left_out: set[int], threshold: float) -> list[int]:
    """Which texts have an earlier one at or above the threshold that was not left out, held against every other.

    5-byte windows of the normalised, padded text, as the index takes them. A pair at similarity s shares one of the
    rarest (1 - s) n + 1 windows of either side, so only texts that share a rare one are compared.
    """
    padded = [b"\x01" + normalise(text).encode() + b"\x02" * 4 for text in texts]
    grams = [{text[i : i + 5] for i in range(len(text) - 4)} for text in padded]
    seen = Counter(gram for one in grams for gram in one)
    holders: dict[bytes, list[int]] = {}
    near: list[int] = []
    for number, one in enumerate(grams):
        rare = sorted(one, key=lambda gram: (seen[gram], gram))[: int((1 - threshold) * len(one)) + 1]
        candidates = {other for gram in rare for other in holders.get(gram, ())}
        if any(len(one & grams[o]) >= threshold * len(one | grams[o]) for o in candidates):
            near.append(number)
        if number not in left_out:
            for gram in rare:
                holders.setdefault(gram, []).append(number)
    return near


def landed_examples() -> list[Example]:
    from correctly_assets.core.landing import identified

    return [
        identified(
            Example(
                "",
                row["before"],
                row.get("after") or row["before"],
                tuple(Reason(r["was"], r["now"], r["reason"]) for r in row.get("reasons") or ()),
                form=row.get("form"),
                tone=row.get("tone"),
                topic=row.get("topic"),
            )
        )
        for name in ("examples.jsonl", "sentences.jsonl")
        for row in shipped(name)
    ]


def evaluation_texts() -> list[str]:
    return [text for row in shipped("evaluation.jsonl") for text in (row["source"], *row["references"])]


def part_teacher(count: int = 20_000) -> dict[str, Any]:
    """Pairs a minute from parsing on (the parser's load apart), ladder with decontamination included."""
    from correctly_assets.core.taxonomy import family
    from correctly_assets.teachers.embedded.embedded_teacher import EmbeddedTeacher
    from correctly_assets.teachers.embedded.injection import Mix
    from correctly_assets.teachers.pair_checks import Ladder

    examples = landed_examples()
    teacher = EmbeddedTeacher(prompts_dir=ROOT / "prompts", ladder=Ladder(evaluation_texts()))
    teacher.write_pairs(examples[:4], count=4, seed=1)
    started = time.perf_counter()
    output = teacher.write_pairs(examples, count=count, seed=20)
    seconds = time.perf_counter() - started
    kinds = Counter(family(e.type) for w in output.pairs if w.pair.origin == "injected" for e in w.pair.edits)
    mix = Mix.default()
    total, target = sum(kinds.values()), sum(mix.kinds.values())
    away = sum(abs(kinds[kind] / total - share / target) for kind, share in mix.kinds.items()) / 2
    return {"pairs": len(output.pairs), "seconds": seconds, "refused": len(output.refused), "away": 100 * away}


def part_neighbours() -> dict[str, Any]:
    """Which embedding finds better neighbours, by what nobody wrote for this.

    topics      an example's topic, as a person wrote it, finds its text among all examples: what picks a prompt's one shot
    paraphrase  of two references of one sentence each finds the other among all references
    reworded    topics again, with every word gone from the texts that begins like one of the topic's
    """
    import numpy as np

    from correctly_assets.curation.embeddings import TokenVectors, base_embedding
    from correctly_assets.curation.vector_search import Embedding, HashedNgrams
    from correctly_assets.settings import get_settings

    examples, model = shipped("examples.jsonl"), Path(get_settings().base_model_path)
    known = [row["before"] for name in ("examples.jsonl", "sentences.jsonl") for row in shipped(name)]
    makers: dict[str, Callable[[], Embedding]] = {"ngrams": HashedNgrams}
    if (model / "tokenizer.json").is_file():
        makers |= {"tokens": lambda: TokenVectors(model, known), "base": lambda: base_embedding(model, known)}
    texts, topics = [row["before"] for row in examples], [row["topic"] for row in examples]
    reworded = [
        " ".join(w for w in text.split() if w[:4].lower() not in {t[:4].lower() for t in topic.split()})
        for text, topic in zip(texts, topics, strict=True)
    ]
    twins = [row["references"] for row in shipped("evaluation.jsonl") if len(set(row["references"])) > 1]
    one, other = [pair[0] for pair in twins], [pair[1] for pair in twins]
    tasks = {"topics": (topics, texts), "paraphrase": (one, other + one), "reworded": (topics, reworded)}
    made: dict[str, Any] = {"examples": len(examples), "hits": {}}
    for name, maker in makers.items():
        started = time.perf_counter()
        embedding = maker()
        made[f"{name}_start_seconds"] = time.perf_counter() - started
        for task, (queries, among) in tasks.items():
            likeness = embedding.embed(queries) @ embedding.embed(among).T
            if task == "paraphrase":  # itself is no neighbour
                likeness[np.arange(len(one)), len(one) + np.arange(len(one))] = -1
            better = (likeness > np.diagonal(likeness)[:, None]).sum(axis=1)
            made[f"{name}_{task}_at_1"], made[f"{name}_{task}_at_5"] = (float(np.mean(better < k)) for k in (1, 5))
            made["hits"].setdefault(task, {})[name] = (better < 1).tolist()
        started = time.perf_counter()
        embedding.embed(texts)
        made[f"{name}_ms"] = 1000 * (time.perf_counter() - started) / len(texts)
    return made


def part_score(minutes: float, pairs: int, keep: Path | None = None) -> dict[str, Any]:
    """Train on what the factory makes of the shipped examples alone, correct through the one path that the chat uses,
    and score learners' sentences with the independent scorer.

    Args:
        keep: a home to work in, kept afterwards: what was made there already is not made again.
    """
    from correctly_assets.artifacts.examples_snapshot import write_examples_snapshot
    from correctly_assets.settings import get_settings
    from correctly_assets.workflows.build_train_set import make_train_set, train_config
    from correctly_assets.workflows.land_rows import land_starter
    from correctly_assets.workflows.train_adapter import run_training
    from correctly_assets.workflows.wiring import open_platform_store

    folder = Path(os.environ["CORRECTLY_BENCHMARK_DATA"])
    base = get_settings().base_model_path
    with tempfile.TemporaryDirectory(prefix="bench-data-") as name:
        home = keep or Path(name)
        given = {"CORRECTLY_HOME": str(home), "CORRECTLY_BASE_MODEL": base}
        given |= {"CORRECTLY_TRAIN_PAIRS": str(pairs), "CORRECTLY_TRAIN_MINUTES": str(minutes)}
        os.environ.update(given)
        settings = get_settings()
        learners = folder / "jfleg_dev.jsonl"
        # A set that the platform knows of is kept out of every train set; one that it meets afterwards may be found in it.
        known = settings.platform.home / "evaluation" / learners.name
        known.parent.mkdir(parents=True, exist_ok=True)
        if not known.exists():
            known.symlink_to(learners.resolve())
        land_starter(settings)
        with open_platform_store(settings.platform) as store:
            examples = write_examples_snapshot(store, settings.platform.snapshots_dir)
        made = make_train_set(settings, examples_snapshot=examples.id, log=print)
        config = train_config(settings, train_set=made.snapshot.id)
        result = run_training(settings.platform, config, settings.platform.checkpoints_dir / "bench")
        predictions, scored = home / "predictions.txt", home / "scored.json"
        evaluated(result.adapter, learners, "--predictions", str(predictions))
        frozen = evaluated(result.adapter, settings.platform.evaluation_path)
        command = [sys.executable, str(folder / "score_gec.py"), "--data", str(learners), "--pred", str(predictions)]
        subprocess.run([*command, "--json", str(scored)], check=True, stdout=subprocess.DEVNULL)
        return {
            "scored": json.loads(scored.read_text()),
            "frozen": frozen,
            "seconds": result.seconds,
            "pairs": len(made.pairs),
        }


def evaluated(adapter: str, data: Path, *more: str) -> dict[str, Any]:
    """What `correctly evaluate` says of an adapter."""
    command = [sys.executable, "-m", "correctly_assets.cli", "evaluate", "--system", f"adapter:{adapter}"]
    command += ["--data", str(data), "--json", *more]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT).stdout)


def in_child(*words: str) -> dict[str, Any]:
    """Run one part in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-data-") as name:
        out = Path(name) / "out.json"
        subprocess.run(
            [sys.executable, "-m", "benchmarks.bench_data", "--worker", *words, "--out", str(out)], check=True, cwd=ROOT
        )
        return json.loads(out.read_text())


def figures_of(parts: list[str], sizes: list[int], minutes: float, pairs: int, keep: Path | None) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    if "rows" in parts:
        for size in sizes:
            made = in_child("rows", "--size", str(size))
            full = size == SIZES[-1]
            figures[f"rows_{size}_minutes"] = figure(
                made["seconds"] / 60, "min", floor=25 if full else None, goal=15 if full else None, better="lower"
            )
            figures[f"rows_{size}_memory"] = figure(
                made["mb"] / 1024, "GiB", floor=6 if full else None, goal=4 if full else None, better="lower"
            )
            share = 100 * made["more"] / made["seconds"]
            figures[f"rows_{size}_then_{MORE}"] = figure(
                share, "%", floor=3 if full else None, goal=1 if full else None, better="lower"
            )
            # The train set of both in it as well: what a person waits for who lands a hundred examples.
            whole = made["seconds"] + made["train_set"]["seconds"]
            again = 100 * (made["more"] + made["train_set_more"]["seconds"]) / whole
            figures[f"rows_{size}_then_{MORE}_with_train_set"] = figure(
                again, "%", floor=3 if full else None, goal=1 if full else None, better="lower"
            )
            for key, train_set in ((f"{size}", made["train_set"]), (f"{size}_then_{MORE}", made["train_set_more"])):
                figures[f"train_set_seconds_{key}"] = figure(train_set["seconds"], "s", better="lower")
                figures[f"train_set_memory_{key}"] = figure(train_set["mb"] / 1024, "GiB", better="lower")
    if "near" in parts:
        figures["near_recall"] = figure(in_child("near")["recall"], "share", floor=0.95, goal=0.95, better="higher")
    if "neighbours" in parts:
        made = in_child("neighbours")
        first = made["hits"]["topics"]
        if "base" in first:
            won = sum(b and not a for a, b in zip(first["ngrams"], first["base"], strict=True))
            lost = sum(a and not b for a, b in zip(first["ngrams"], first["base"], strict=True))
            print(f"base finds {won} topics that ngrams does not, and misses {lost} that it finds")
        for key, value in made.items():
            if key.endswith(("_at_1", "_at_5")):
                figures[f"neighbours_{key}"] = figure(value, "share", better="higher")
            elif key.endswith(("_ms", "_seconds")):
                figures[f"neighbours_{key}"] = figure(value, "ms" if key.endswith("_ms") else "s")
    if "teacher" in parts:
        made = in_child("teacher")
        figures["pairs_per_minute"] = figure(
            60 * made["pairs"] / made["seconds"], "pairs/min", floor=2000, goal=6000, better="higher"
        )
        figures["mix_distance"] = figure(made["away"], "%", floor=None, goal=None, better="lower")
    if "score" in parts:
        kept = ["--keep", str(keep)] if keep else []
        made = in_child("score", "--minutes", str(minutes), "--pairs", str(pairs), *kept)
        scored = made["scored"]
        figures["jfleg_gleu"] = figure(scored["gleu_corpus"], "points", floor=45, goal=50, better="higher")
        figures["jfleg_errant_f05"] = figure(scored["errant_f05"], "points", floor=50, goal=58, better="higher")
        figures["overcorrected"] = figure(made["frozen"]["overcorrected"], "%", floor=10, goal=6, better="lower")
        figures["frozen_errant_f05"] = figure(
            made["frozen"]["errant_f05"], "points", floor=None, goal=None, better="higher"
        )
        figures["train_pairs"] = figure(made["pairs"], "pairs", floor=None, goal=None, better="lower")
        figures["train_minutes"] = figure(made["seconds"] / 60, "min", floor=30, goal=None, better="lower")
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--minutes", type=float, default=25.0, help="training budget of the score part")
    parser.add_argument("--pairs", type=int, default=6000)
    parser.add_argument("--keep", type=Path, help="a home for the score part, kept afterwards")
    parser.add_argument("--worker", choices=(*PARTS, "train_set"))
    parser.add_argument("--size", type=int, default=SIZES[0])
    parser.add_argument("--home", type=Path)
    parser.add_argument("--snapshot")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.worker:
        made = {
            "rows": lambda: part_rows(options.size),
            "train_set": lambda: part_train_set(options.home, options.snapshot),
            "near": part_near,
            "neighbours": part_neighbours,
            "teacher": part_teacher,
            "score": lambda: part_score(options.minutes, options.pairs, options.keep),
        }[options.worker]()
        options.out.write_text(json.dumps(made))
        return
    parts = options.parts.split(",")
    if "score" in parts and "CORRECTLY_BENCHMARK_DATA" not in os.environ:
        print("CORRECTLY_BENCHMARK_DATA is not set: the score part is left out.", file=sys.stderr)
        parts.remove("score")
    figures = figures_of(
        parts, [int(s) for s in options.sizes.split(",")], options.minutes, options.pairs, options.keep
    )
    # Parts may be run apart: figures of the others are kept, with what is remarked of where they were measured.
    kept = json.loads(RESULT.read_text()) if RESULT.exists() else {"figures": {}}
    others = {f"{part}_part" for part in PARTS if part not in parts}
    remarks = {key: value for key, value in kept.items() if key in others}
    write_results("data", {**kept["figures"], **figures}, rounds=1, **remarks)


if __name__ == "__main__":
    main()
