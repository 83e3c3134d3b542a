"Workers that are processes: side by side, launched, killed. The table is always that of one."
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from anyms.paper.run.judging import drawn_units
from anyms.paper.run.store import Store
from paper_fakes import plan_of, rows_of, run, same

TESTS = Path(__file__).resolve().parents[1]

SCRIPT = """
import sys
from paper_fakes import *
from anyms.paper.run.drawing import draw, find_worker
from anyms.paper.run.store import Store
folder, shard, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
plan = plan_of(Dots(seconds=seconds), Dots("speckles", seconds=seconds), seeds=range(12))
worker = find_worker(None if shard == "launched" else shard)
print(worker.rank, worker.size, len(draw(Store(folder), fake_pipe(), plan, worker, progress=False)))
"""

@pytest.fixture
def plan(): return plan_of(seeds=range(12))

@pytest.fixture
def whole(tmp_path, plan):
    "What one process makes of the plan."
    return rows_of(run(tmp_path/"whole", plan), plan)

@pytest.fixture
def script(tmp_path):
    file = tmp_path/"work.py"
    file.write_text(SCRIPT)
    return file

def environment(): return os.environ | dict(PYTHONPATH=os.pathsep.join([str(TESTS.parent), str(TESTS)]), OMP_NUM_THREADS="1")

def start(*words): return subprocess.Popen([*map(str, words)], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

def finish(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err[-2000:]
    return out

def test_two_processes_are_one(tmp_path, script, plan, whole):
    both = [start(sys.executable, script, tmp_path/"s", f"{i}/2", 0) for i in (0, 1)]
    assert [finish(one).split() for one in both] == [["0", "2", "4"], ["1", "2", "4"]]
    same(rows_of(run(tmp_path/"s", plan), plan), whole)

def test_kill_9_in_the_middle_of_a_unit(tmp_path, script, plan, whole):
    "At least one unit is whole, one is begun; the rest is drawn by a second run."
    process, pictures = start(sys.executable, script, tmp_path/"s", "0/1", .05), tmp_path/"s"/"pictures"
    deadline = time.time() + 300
    while not list(pictures.rglob("[!.]*.parquet")) and time.time() < deadline: time.sleep(.02)
    time.sleep(.15)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    done = len(drawn_units(Store(tmp_path/"s"), plan))
    assert 1 <= done < len(plan.units)
    store = run(tmp_path/"s", plan)
    same(rows_of(store, plan), whole)

@pytest.mark.parametrize("launcher, share", [
    (["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1", "--num_machines", "1", "--mixed_precision", "no",
      "--dynamo_backend", "no"], ["0 1 8"]),
    (["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29617"], ["0 2 4", "1 2 4"]),
], ids=["accelerate", "torchrun"])
def test_launched(tmp_path, script, plan, whole, launcher, share):
    "The launcher says rank and size; accelerate starts GPUs as torchrun does, and on a CPU without MPI one process."
    out = finish(start(sys.executable, *launcher, script, tmp_path/"s", "launched", 0))
    assert sorted(line for line in out.splitlines() if line[:1].isdigit()) == share
    same(rows_of(run(tmp_path/"s", plan), plan), whole)
