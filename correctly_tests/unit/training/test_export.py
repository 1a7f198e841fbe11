"""Merged weights are base plus adapter, a GGUF file answers as they do, and the model card says what is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from correctly_assets.artifacts.directory import write_artefact
from correctly_assets.artifacts.manifests import AdapterManifest, NamedBaseModel, read_manifest
from correctly_assets.core.errors import AdapterRefused, PermanentError
from correctly_assets.core.prompts import Prompts, load_prompts
from correctly_assets.settings import PROJECT_ROOT
from correctly_assets.training.adapter import CONTENT, check_adapter
from correctly_assets.training.adoption import adopt_adapter, average_adapters
from correctly_assets.training.card import model_card, write_card
from correctly_assets.training.config import TrainConfig
from correctly_assets.training.models.gguf_file import check_gguf, write_gguf
from correctly_assets.training.models.load_model import load_base, put_adapter_on
from correctly_assets.training.models.merging import merge_adapter
from correctly_assets.training.output import adapter_config
from correctly_assets.training.rendering import Renderer, load_tokenizer
from correctly_tests.training_tiny import gemma_config, tokenizer, train_config

pytestmark = pytest.mark.slow

PROMPTS: Prompts = load_prompts(PROJECT_ROOT / "prompts")
ASKED = [PROMPTS.correct_prompt(text) for text in ("He go.", "They is late.", "Fine.")]


def write_base(target: Path, **changes: Any) -> Path:
    """A random bf16 Gemma 3 whose norms and layer order are as a real one's."""
    from transformers import Gemma3ForCausalLM

    words = tokenizer("gemma3")
    torch.manual_seed(7)
    # A GGUF file does not carry the attention scale: readers take 256, a real head's width.
    real = {"layer_types": ["sliding_attention"] * 3, "head_dim": 256, "query_pre_attn_scalar": 256}
    model = Gemma3ForCausalLM(gemma_config(vocab_size=len(words), initializer_range=0.1, **{**real, **changes}))
    for name, parameter in model.named_parameters():
        if name.endswith("norm.weight"):
            parameter.data.normal_(std=0.3)
    model.to(torch.bfloat16).save_pretrained(target)  # pyright: ignore[reportArgumentType]
    words.save_pretrained(target)
    (target / "correctly_base.json").write_text(json.dumps({"name": "tiny-gemma", "revision": "r1"}))
    return target


def write_foreign(base: Path, target: Path) -> Path:
    """An adapter as peft leaves it: two files."""
    config = train_config(base.parent)
    adapter = put_adapter_on(load_base(str(base), torch.device("cpu")), config)
    torch.manual_seed(11)
    target.mkdir()
    save_file(
        {name: torch.randn_like(tensor) * 0.05 for name, tensor in adapter.tensors().items()},
        target / "adapter_model.safetensors",
    )
    (target / "adapter_config.json").write_text(adapter_config(config, adapter))
    return target


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    directory = tmp_path_factory.mktemp("export")
    write_base(directory / "base")
    write_foreign(directory / "base", directory / "foreign")
    return directory


def config_of(home: Path) -> TrainConfig:
    return train_config(home)


@pytest.fixture(scope="module")
def adopted(home: Path) -> Path:
    return adopt_adapter(home / "foreign", config_of(home))[1]


@pytest.fixture(scope="module")
def merged(home: Path, adopted: Path) -> Path:
    merge_adapter(str(home / "base"), adopted, home / "merged", PROMPTS)
    return home / "merged"


def write_vocabulary(path: Path, tokens: list[str], bos: int = 2) -> Path:
    import gguf

    writer = gguf.GGUFWriter(path, "gemma3")
    writer.add_name("a vocabulary")
    writer.add_license("gemma")
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(number) for number in range(len(tokens))])
    writer.add_token_types([1] * len(tokens))
    writer.add_bos_token_id(bos)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def tokens_of(model: Path) -> list[str]:
    words = load_tokenizer(str(model))
    return words.convert_ids_to_tokens(list(range(len(words))))


def test_merged_weights_are_base_plus_scaled_product_and_nothing_else(home: Path, adopted: Path, merged: Path) -> None:
    base, both = load_file(home / "base" / "model.safetensors"), load_file(merged / "model.safetensors")
    adapter = load_file(adopted / "adapter_model.safetensors")
    assert base.keys() == both.keys()
    changed = 0
    for name, weights in base.items():
        key = f"base_model.model.{name.removesuffix('.weight')}.lora_"
        expected = weights
        if f"{key}A.weight" in adapter:
            # rank 8, alpha 16
            expected = (weights.float() + 2 * adapter[f"{key}B.weight"] @ adapter[f"{key}A.weight"]).bfloat16()
            changed += 1
            assert not torch.equal(weights, both[name])
        torch.testing.assert_close(both[name], expected, rtol=0.01, atol=1e-3)
    assert changed == 3 * 7


def test_the_merged_directory_renders_chats_as_trained_and_can_be_a_base(merged: Path) -> None:
    from transformers import AutoTokenizer

    words: Any = AutoTokenizer.from_pretrained(merged)
    question = PROMPTS.correct.replace("{text}", "She have two cat.")
    ids = words.apply_chat_template(
        [{"role": "user", "content": question}], add_generation_prompt=True, tokenize=True, return_dict=False
    )
    renderer = Renderer(load_tokenizer(str(merged)), PROMPTS)
    assert tuple(ids) == renderer.prompt_ids(PROMPTS.correct_prompt("She have two cat."))
    assert ids.count(words.bos_token_id) == 1
    assert json.loads((merged / "correctly_base.json").read_text())["revision"]


def test_weights_that_do_not_answer_as_the_adapter_did_are_not_written(
    home: Path, adopted: Path, tmp_path: Path
) -> None:
    manifest = json.loads((adopted / "manifest.json").read_text())
    for canary in manifest["canary"]:
        canary["adapter_logprob"] += canary["tokens"]
    lying = tmp_path / adopted.name
    lying.mkdir()
    for name in CONTENT:
        (lying / name).write_bytes((adopted / name).read_bytes())
    (lying / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(PermanentError, match="answer otherwise than the adapter"):
        merge_adapter(str(home / "base"), lying, tmp_path / "out", PROMPTS)
    assert not (tmp_path / "out").exists()


def test_a_gguf_file_holds_the_vocabulary_and_answers_as_the_weights(merged: Path, tmp_path: Path) -> None:
    import gguf

    vocabulary = write_vocabulary(tmp_path / "v.gguf", tokens_of(merged))
    write_gguf(merged, vocabulary, tmp_path / "m.gguf", name="tiny")
    check = check_gguf(merged, tmp_path / "m.gguf", ASKED)
    assert check["prompts"] == 3
    assert check["max_logit_difference"] < 1e-4
    fields = gguf.GGUFReader(tmp_path / "m.gguf").fields
    assert fields["tokenizer.ggml.tokens"].contents() == tokens_of(merged)
    assert fields["tokenizer.ggml.scores"].contents()[3] == -3
    assert fields["general.name"].contents() == "tiny"
    assert fields["gemma3.attention.head_count_kv"].contents() == 1
    assert fields["tokenizer.chat_template"].contents().startswith("{{- bos_token -}}")


def test_a_gguf_file_of_other_weights_is_found_out(home: Path, merged: Path, tmp_path: Path) -> None:
    # The base model instead of the merged one: what a conversion that lost the adapter would give.
    vocabulary = write_vocabulary(tmp_path / "v.gguf", tokens_of(merged))
    write_gguf(home / "base", vocabulary, tmp_path / "b.gguf", name="tiny")
    with pytest.raises(PermanentError, match="answers otherwise than the weights"):
        check_gguf(merged, tmp_path / "b.gguf", ASKED)


def test_a_trimmed_model_takes_its_part_of_the_whole_vocabulary(merged: Path, tmp_path: Path) -> None:
    import gguf

    tokens = tokens_of(merged)
    # The whole vocabulary has tokens before, among and after those of the model.
    whole = ["<before>", *tokens[:10], "<among>", *tokens[10:], "<after>"]
    write_gguf(merged, write_vocabulary(tmp_path / "v.gguf", whole, bos=3), tmp_path / "m.gguf", name="tiny")
    assert check_gguf(merged, tmp_path / "m.gguf", ASKED)["max_logit_difference"] <= 1e-3
    fields = gguf.GGUFReader(tmp_path / "m.gguf").fields
    assert fields["tokenizer.ggml.tokens"].contents() == tokens
    assert fields["tokenizer.ggml.scores"].contents()[9:11] == [-10, -12]
    assert len(fields["tokenizer.ggml.token_type"].contents()) == len(tokens)
    assert fields["tokenizer.ggml.bos_token_id"].contents() == 2


def test_a_vocabulary_of_another_model_is_refused(merged: Path, tmp_path: Path) -> None:
    tokens = tokens_of(merged)
    tokens[10], tokens[11] = tokens[11], tokens[10]
    with pytest.raises(PermanentError, match="tokens are not those"):
        write_gguf(merged, write_vocabulary(tmp_path / "v.gguf", tokens), tmp_path / "m.gguf", name="tiny")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "llama"}, "not for llama"),
        ({"layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}, "layers of another order"),
        ({"query_pre_attn_scalar": 99}, "another attention scale"),
        ({"final_logit_softcapping": 30.0}, "capped logits"),
    ],
)
def test_a_model_that_llama_cpp_would_compute_otherwise_is_refused(
    merged: Path, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**json.loads((merged / "config.json").read_text()), **change}))
    with pytest.raises(PermanentError, match=words):
        write_gguf(tmp_path, tmp_path / "none.gguf", tmp_path / "m.gguf", name="tiny")


def test_an_adopted_adapter_keeps_its_bytes_and_gets_a_telling_canary(home: Path, adopted: Path) -> None:
    manifest = check_adapter(adopted, home / "base")
    for name in CONTENT:
        assert (adopted / name).read_bytes() == (home / "foreign" / name).read_bytes()
    assert manifest.origin == "trained elsewhere"
    assert manifest.elsewhere is not None and manifest.elsewhere.base_model_name_or_path == "tiny-gemma"
    assert "rows_digest" not in manifest.model_fields_set
    assert any(abs(item.adapter_logprob - item.base_logprob) > 0.1 for item in manifest.canary)
    assert "trained elsewhere" in (adopted / "README.md").read_text()


def test_an_adapter_for_some_modules_is_adopted_and_known_a_second_time(home: Path, tmp_path: Path) -> None:
    some = tmp_path / "some"
    some.mkdir()
    weights = load_file(home / "foreign" / "adapter_model.safetensors")
    save_file({n: t for n, t in weights.items() if ".q_proj." in n}, some / "adapter_model.safetensors")
    config = json.loads((home / "foreign" / "adapter_config.json").read_text())
    (some / "adapter_config.json").write_text(json.dumps({**config, "target_modules": ["q_proj"]}))
    mine = config_of(home).model_copy(update={"adapters_dir": tmp_path / "adapters"})
    identity, path, known = adopt_adapter(some, mine)
    assert not known
    assert adopt_adapter(some, mine) == (identity, path, True)


def test_an_adapter_that_breaks_a_rule_is_not_adopted(home: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    for name in CONTENT:
        (bad / name).write_bytes((home / "foreign" / name).read_bytes())
    (bad / "tokenizer.json").write_text("{}")
    mine = config_of(home).model_copy(update={"adapters_dir": tmp_path / "adapters"})
    with pytest.raises(AdapterRefused) as caught:
        adopt_adapter(bad, mine)
    assert caught.value.rule == "no_tokenizer"
    assert not (tmp_path / "adapters").exists()


def test_the_mean_of_two_adapters_has_their_mean_weights_and_names_both(
    home: Path, adopted: Path, tmp_path: Path
) -> None:
    doubled = tmp_path / "doubled"
    doubled.mkdir()
    (doubled / "adapter_config.json").write_bytes((adopted / "adapter_config.json").read_bytes())
    weights = load_file(adopted / "adapter_model.safetensors")
    save_file({name: 2 * value for name, value in weights.items()}, doubled / "adapter_model.safetensors")
    mine = config_of(home).model_copy(update={"adapters_dir": tmp_path / "adapters"})
    second = adopt_adapter(doubled, mine)[1]
    mean = average_adapters(adopted, second, mine)
    made = load_file(mean / "adapter_model.safetensors")
    assert all(torch.allclose(made[name], 1.5 * value) for name, value in weights.items())
    manifest = read_manifest(mean, AdapterManifest)
    assert (manifest.id, manifest.averaged) == (mean.name, [adopted.name, second.name])
    assert check_adapter(mean, home / "base").canary != read_manifest(second, AdapterManifest).canary


def test_adapters_of_other_matrices_have_no_mean(home: Path, adopted: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    weights = load_file(adopted / "adapter_model.safetensors")
    save_file(dict(list(weights.items())[:2]), other / "adapter_model.safetensors")
    with pytest.raises(PermanentError, match="cannot be averaged"):
        average_adapters(adopted, other, config_of(home))


TRAINED = AdapterManifest.model_validate({
    "base_model": {"name": "gemma-3-270m", "revision": "r9"},
    "data_sha256": "d" * 64,
    "prompt_sha256": "e" * 64,
    "seed": 20,
    "train_set": "abc",
    "config": {"lora": {"rank": 16}},
    "figures": {
        "pairs": 7, "items": 9, "steps": 3, "loss_first": 2.0, "loss_last": 1.0, "held_out_loss": 1.25,
        "forgetting": {"bait": {"before": 0.5, "after": 0.75, "items": 4}},
    },
})  # fmt: skip


def test_the_card_of_the_adapter_that_ships_shows_its_scores() -> None:
    card = model_card(TRAINED.model_copy(update={"scores": {"careful": {"gleu": 77.0}, "fluent": {"gleu": 80.75}}}))
    assert "| GLEU | 77.00 | 80.75 |" in card
    assert "not been evaluated" not in card


def test_a_card_names_base_terms_data_scores_use_and_follows_the_report(tmp_path: Path) -> None:
    def fill(work: Path) -> None:
        (work / "adapter_config.json").write_text("{}")
        (work / "README.md").write_text(model_card(TRAINED))

    identity, directory = write_artefact(tmp_path, fill, content=["adapter_config.json"], manifest=TRAINED)
    before = (directory / "README.md").read_text()
    for words in (
        "Gemma Terms of Use",
        "d" * 64,
        "7 pairs, 9 turns",
        "train set `abc`",
        "held out 1.250",
        "| bait | 0.500",
    ):
        assert words in before
    assert "not been evaluated yet" in before
    scores = {"gleu": 61.234, "errant_f05": 40.0, "overcorrected": None}
    report = {
        "verdict": "promote",
        "data": {"name": "frozen", "n": 400, "sha256": "f" * 64},
        "systems": {"candidate": scores, "base": {**scores, "gleu": 50.0}},
    }
    (directory / "report.json").write_text(json.dumps(report))
    write_card(directory)
    after = (directory / "README.md").read_text()
    assert "| GLEU | 61.23 | 50.00 |" in after
    assert "passed the gate" in after
    assert "overcorrected" not in after.lower()
    # The card is no part of the content: the same content has the same name whatever it says.
    assert write_artefact(tmp_path, fill, content=["adapter_config.json"], manifest=TRAINED)[0] == identity
    assert (directory / "README.md").read_text() == after


def test_a_card_of_another_base_claims_no_gemma_terms() -> None:
    card = model_card(TRAINED.model_copy(update={"base_model": NamedBaseModel(name="smollm2-135m", revision="r")}))
    assert "Gemma" not in card
    assert "base model’s licence binds" in card
