"Interrupted, repeated, shared among processes: always the same pictures and the same tables."
from dataclasses import replace
import errno
import inspect
import math
import sys

import pandas as pd
import pytest
import torch

from anyms.paper.run import costs, drawing, store as rooms
from anyms.paper.methods.method import keep
from anyms.paper.metrics.cost import measured
from anyms.paper.run.costs import TUNED_TOGETHER, alone_costs, cost_notes, cost_per_subject, is_prepared, kept_folder, middle_case, time_alone
from anyms.paper.run.drawing import Worker, draw, prepare
from anyms.paper.run.judging import drawn_units, judge_all, plan_tables, status
from anyms.paper.run.store import Store
from anyms.paper.run.units import World, all_methods
from paper_fakes import QUIET, Dots, Eye, Trains, case_of, fake_pipe, plan_of, rows_of, run, same

@pytest.fixture
def plan(): return plan_of(seeds=range(12))

@pytest.fixture
def whole(tmp_path, plan):
    "What one process makes of the plan."
    return rows_of(run(tmp_path/"whole", plan), plan)


# one process

def test_rows(tmp_path, plan):
    rows = plan_tables(run(tmp_path/"s", plan), plan)["pictures"]
    assert len(rows) == 2*2*12 and rows.evaluations.eq(2).all() and rows.origin.eq("ours").all() and rows.n.isin([2, 3]).all()
    assert rows.seconds.gt(0).all() and rows.peak_bytes.gt(1e6).all() and rows.steps.eq(4).all()

def test_nothing_is_drawn_twice(tmp_path, plan):
    store = run(tmp_path/"s", plan)
    assert draw(store, fake_pipe(), plan, **QUIET) == [] and judge_all(store, plan, Eye(), **QUIET) == []

def test_another_judge_draws_nothing(tmp_path, plan):
    class Other(Eye): name = "eye 2"
    store = run(tmp_path/"s", plan)
    files = {file: file.stat().st_mtime_ns for file in store.files("pictures")}
    assert len(judge_all(store, plan, Other(), **QUIET)) == len(plan.units)
    assert files == {file: file.stat().st_mtime_ns for file in store.files("pictures")}
    assert len(plan_tables(store, plan)["scores"]) == 48

def test_a_truncated_table_is_drawn_again(tmp_path, plan, whole):
    store = run(tmp_path/"s", plan)
    for table in rooms.TABLES:
        file = store.files(table)[1]
        file.write_bytes(file.read_bytes()[:-9])
    assert len(draw(store, fake_pipe(), plan, **QUIET)) == 1
    judge_all(store, plan, Eye(), **QUIET)
    same(rows_of(store, plan), whole)

def test_a_picture_that_cannot_be_read_is_drawn_again(tmp_path, plan, whole):
    "The size is right, the content is not: the judge notices."
    class Other(Eye): name = "eye 2"
    store = run(tmp_path/"s", plan)
    file = store.folder/plan.units[0].picture(3)
    file.write_bytes(b"x"*file.stat().st_size)
    assert len(judge_all(store, plan, Other(), **QUIET)) == len(plan.units)
    assert not store.is_drawn(plan.units[0])
    assert draw(store, fake_pipe(), plan, **QUIET) == [plan.units[0]]

def test_without_pyarrow(tmp_path, plan, whole, monkeypatch):
    monkeypatch.setattr(rooms, "find_spec", lambda name: None)
    store = run(tmp_path/"s", plan)
    assert {file.suffix for file in store.files("subjects")} == {".csv"}
    for name, rows in rows_of(store, plan).items(): pd.testing.assert_frame_equal(rows, whole[name].loc[:, rows.columns], check_dtype=False)

def test_quick_first_then_all(tmp_path):
    "Noises that both have are counted once."
    first, then = plan_of(seeds=range(4)), plan_of(seeds=range(12))
    store = run(tmp_path/"s", first)
    draw(store, fake_pipe(), then, **QUIET)
    judge_all(store, then, Eye(), **QUIET)
    rows = rows_of(store, then)
    assert len(rows["pictures"]) == 48 and len(rows["subjects"]) == 2*12*5 and len(rows_of(store, first)["scores"]) == 16
    assert status(store, then).table.missing.eq(0).all()


def test_the_time_left_is_that_of_each_methods_own_pictures(tmp_path):
    "Missing pictures times the median second; a method without pictures is named, and all done says nothing."
    first, then = plan_of(Dots(), seeds=range(4)), plan_of(Dots(), Dots("speckles"), seeds=range(12))
    store = run(tmp_path/"s", first)
    assert "left" not in str(status(store, first)) and "known once" not in str(status(store, first))
    told = status(store, then)
    pace = plan_tables(store, first)["pictures"].seconds.median()
    assert told.hours["dots"] == pytest.approx(pace*16/3600) and math.isnan(told.hours["speckles"])
    assert "About 1 minute of one worker's drawing" in str(told) and "once each has drawn a picture: speckles." in str(told)
    long = replace(told, hours=told.hours*0 + 2.25)
    assert "About 2.2 hours" in str(long)


# several workers

def test_two_shares_are_the_whole(tmp_path, plan, whole):
    same(rows_of(run(tmp_path/"s", plan, Worker(0, 2, None), Worker(1, 2, None)), plan), whole)

def test_the_order_of_shares_does_not_matter(tmp_path, plan, whole):
    same(rows_of(run(tmp_path/"s", plan, *(Worker(i, 3, None) for i in (2, 0, 1))), plan), whole)

def test_two_workers_on_one_unit(tmp_path, plan, whole):
    "Both find nothing, both draw, the second replaces the first one's files by the same."
    store = Store(tmp_path/"s")
    for _ in range(2): drawing.draw_unit(store, fake_pipe(), plan, plan.units[0])
    same(rows_of(run(tmp_path/"s", plan), plan), whole)

def test_somebody_else_was_faster(tmp_path, plan):
    "A unit that another worker finished while we were at work is not drawn again."
    store, drawn = Store(tmp_path/"s"), []
    class Slow(Dots):
        def draw(self, pipe, case, seeds, kept, sampling):
            images = super().draw(pipe, case, seeds, kept, sampling)
            if not drawn: draw(store, fake_pipe(), other, **QUIET)
            drawn.append(case.id)
            return images
    other = plan_of(Dots(), seeds=range(12))
    mine = draw(store, fake_pipe(), plan_of(Slow(), seeds=range(12)), **QUIET)
    assert len(mine) == len(drawn) == 1


# failures

def test_a_method_that_fails_leaves_the_others(tmp_path):
    class Broken(Dots):
        def draw(self, pipe, case, seeds, kept, sampling):
            if case.id == "3a": raise KeyError("no such layer")
            return super().draw(pipe, case, seeds, kept, sampling)
    plan = plan_of(Broken("broken"), Dots(), seeds=range(12))
    store = Store(tmp_path/"s")
    with pytest.raises(RuntimeError, match="broken: KeyError: .*no such layer"): draw(store, fake_pipe(), plan, **QUIET)
    assert status(store, plan).table.drawn.tolist() == [12, 24]

def test_one_reason_for_many_is_told_once_and_in_full(tmp_path):
    "A missing file stops many methods: its sentence, however long, says what to fetch."
    class Lacks(Dots):
        def draw(self, pipe, case, seeds, kept, sampling): raise FileNotFoundError("it is not there; fetch " + "a/b"*100 + "/last.safetensors")
    plan = plan_of(Lacks("one"), Lacks("other"), Dots(), seeds=range(2))
    with pytest.raises(RuntimeError, match=r"not all of one, other \(one, other: FileNotFoundError: .*/last.safetensors\)") as error:
        draw(Store(tmp_path/"s"), fake_pipe(), plan, **QUIET)
    assert str(error.value).count("last.safetensors") == 1

def test_too_few_pictures_are_a_fault(tmp_path):
    class Lazy(Dots):
        def draw(self, pipe, case, seeds, kept, sampling): return super().draw(pipe, case, seeds[1:], kept, sampling)
    with pytest.raises(RuntimeError, match="drew 3 pictures for 4 seeds"): draw(Store(tmp_path/"s"), fake_pipe(), plan_of(Lazy(), seeds=range(4)), **QUIET)

def test_a_full_disk(tmp_path, plan, whole, monkeypatch):
    "A sentence; whatever was finished stays, and the same command goes on."
    store, put, calls = Store(tmp_path/"s"), Store.put_pictures, []
    def full(self, unit, images, **facts):
        calls.append(unit)
        if len(calls) == 4: raise OSError(errno.ENOSPC, "No space left on device")
        return put(self, unit, images, **facts)
    monkeypatch.setattr(Store, "put_pictures", full)
    with pytest.raises(OSError, match="is full; all that was finished is kept"): draw(store, fake_pipe(), plan, **QUIET)
    assert len(drawn_units(store, plan)) == 3
    same(rows_of(run(tmp_path/"s", plan), plan), whole)

def test_a_disk_that_is_full_while_something_is_trained(tmp_path, monkeypatch):
    "safetensors has no errno: its words are known too."
    class Full(Trains):
        def prepare(self, pipe, case, folder): raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
    with pytest.raises(OSError, match="is full; all that was finished is kept"):
        prepare(Store(tmp_path/"s"), fake_pipe(), plan_of(Full(), seeds=range(2)), **QUIET)

def test_ctrl_c(tmp_path, plan, whole, monkeypatch):
    class Pressed(Dots):
        def draw(self, pipe, case, seeds, kept, sampling):
            if case.id == "3a": raise KeyboardInterrupt
            return super().draw(pipe, case, seeds, kept, sampling)
    pressed = plan_of(Pressed(), Dots("speckles"), seeds=range(12))
    with pytest.raises(KeyboardInterrupt): draw(Store(tmp_path/"s"), fake_pipe(), pressed, **QUIET)
    same(rows_of(run(tmp_path/"s", plan), plan), whole)


# stale

def test_other_weights_are_stale_and_in_no_table(tmp_path, plan):
    store = run(tmp_path/"s", plan)
    newer = plan_of(seeds=range(12), world=World("stickers", "newer"))
    told = status(store, newer)
    assert told.table.drawn.eq(0).all() and told.stale.units.sum() == 8 and "dots 4" in str(told) and "in no table" in str(told)
    assert all(rows.empty for rows in plan_tables(store, newer).values())
    draw(store, fake_pipe(1.), newer, **QUIET)
    assert len(plan_tables(store, newer)["pictures"]) == len(plan_tables(store, plan)["pictures"]) == 48

def test_an_older_version_is_stale(tmp_path, plan, monkeypatch):
    store = run(tmp_path/"s", plan)
    monkeypatch.setattr("anyms.paper.run.units.VERSION", 2)
    newer = plan_of(seeds=range(12))
    assert status(store, newer).stale.units.sum() == 8 and status(store, newer).table.missing.eq(24).all()

def test_a_moved_box_makes_its_case_stale_only(tmp_path, plan):
    store = run(tmp_path/"s", plan)
    moved = plan_of(cases=[case_of("2a", aspect=1.5), case_of("3a", 3)], seeds=range(12))
    told = status(store, moved)
    assert told.stale.units.tolist() == [2, 2] and told.table.missing.tolist() == [12, 12]


# preparing

def test_prepare_once_and_what_it_cost(tmp_path):
    "Two cases that share a subject train it once."
    cases = [case_of("2a"), case_of("2a"), case_of("3a", 3)]
    cases[1] = type(cases[1])("2b", *(getattr(cases[1], name) for name in ("prompt", "subjects", "scene")))
    plan = plan_of(Trains(), Trains("per_case", "case"), Dots(), cases=cases, seeds=range(2))
    store = Store(tmp_path/"s")
    assert len(prepare(store, fake_pipe(), plan, **QUIET)) == 6 and prepare(store, fake_pipe(), plan, **QUIET) == []
    notes = cost_notes(kept_folder(store, plan, plan.methods["trains"]))
    assert notes.files.tolist() == [2, 0, 3] and notes.seconds.iloc[1] == 0
    table = cost_per_subject(store, plan)
    size = notes.bytes.sum()/5
    assert list(table.index) == ["trains", "per_case"] and table.train_bytes["trains"] == size
    assert table.train_bytes["per_case"] == pytest.approx(3*size/7, rel=.2)

def test_tuned_together(tmp_path, monkeypatch):
    "Weights that two methods read are paid for once and charged to both."
    class Shares(Trains):
        def prepare(self, pipe, case, folder): return super().prepare(pipe, case, folder.parent/costs.SHARED)
    monkeypatch.setattr(costs, "TUNED_TOGETHER", ("one", "other"))
    plan = plan_of(Shares("one"), Shares("other"), seeds=range(2))
    store = Store(tmp_path/"s")
    prepare(store, fake_pipe(), plan, **QUIET)
    table = cost_per_subject(store, plan)
    assert table.train_bytes["one"] == table.train_bytes["other"] > 0 and table.train_seconds["one"] > 0

def test_everybody_who_reads_shared_weights_is_charged_for_them():
    "A method whose page looks into the folder that several read."
    pages = {name: inspect.getsource(sys.modules[type(method).__module__]) for name, method in all_methods().items() if method.trained}
    shared = {name for name, page in pages.items() if 'folder.parent/"subjects"' in page}
    assert shared == set(TUNED_TOGETHER) and "mix_of_show" in shared

def test_what_others_tune_meanwhile_is_not_charged(tmp_path, monkeypatch):
    "Two workers prepare side by side: the one that shares nothing keeps its own seconds."
    class Meets(Trains):
        def prepare(self, pipe, case, folder):
            keep(folder.parent/costs.SHARED/"of_another.safetensors", lambda: dict(w=torch.zeros(3)))
            return super().prepare(pipe, case, folder)
    plan, store = plan_of(Meets("alone"), seeds=range(2)), Store(tmp_path/"s")
    prepare(store, fake_pipe(), plan, **QUIET)
    folder = kept_folder(store, plan, plan.methods["alone"])
    assert cost_notes(folder).seconds.gt(0).all() and cost_notes(folder.parent/costs.SHARED).empty
    assert cost_per_subject(store, plan).train_seconds["alone"] > 0

def test_quick_and_full_trainings_lie_apart(tmp_path):
    store, plans = Store(tmp_path/"s"), [plan_of(Trains(), quick=quick) for quick in (False, True)]
    for plan in plans: prepare(store, fake_pipe(), plan, **QUIET)
    kept = [plan.methods["trains"].prepare(fake_pipe(), plan.cases["2a"], kept_folder(store, plan, plan.methods["trains"])) for plan in plans]
    assert [len(one["2a0"]) for one in kept] == [40, 1]

def test_an_adapter_is_trained_before_many_draw(tmp_path):
    plan, store = plan_of(Trains("big", "adapter"), seeds=range(2)), Store(tmp_path/"s")
    with pytest.raises(ValueError, match="anyms paper prepare --methods big"): draw(store, fake_pipe(), plan, Worker(1, 2, None), **QUIET)
    prepare(store, fake_pipe(), plan, **QUIET)
    assert len(draw(store, fake_pipe(), plan, Worker(1, 2, None), **QUIET)) == 1
    assert is_prepared(kept_folder(store, plan, plan.methods["big"]), plan.cases["2a"])

def test_costs_are_taken_also_of_nothing():
    pipe = fake_pipe()
    with measured(pipe) as cost: pass
    assert cost.evaluations == 0 and cost.seconds >= 0 and not pipe.unet._forward_pre_hooks

def test_a_picture_alone(tmp_path):
    "Of the middle case, one in a call, warm; again when asked again; of these settings only."
    calls = []
    class Counts(Trains):
        def draw(self, pipe, case, seeds, kept, sampling):
            calls.append((case.id, len(seeds), sampling.batch_size))
            return super().draw(pipe, case, seeds, kept, sampling)
    plan = plan_of(Counts(), cases=[case_of("5a", 5), case_of("2a"), case_of("3a", 3)], seeds=range(2))
    store, method = Store(tmp_path/"s"), plan.methods["trains"]
    assert middle_case(plan).id == "3a" and alone_costs(store, plan).empty
    first = time_alone(store, fake_pipe(), plan, method, repeats=2)
    assert calls == [("3a", 1, 1)]*3 and first["evaluations"] == 2 and is_prepared(kept_folder(store, plan, method), plan.cases["3a"])
    assert alone_costs(store, plan).seconds["trains"] == first["seconds"]
    second = time_alone(store, fake_pipe(), plan, method, repeats=1)
    assert alone_costs(store, plan).seconds["trains"] == second["seconds"]
    assert alone_costs(store, plan_of(Counts(), cases=[*plan.cases.values()], quick=True)).empty
