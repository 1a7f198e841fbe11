"""A written-down process is told from a later one of its number, and from one that has died unnoticed."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil
import pytest

from correctly_assets.workflows.process_identity import find_running, this_process


def test_this_very_process_runs_and_a_later_one_of_its_number_is_another():
    me = this_process()
    found = find_running(me)
    assert found is not None and found.pid == os.getpid()
    # A clock that was set says another time of start, and the same ticks since the machine was started.
    assert find_running(me | {"started": me["started"] - 3600}) is not None
    assert find_running(me | {"ticks": me["ticks"] - 6000}) is None
    assert find_running(me | {"boot": "another"}) is None
    # As an earlier release wrote it.
    by_time = {"pid": me["pid"], "started": me["started"]}
    assert find_running(by_time) is not None
    assert find_running(by_time | {"started": me["started"] - 60}) is None
    with pytest.raises(KeyError):
        find_running({})


def test_a_killed_process_that_nobody_waited_for_does_not_run():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    written = {"pid": child.pid, "started": psutil.Process(child.pid).create_time()}
    assert find_running(written) is not None
    child.kill()
    deadline = time.monotonic() + 10
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert find_running(written) is None
    child.wait()
    assert find_running(written) is None
