"""Freed memory is given back (engine/vllm_plugin/memory.py); each case in a process of its own, whose heap is nobody else's."""

from __future__ import annotations

import subprocess
import sys

LEAVE_HOLES = """
import ctypes, os, psutil, time
from correctly_assets.engine.vllm_plugin.memory import start_trimming
libc = ctypes.CDLL("libc.so.6")
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
rss = lambda: psutil.Process().memory_info().rss
def grow():
    blocks = [libc.malloc(65536) for _ in range(4800)]
    for block in blocks:
        ctypes.memset(block, 1, 65536)
    # The last block stays in use, so that nothing above the holes is free.
    for block in blocks[:-1]:
        libc.free(block)
"""


def last_line(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", LEAVE_HOLES + code], capture_output=True, text=True, check=True)
    return done.stdout.strip().splitlines()[-1]


WAIT = """
until = time.monotonic() + 20
while rss() > before + 64e6 and time.monotonic() < until:
    time.sleep(0.05)
print(held > before + 250e6, rss() < before + 64e6)
"""


def test_memory_that_was_freed_beneath_a_block_in_use_is_given_back() -> None:
    alone = "before = rss(); grow(); held = rss(); time.sleep(1); print(held > before + 250e6, rss() < before + 64e6)"
    assert last_line(alone) == "True False", "this C library gives holes back by itself: the case shows nothing"
    assert last_line("start_trimming(0.1); before = rss(); grow(); held = rss()" + WAIT) == "True True"


def test_a_forked_process_gives_back_its_own() -> None:
    code = "start_trimming(0.1)\nif os.fork():\n    os.wait()\nelse:\n    before = rss(); grow(); held = rss()\n"
    child = "".join(f"    {line}\n" for line in WAIT.strip().splitlines())
    assert last_line(code + child) == "True True"
