"""What this machine's processor can compute, read before minutes are spent on finding out.

Belongs here: the processor's kind and what follows from it for the engine. Does not belong here: the engine's command line
(launch.py), or how fast training is, which is measured (training/estimates.py).
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Dtype = Literal["bfloat16", "float32"]

X86 = ("x86_64", "amd64")
ARM = ("aarch64", "arm64")
_AVX512 = frozenset(("avx512f", "avx512bw", "avx512vl", "avx512dq"))
"""What vLLM's faster CPU build is compiled for, and what PyTorch multiplies bf16 matrices with."""
_BF16 = frozenset(("avx512_bf16", "amx_bf16"))


@dataclass(frozen=True, slots=True)
class Cpu:
    """A processor.

    Attributes:
        machine: its kind, as `uname -m` names it. flags: what it can, as Linux names it; empty where that is not told.
    """

    machine: str
    flags: frozenset[str] = frozenset()

    @property
    def dtype(self) -> Dtype:
        """What the engine computes in: bfloat16 without AVX-512 is many times slower than float32."""
        return "float32" if self.flags and not self.flags >= _AVX512 else "bfloat16"

    @property
    def stops(self) -> str | None:
        """Why the engine cannot run on it, in one sentence with the remedy; None where it can."""
        kind = self.machine.lower()
        if kind in ARM:
            return (
                f"This machine has an ARM processor ({self.machine}), for which Correctly's engine is not built: run it on an "
                "x86-64 machine (Intel or AMD)."
            )
        if kind not in X86:
            return f"Correctly's engine is built for x86-64 processors, and this one is {self.machine}: use an x86-64 machine."
        if self.flags and "avx2" not in self.flags:
            return (
                "This processor has no AVX2, without which vLLM does not run on a CPU: use a newer machine, or a GPU."
            )
        return None

    def slow_warning(self, dtype: Dtype) -> str | None:
        """What makes it slow, in one sentence; None where nothing does.

        Args:
            dtype: what the engine computes in.
        """
        if not self.flags:
            return None
        if not self.flags >= _AVX512:
            other = "bfloat16" if dtype == "float32" else "float32"
            return (
                f"This processor has no AVX-512: answers and training take several times as long. The engine computes in {dtype}; "
                f"CORRECTLY_VLLM_DTYPE={other} is the other way."
            )
        if not self.flags & _BF16:
            return "This processor computes bf16 by way of float32 (it has neither AVX512_BF16 nor AMX): training takes longer."
        return None


def read_cpu(cpuinfo: Path = Path("/proc/cpuinfo"), machine: str | None = None) -> Cpu:
    """This machine's processor; what Linux does not tell is left out."""
    flags: frozenset[str] = frozenset()
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            flags = frozenset(value.split())
            break
    return Cpu(machine or platform.machine(), flags)
