"Only the newest wish is worked on, and threads end."
import threading

from anyms.widgets import LatestOnlyWorker


# newest first

def test_only_the_newest_is_worked_on():
    seen, worker = [], None
    worker = LatestOnlyWorker(lambda request, check: seen.append(request), rest=.05)
    for i in range(200): worker.ask(i)
    assert worker.wait(10) and seen == [199] and worker.done == 1
    worker.ask("again")
    assert worker.wait(10) and seen == [199, "again"], "the thread comes back after it has rested"

def test_stale_work_is_given_up():
    begun, go, finished = threading.Event(), threading.Event(), []
    def work(request, check):
        if request == "old":
            begun.set()
            go.wait(10)
            check()
        finished.append(request)
    worker = LatestOnlyWorker(work, rest=0)
    worker.ask("old")
    begun.wait(10)
    for i in range(20): worker.ask(i)
    go.set()
    assert worker.wait(10) and finished == [19] and worker.dropped == 1

def test_a_stopped_worker_takes_nothing_more():
    seen, worker = [], None
    worker = LatestOnlyWorker(lambda request, check: seen.append(request), rest=.2)
    worker.ask(1)
    worker.stop()
    assert worker.wait(10) and worker.thread is None
    worker.ask(2)
    assert worker.wait(1) and seen == []
