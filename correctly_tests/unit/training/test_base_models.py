"""Base models made from GGUF files: the weights, the tokenizer, the chat format, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from correctly_assets.core.errors import PermanentError, UsageError
from correctly_assets.core.prompts import family_of, load_prompts
from correctly_assets.settings import EMBEDDED_BASE_MODEL, PROJECT_ROOT, Settings
from correctly_assets.training.config import Stage
from correctly_assets.training.models.base_model import base_model_revision
from correctly_assets.training.models.convert_model import convert_gguf
from correctly_assets.training.rendering import Renderer, load_tokenizer
from correctly_assets.workflows.train_adapter import prepare_gguf
from correctly_tests.training_tiny import SPECIALS, train_config, write_train_set
from correctly_tests.unit.training.test_rendering import PAIR
from correctly_tests.unit.training.test_runs import trainer_for

pytestmark = pytest.mark.slow

HEADS = 2


def write_llama_gguf(file: Path, *, begins: bool = False, architecture: str = "llama") -> Any:
    """A random Llama with the vocabulary of a ChatML model as GGUF, as llama.cpp writes one; returns the model."""
    import gguf
    from tokenizers import pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM

    tokens = [*SPECIALS["chatml"], *sorted(pre_tokenizers.ByteLevel.alphabet()), "he", "ĠĠ"]
    torch.manual_seed(4)
    config = LlamaConfig(
        vocab_size=len(tokens), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=HEADS,
        num_key_value_heads=1, tie_word_embeddings=True, initializer_range=0.2, max_position_embeddings=512,
    )  # fmt: skip
    # bf16 and back, so that the converted file can hold exactly these weights.
    model = LlamaForCausalLM(config).eval()
    for parameter in model.parameters():
        parameter.data = parameter.data.bfloat16().float()
    writer = gguf.GGUFWriter(file, architecture)
    writer.add_string("general.license", "apache-2.0")
    writer.add_context_length(512)
    writer.add_embedding_length(32)
    writer.add_block_count(2)
    writer.add_feed_forward_length(48)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(16)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in SPECIALS["chatml"] else 1 for token in tokens])
    writer.add_token_merges(["h e", "Ġ Ġ"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(begins)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 2)
    for key, tensor in model.state_dict().items():
        if key == "lm_head.weight":
            continue
        named = names.get_name(key, try_suffixes=(".weight",))
        assert named is not None
        if "q_proj" in key or "k_proj" in key:
            count = HEADS if "q_proj" in key else 1
            # llama.cpp rotates neighbouring pairs where transformers rotates halves, and stores the rows so.
            rows = tensor.shape[0] // count // 2
            tensor = tensor.reshape(count, 2, rows, -1).swapaxes(1, 2).reshape(tensor.shape)
        writer.add_tensor(named, tensor.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    directory = tmp_path_factory.mktemp("gguf")
    model = write_llama_gguf(directory / "tiny.gguf")
    prompts = load_prompts(PROJECT_ROOT / "prompts", "chatml")
    return convert_gguf(directory / "tiny.gguf", directory / "tiny-chatml", prompts, "chatml"), model


def test_a_gguf_file_becomes_a_directory_with_its_answers_and_its_origin(
    converted: tuple[Path, Any],
) -> None:
    from transformers import AutoModelForCausalLM

    path, model = converted
    made = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    ids = torch.tensor([[1, 20, 30, 40, 50, 60, 7]])
    with torch.no_grad():
        torch.testing.assert_close(made(ids).logits, model(ids).logits, rtol=1e-4, atol=1e-4)
    manifest = json.loads((path / "correctly_base.json").read_text())
    assert (manifest["name"], manifest["source"], manifest["licence"]) == ("tiny-chatml", "tiny.gguf", "apache-2.0")
    assert base_model_revision(str(path)) == manifest["revision"]
    assert not hasattr(made.config, "quantization_config")


def test_its_turns_are_chatml_and_only_the_answer_is_learned(converted: tuple[Path, Any]) -> None:
    renderer = Renderer(load_tokenizer(str(converted[0])), load_prompts(PROJECT_ROOT / "prompts", "chatml"))
    turn = renderer.correct_turn(PAIR)
    whole = renderer.tokenizer.decode(list(turn.ids))
    assert whole.startswith("<|im_start|>user\n")
    assert renderer.tokenizer.decode([i for i in turn.labels() if i != -100]) == PAIR.after + "<|im_end|>"
    asked = [{"role": "user", "content": renderer.prompts.correct.replace("{text}", PAIR.before)}]
    shown = renderer.tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=False)
    assert list(shown) == list(turn.ids[: turn.prompt_length])


def test_digits_are_cut_off_before_blanks_are_joined_as_llama_cpp_does(converted: tuple[Path, Any]) -> None:
    tokenizer = load_tokenizer(str(converted[0]))
    assert [tokenizer.decode([i]) for i in tokenizer("he  20")["input_ids"]] == ["he", "  ", "2", "0"]


def test_a_begin_of_text_stands_in_front_only_where_the_file_says_so(
    tmp_path: Path, converted: tuple[Path, Any]
) -> None:
    assert load_tokenizer(str(converted[0]))("he")["input_ids"][0] != 1
    write_llama_gguf(tmp_path / "begins.gguf", begins=True)
    prompts = load_prompts(PROJECT_ROOT / "prompts", "chatml")
    begins = convert_gguf(tmp_path / "begins.gguf", tmp_path / "begins-chatml", prompts, "chatml")
    assert load_tokenizer(str(begins))("he")["input_ids"][0] == 1


def test_the_plain_engine_trains_it_and_the_fast_one_says_its_purpose(
    tmp_path: Path, converted: tuple[Path, Any]
) -> None:
    write_train_set(tmp_path)
    changes: dict[str, Any] = {"base_model": str(converted[0]), "chat_family": "chatml", "max_steps": 6}
    stages = [Stage(passes=2, learning_rate=3e-3)]
    trainer = trainer_for(train_config(tmp_path, stages=stages, **changes))
    trainer.run()
    assert trainer.engine.name == "plain"
    assert trainer.progress.losses[-1] < trainer.progress.losses[0]
    with pytest.raises(PermanentError, match="Gemma 3"):
        trainer_for(train_config(tmp_path, stages=stages, engine="fast", **changes))


def test_greedy_answers_do_not_depend_on_what_else_is_in_the_batch(
    converted: tuple[Path, Any],
) -> None:
    from correctly_assets.training.answering import greedy_answers

    path, model = converted
    renderer = Renderer(load_tokenizer(str(path)), load_prompts(PROJECT_ROOT / "prompts", "chatml"))
    texts = ["He go.", "We discussed about it yesterday evening.", "I am agree."]
    together = greedy_answers(model, renderer, texts, batch=3)
    assert together == [greedy_answers(model, renderer, [text])[0] for text in texts]
    prompt = list(renderer.prompt_ids(renderer.prompts.correct_prompt(texts[1])))
    found: list[int] = []
    with torch.no_grad():
        for _ in range(8):
            found.append(int(model(torch.tensor([prompt + found])).logits[0, -1].argmax()))
    shown = " ".join(renderer.tokenizer.decode(found, skip_special_tokens=True).split())
    assert together[1].startswith(shown[:4])


def test_another_chat_format_a_taken_name_and_no_gguf_file_are_refused(
    tmp_path: Path, converted: tuple[Path, Any]
) -> None:
    source = converted[0].parent / "tiny.gguf"
    gemma, chatml = (load_prompts(PROJECT_ROOT / "prompts", family) for family in ("gemma3", "chatml"))
    with pytest.raises(UsageError, match="smollm, qwen or chatml"):
        convert_gguf(source, tmp_path / "tiny", gemma, "gemma3")
    with pytest.raises(UsageError, match="There is no file"):
        convert_gguf(tmp_path / "none.gguf", tmp_path / "tiny-chatml", chatml, "chatml")
    (tmp_path / "text.gguf").write_text("This is no model." * 9)
    with pytest.raises(UsageError, match="no GGUF file"):
        convert_gguf(tmp_path / "text.gguf", tmp_path / "tiny-chatml", chatml, "chatml")
    assert convert_gguf(source, converted[0], chatml, "chatml") == converted[0]
    write_llama_gguf(tmp_path / "other.gguf", begins=True)
    with pytest.raises(UsageError, match="Another model stands"):
        convert_gguf(tmp_path / "other.gguf", converted[0], chatml, "chatml")
    settings = Settings().changed(platform={"home": tmp_path})
    for name in (EMBEDDED_BASE_MODEL, "../up", ""):
        with pytest.raises(UsageError, match="name"):
            prepare_gguf(settings.platform, source, name)


def test_prepared_and_hub_names_are_below_home_and_paths_stay_as_they_were(tmp_path: Path) -> None:
    made = tmp_path / "models" / "tiny-chatml"
    made.mkdir(parents=True)
    assert (
        Settings().changed(platform={"home": tmp_path}, training={"base_model": "tiny-chatml"}).base_model_path
        == "tiny-chatml"
    )
    (made / "config.json").write_text("{}")
    assert Settings().changed(
        platform={"home": tmp_path}, training={"base_model": "tiny-chatml"}
    ).base_model_path == str(made)
    hubs = (
        Settings().changed(platform={"home": tmp_path}, training={"base_model": "google/tiny-chatml"}).base_model_path
    )
    assert hubs == str(tmp_path / "models" / "google--tiny-chatml")
    for path in (str(made), "./models/tiny", "one/two/three"):
        assert Settings().changed(platform={"home": tmp_path}, training={"base_model": path}).base_model_path == path


def test_the_chat_family_comes_from_the_models_own_name_before_its_folders() -> None:
    assert family_of("/home/llama/models/smollm2-135m-instruct") == "chatml"
    assert family_of("/models/qwen-and-friends/gemma-3-1b") == "gemma3"
    assert family_of("/cache/models--HuggingFaceTB--SmolLM2/snapshots/0a1b") == "chatml"
    assert family_of("meta-llama/Llama-3.2-1B-Instruct") == "llama3"
    assert family_of("my-own") == "gemma3"


def test_an_architecture_that_transformers_does_not_read_is_refused(tmp_path: Path) -> None:
    write_llama_gguf(tmp_path / "odd.gguf", architecture="rwkv6")
    with pytest.raises(PermanentError, match=r"transformers cannot read odd\.gguf .*; use a directory of weights\."):
        convert_gguf(
            tmp_path / "odd.gguf", tmp_path / "odd", load_prompts(PROJECT_ROOT / "prompts", "chatml"), "chatml"
        )
    assert [path.name for path in tmp_path.iterdir()] == ["odd.gguf"]
