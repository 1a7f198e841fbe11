"""What a processor can compute is read from what the machine tells, and said before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from correctly_assets.core.errors import UsageError
from correctly_assets.engine.cpu import Cpu, read_cpu
from correctly_assets.engine.launch import engine_dtype, vllm_command
from correctly_assets.platform.up import check_machine
from correctly_assets.settings import Settings

AVX2 = "fpu sse2 avx avx2 fma"
AVX512 = f"{AVX2} avx512f avx512bw avx512vl avx512dq"


def cpu(flags: str, machine: str = "x86_64") -> Cpu:
    return Cpu(machine, frozenset(flags.split()))


def test_a_processor_is_read_from_what_linux_tells(tmp_path: Path) -> None:
    told = tmp_path / "cpuinfo"
    told.write_text(f"processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: {AVX512} avx512_bf16\n\nprocessor\t: 1\n")
    found = read_cpu(told, "x86_64")
    assert found == cpu(f"{AVX512} avx512_bf16")
    assert (found.dtype, found.stops, found.slow_warning("bfloat16")) == ("bfloat16", None, None)
    assert read_cpu(tmp_path / "nothing", "x86_64") == Cpu("x86_64")
    assert Cpu("x86_64").stops is None and Cpu("x86_64").slow_warning("bfloat16") is None


def test_without_avx_512_the_engine_computes_in_float32_and_it_is_said() -> None:
    old = cpu(AVX2)
    assert old.dtype == "float32" and old.stops is None
    message = old.slow_warning("float32") or ""
    assert "has no AVX-512" in message and "CORRECTLY_VLLM_DTYPE=bfloat16" in message
    assert "neither AVX512_BF16 nor AMX" in (cpu(AVX512).slow_warning("bfloat16") or "")
    argv, _ = vllm_command("m", port=1, chat_template=Path("t"), device="cpu", dtype="float32")
    assert argv[argv.index("--dtype") + 1] == "float32"
    assert engine_dtype("float32", "gpu") == "float32" and engine_dtype("auto", "gpu") == "bfloat16"


@pytest.mark.parametrize(
    ("processor", "words"),
    [
        (cpu("fp asimd", "aarch64"), "ARM processor (aarch64)"),
        (cpu("", "arm64"), "ARM processor (arm64)"),
        (cpu("", "riscv64"), "built for x86-64 processors, and this one is riscv64"),
        (cpu("fpu sse2 avx"), "has no AVX2"),
    ],
)
def test_a_processor_on_which_no_engine_runs_is_told_so_at_once(
    processor: Cpu, words: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")  # no GPU, whatever this machine has
    with pytest.raises(UsageError) as caught:
        check_machine(settings, Console(), processor)
    assert words in str(caught.value)


def test_what_makes_it_slow_is_printed_and_starts_all_the_same(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    console = Console(record=True, width=200)
    check_machine(settings, console, cpu(AVX2))
    check_machine(settings, console, cpu(f"{AVX512} amx_bf16"))
    said = console.export_text()
    assert said.count("!") == 1 and "The engine computes in float32" in said
