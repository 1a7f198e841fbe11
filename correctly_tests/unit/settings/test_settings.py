"""The groups of settings: their variables, changed copies, wrong values, and the page that lists them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from correctly_assets.settings import PROJECT_ROOT, InvalidSettingError, Settings, get_settings
from correctly_assets.settings.document import render


def test_the_page_of_settings_is_what_the_groups_say() -> None:
    page = (PROJECT_ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == render(), "Write it anew: python -m correctly_assets.settings > docs/settings.md"


def test_every_setting_is_described_and_no_machine_is_named() -> None:
    variables = []
    for group in Settings.model_fields.values():
        for name, field in group.annotation.model_fields.items():  # pyright: ignore
            variables.append(group.annotation.variable(name))  # pyright: ignore
            assert len(field.description or "") > 10, name
    assert len(variables) == len(set(variables)) and all(re.fullmatch("CORRECTLY_[A-Z_]+", name) for name in variables)
    assert all(f"| `{name}` |" in render() for name in variables)
    assert str(PROJECT_ROOT) not in render()


@pytest.mark.parametrize(
    ("variable", "value", "group", "field", "read"),
    [
        ("CORRECTLY_GATEWAY_PORT", "81", "platform", "gateway_port", 81),
        ("CORRECTLY_TEACHER", "openai", "teacher", "kind", "openai"),
        ("CORRECTLY_TEACHER_MODEL", "toy", "teacher", "model", "toy"),
        ("CORRECTLY_REASON_LANGUAGE", "ko", "teacher", "reason_language", "ko"),
        ("CORRECTLY_JUDGE_MODEL", "toy", "judge", "model", "toy"),
        ("CORRECTLY_COMPARATOR_BASE_URL", "http://a/v1", "comparator", "base_url", "http://a/v1"),
        ("CORRECTLY_TRAIN_MINUTES", "2", "training", "minutes", 2.0),
        ("CORRECTLY_SEED", "3", "training", "seed", 3),
        ("CORRECTLY_STARTER", "none", "training", "starter", "none"),
        ("CORRECTLY_MODE", "fluent", "serving", "mode", "fluent"),
        ("CORRECTLY_EMBEDDING_MODEL", "toy", "curation", "embedding_model", "toy"),
        ("CORRECTLY_PII_NAMES", "true", "privacy", "pii_names", True),
    ],
)
def test_a_variable_is_read_into_its_group(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, group: str, field: str, read: object
) -> None:
    monkeypatch.setenv(variable, value)
    assert getattr(getattr(get_settings(), group), field) == read


def test_a_setting_has_one_variable_and_no_second_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORRECTLY_TRAIN_SEED", "3")
    monkeypatch.setenv("CORRECTLY_TEACHER_KIND", "openai")
    settings = get_settings()
    assert settings.training.seed == 20 and settings.teacher.kind == "embedded"


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("CORRECTLY_TRAIN_MINUTES", "soon", "valid number"),
        ("CORRECTLY_TRAIN_MINUTES", "0", "greater than 0"),
        ("CORRECTLY_TEACHER", "nobody", "'embedded', 'openai' or 'recorded'"),
        ("CORRECTLY_LORA_RANK", "3", "vLLM serves ranks 1, 8"),
        ("CORRECTLY_TRAIN_STAGES", "none", "write it as JSON"),
        ("CORRECTLY_TRAIN_STAGES", '[{"name": "all", "passes": 0}]', "at passes: Input should be greater than 0"),
        ("CORRECTLY_TEACHER_PRICES", '{"toy": {"prompt": 1}}', "the price of toy is two numbers"),
        ("CORRECTLY_VLLM_PORT", "70000", "less than or equal to 65535"),
    ],
)
def test_a_wrong_value_is_one_sentence_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidSettingError) as wrong:
        get_settings()
    said = str(wrong.value)
    assert said.startswith(f"The setting {variable} is wrong") and says in said
    assert "\n" not in said and said.endswith(".")


def test_a_changed_copy_is_checked_and_leaves_the_first_alone(settings: Settings, tmp_path: Path) -> None:
    other = settings.changed(platform={"home": tmp_path / "b"}, training={"seed": 3, "minutes": "2"})
    assert other.platform.adapters_dir == tmp_path / "b" / "adapters"
    assert (other.training.seed, other.training.minutes) == (3, 2.0)
    assert settings.training.seed == 20 and settings.platform.home == tmp_path / "home"
    with pytest.raises(InvalidSettingError, match="The setting CORRECTLY_SEED is wrong: Input should be a valid int"):
        settings.changed(training={"seed": "x"})


def test_an_unknown_group_or_setting_is_one_sentence(settings: Settings) -> None:
    with pytest.raises(
        InvalidSettingError, match="There is no group of settings gate: the groups are platform, teacher"
    ):
        settings.changed(gate={"seed": 3})
    with pytest.raises(InvalidSettingError, match=r"TrainingSettings has no setting sed: .*seed"):
        settings.changed(training={"sed": 3})
