"""A trimmed vocabulary writes every text, cuts kept text as before, and leaves the model's answers what they were."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from benchmarks.choose_vocabulary import Joins
from correctly_assets.core.errors import PermanentError
from correctly_assets.core.prompts import load_prompts
from correctly_assets.settings import PROJECT_ROOT, Settings
from correctly_assets.training.models.base_model import base_model_revision, is_converted, untrimmed
from correctly_assets.training.models.convert_model import begin_with_bos, convert_embedded_model, read_gguf
from correctly_assets.training.models.gguf_file import write_gguf
from correctly_assets.training.models.vocabulary import kept_tokens, trim_gguf, trimming
from correctly_assets.training.rendering import Renderer, load_tokenizer
from correctly_tests.training_tiny import gemma_config

pytestmark = pytest.mark.slow

CONTROL = [
    "<pad>",
    "<eos>",
    "<bos>",
    "<unk>",
    "<mask>",
    "<unused0>",
    "<unused1>",
    "<start_of_turn>",
    "<end_of_turn>",
    "\n",
    "\n\n",
]
BYTES = [f"<0x{number:02X}>" for number in range(256)]
STARTER = PROJECT_ROOT / "correctly_assets" / "starter"


def starter_texts() -> Iterator[str]:
    """Every text of the files that ship, reasons included."""
    for file in sorted(STARTER.glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            yield from (value for value in row.values() if isinstance(value, str))
            yield from (reason["reason"] for reason in row.get("reasons") or () if isinstance(reason, dict))


def small_model(directory: Path) -> Path:
    """A GGUF file of a random Gemma 3 whose vocabulary is of the real one's kind, learned from the starter."""
    import gguf
    from tokenizers import models, normalizers, pre_tokenizers, trainers
    from transformers import Gemma3ForCausalLM, PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.normalizer = normalizers.Replace(" ", "▁")
    inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    trainer = trainers.BpeTrainer(vocab_size=1500, special_tokens=[*CONTROL, *BYTES], show_progress=False)
    inner.train_from_iterator(list(starter_texts())[:2000], trainer)
    tokens = sorted(inner.get_vocab(), key=inner.get_vocab().__getitem__)
    torch.manual_seed(2)
    real = {"layer_types": ["sliding_attention"] * 3, "head_dim": 256, "query_pre_attn_scalar": 256}
    model = Gemma3ForCausalLM(gemma_config(vocab_size=len(tokens), initializer_range=0.1, **real))
    model.to(torch.bfloat16).save_pretrained(directory)  # pyright: ignore[reportArgumentType]
    PreTrainedTokenizerFast(tokenizer_object=inner).save_pretrained(directory)
    writer = gguf.GGUFWriter(directory / "vocabulary.gguf", "gemma3")
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(number) for number in range(len(tokens))])
    kinds = dict.fromkeys(CONTROL, 3) | dict.fromkeys(BYTES, 6) | {"\n": 4, "\n\n": 4}
    writer.add_token_types([kinds.get(token, 1) for token in tokens])
    for name, token in (("padding", "<pad>"), ("eos", "<eos>"), ("bos", "<bos>"), ("unknown", "<unk>")):
        writer.add_uint32(f"tokenizer.ggml.{name}_token_id", tokens.index(token))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    # Apart: the GGUF file is to be read by itself.
    target = directory / "whole" / "model.gguf"
    target.parent.mkdir()
    write_gguf(directory, directory / "vocabulary.gguf", target, name="small")
    return target


def closed(state: dict[str, Any], chosen: list[int]) -> np.ndarray[Any, Any]:
    """Ids that may be kept alone: the chosen ones with their pieces, control tokens but the unused ones, and all bytes."""
    joins = Joins(state["model"])
    token_of = {number: token for token, number in joins.vocabulary.items()}
    kept = {n for t, n in joins.vocabulary.items() if t in BYTES or (t in CONTROL and "unused" not in t)}
    for number in chosen:
        kept |= {joins.vocabulary[piece] for piece in joins.pieces(token_of[number]) or ()}
    return np.array(sorted(kept))


@dataclass(frozen=True)
class Small:
    """A small model and its tokenizer, whole and trimmed."""

    whole: Tokenizer
    cut: Tokenizer
    whole_model: Any
    cut_model: Any
    kept: np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """One that lost about half of its tokens."""
    home = tmp_path_factory.mktemp("small")
    file = small_model(home)
    whole_model, whole = read_gguf(file)
    state = json.loads(whole.backend_tokenizer.to_str())
    size = len(state["model"]["vocab"])
    kept = closed(state, random.Random(1).sample(range(len(CONTROL) + 256, size), 400))
    assert len(kept) < size * 0.6
    (home / "cut").mkdir()
    trim_gguf(file, home / "cut" / "model.gguf", kept)
    cut_model, cut = read_gguf(home / "cut" / "model.gguf")
    for tokenizer in (whole, cut):
        begin_with_bos(tokenizer)
    return Small(whole.backend_tokenizer, cut.backend_tokenizer, whole_model.float(), cut_model.float(), kept)


TEXTS = st.text(st.characters(codec="utf-8"), max_size=60) | st.lists(
    st.sampled_from(
        [
            "He",
            "goes",
            " ",
            "  ",
            "\n",
            "\n\n",
            "naïve",
            "학교",
            "👍🏽",
            "<bos>",
            "<unused1>",
            "<0x41>",
            "#",
            "\t",
            "\r",
        ]
    )
).map("".join)


@settings(max_examples=400, deadline=None)
@given(text=TEXTS)
def test_any_text_is_written_back_as_the_whole_vocabulary_does(small: Small, text: str) -> None:
    whole, cut = small.whole, small.cut
    written = cut.decode(cut.encode(text, add_special_tokens=False).ids, skip_special_tokens=False)
    assert written == whole.decode(whole.encode(text, add_special_tokens=False).ids, skip_special_tokens=False)
    assert "<unk>" in text or "<unk>" not in cut.encode(text).tokens
    # The mark for a blank is read as a blank by either.
    assert written == text.replace("▁", " ")


def test_a_text_whose_pieces_are_kept_is_cut_into_the_same(small: Small) -> None:
    whole, cut, kept = small.whole, small.cut, small.kept
    alive, same = set(kept.tolist()), 0
    # Words and pairs of words: of whole sentences hardly one keeps all its pieces here.
    words = [word for text in starter_texts() for word in text.split(" ")][:30_000]
    for text in {*words, *(f"{a} {b}" for a, b in pairwise(words))}:
        before, after = whole.encode(text), cut.encode(text)
        if alive.issuperset(before.ids):
            same += 1
            assert after.tokens == before.tokens
            assert [int(kept[number]) for number in after.ids] == before.ids
    assert same > 1000


def test_special_tokens_keep_their_meaning_and_the_unused_are_text(small: Small) -> None:
    cut = small.cut
    assert cut.get_vocab_size() == len(small.kept)
    assert cut.encode("<start_of_turn>a\n\n").tokens == ["<bos>", "<start_of_turn>", "a", "\n\n"]
    assert cut.encode("").ids == [cut.token_to_id("<bos>")]
    assert cut.token_to_id("<unused0>") is None
    assert len(cut.encode("<unused0>", add_special_tokens=False).ids) > 1


def test_a_trimmed_model_gives_the_kept_tokens_the_same_logits(small: Small) -> None:
    ids = small.cut.encode("He goes to school.").ids
    with torch.no_grad():
        whole = small.whole_model(torch.tensor([small.kept[ids].tolist()])).logits[..., small.kept]
        cut = small.cut_model(torch.tensor([ids])).logits
    assert torch.allclose(cut, whole, atol=1e-4)
    assert small.cut_model.config.vocab_size == len(small.kept) == cut.shape[-1]
    assert (small.cut_model.config.bos_token_id, small.cut_model.config.eos_token_id) == (2, 1)


def test_a_vocabulary_that_is_too_small_is_not_trimmed(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="CORRECTLY_TRIM_VOCABULARY=false"):
        trim_gguf(small_model(tmp_path), tmp_path / "cut.gguf", np.array([0, 1, 2, 90_000]))


def test_the_shipped_choice_is_64_000_tokens_with_every_byte() -> None:
    kept = kept_tokens()
    assert len(kept) == 64_000
    assert kept[-1] < 262_144
    assert set(range(238, 494)) <= set(kept.tolist())  # the bytes
    assert kept[:6].tolist() == [0, 1, 2, 3, 4, 5]
    assert {105, 106, 107} <= set(kept.tolist())  # both turn marks, the line break
    assert len(trimming()) == 12


def test_a_trimmed_revision_names_the_whole_one_and_others_are_themselves() -> None:
    assert untrimmed("abc-2+0123456789ab") == "abc-2" == untrimmed("abc-2")
    assert untrimmed("google/gemma-3-1b-it") == "google/gemma-3-1b-it"


@pytest.mark.parametrize(("ending", "trim"), [(f"-2+{trimming()}", True), ("-2", False)])
def test_a_model_with_the_other_vocabulary_is_converted_anew(tmp_path: Path, ending: str, trim: bool) -> None:
    (tmp_path / "correctly_base.json").write_text(json.dumps({"revision": f"abc{ending}"}))
    assert is_converted(tmp_path, trim=trim)
    assert not is_converted(tmp_path, trim=not trim)
    (tmp_path / "correctly_base.json").write_text(json.dumps({"revision": "abc-2+000000000000"}))
    assert not is_converted(tmp_path, trim=trim)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(whole, trimmed): the packaged model, converted in both ways."""
    home = tmp_path_factory.mktemp("models")
    return (
        convert_embedded_model(home / "whole" / "gemma-3-270m", trim=False),
        convert_embedded_model(home / "trimmed" / "gemma-3-270m"),
    )


def greedy(directory: Path, prompts: list[str], tokens: int) -> list[tuple[list[str], float]]:
    """Per prompt the pieces of the greedy answer, and how far the first choice was ahead where it was closest."""
    from transformers import AutoModelForCausalLM

    words = load_tokenizer(str(directory))
    model: Any = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    found: list[tuple[list[str], float]] = []
    for prompt in prompts:
        ids = torch.tensor([words(prompt)["input_ids"]])
        made = model.generate(
            ids, max_new_tokens=tokens, do_sample=False, output_logits=True, return_dict_in_generate=True
        )
        closest = min(float(step[0].topk(2).values.diff().abs()) for step in made.logits)
        found.append((words.convert_ids_to_tokens(made.sequences[0, ids.shape[1] :].tolist()), closest))
    return found


@pytest.mark.model
@pytest.mark.timeout(900)
def test_the_real_model_answers_as_before_and_cuts_the_starter_as_before(real: tuple[Path, Path]) -> None:
    whole, cut = real
    assert untrimmed(base_model_revision(str(cut))) == base_model_revision(str(whole))
    assert json.loads((cut / "correctly_base.json").read_text())["trimmed_from"] == base_model_revision(str(whole))
    assert (cut / "model.safetensors").stat().st_size < 0.55 * (whole / "model.safetensors").stat().st_size
    texts = list(dict.fromkeys(starter_texts()))
    before, after = (Tokenizer.from_file(str(path / "tokenizer.json")).encode_batch(texts) for path in real)
    other = sum(one.tokens != two.tokens for one, two in zip(before, after, strict=True))
    # The vocabulary was chosen before half of these pairs were written: their rarer names and misspellings fall into other pieces,
    # some six in a thousand texts; every text still comes back as it was.
    assert other <= len(texts) / 100
    prompts = load_prompts(PROJECT_ROOT / "prompts", "gemma3")
    assert Renderer(load_tokenizer(str(cut)), prompts).end_id == 1
    asked = [prompts.correct_prompt(text) for text in texts[::100][:30]]
    kept = set(Tokenizer.from_file(str(cut / "tokenizer.json")).get_vocab())
    for one, two in zip(greedy(whole, asked, 24), greedy(cut, asked, 24), strict=True):
        # Where the whole model wants a token that is gone, the trimmed one has to go on with another.
        until = next((place for place, piece in enumerate(one[0]) if piece not in kept), len(one[0]))
        assert one[0][:until] == two[0][:until] or min(one[1], two[1]) < 1e-3


@pytest.mark.model
@pytest.mark.timeout(900)
@settings(max_examples=500, deadline=None)
@given(text=TEXTS)
def test_the_real_tokenizer_writes_any_text_back(real: tuple[Path, Path], text: str) -> None:
    whole, cut = (_read(path) for path in real)
    written = cut.decode(cut.encode(text, add_special_tokens=False).ids, skip_special_tokens=False)
    assert written == whole.decode(whole.encode(text, add_special_tokens=False).ids, skip_special_tokens=False)
    assert written == text.replace("▁", " ")


_READ: dict[Path, Tokenizer] = {}


def _read(directory: Path) -> Tokenizer:
    if directory not in _READ:
        _READ[directory] = Tokenizer.from_file(str(directory / "tokenizer.json"))
    return _READ[directory]


def test_trimming_is_on_unless_it_is_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().training.trim_vocabulary
    monkeypatch.setenv("CORRECTLY_TRIM_VOCABULARY", "false")
    assert not Settings().training.trim_vocabulary
