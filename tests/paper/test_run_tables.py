"Intervals over cases, then noises, and the tables made of them."
import itertools

import numpy as np
import pandas as pd
import pytest

from anyms.paper.metrics.registry import get_metric, measure
from anyms.paper.run import intervals as rooms
from anyms.paper.run.costs import time_alone
from anyms.paper.run.intervals import draw_method, intervals, of_method, redrawn, two_stage_weights
from anyms.paper.run.judging import plan_tables
from anyms.paper.run.summaries import (OURS, PAPER_TABLE1, THEIRS, by_subjects, for_reading, same_pictures, styled, summarize, table_1,
                                       table_2, to_latex, wide, write_tables)
from paper_fakes import Dots, case_of, fake_pipe, plan_of, run


def pictures_of(cases=4, seeds=5):
    return pd.DataFrame([dict(case=f"c{c}", seed=s) for c, s in itertools.product(range(cases), range(seeds))])

def made_up(shifts, cases=6, seeds=8, subjects=2):
    "Judge's rows: a method is as much better as its shift; cases differ."
    rng, rows = np.random.default_rng(0), []
    base = rng.normal(.5, .15, cases)
    wobble = rng.normal(0, .05, (cases, seeds, subjects))
    for method, shift in shifts.items():
        for c, s, j in itertools.product(range(cases), range(seeds), range(subjects)):
            iou = float(np.clip(base[c] + wobble[c, s, j] + shift, 0, 1))
            rows.append(dict(method=method, case=f"c{c}", seed=s, subject=j, noun=f"n{j}", found=float(iou > .4), iou=iou, iou_any=iou,
                             hit=float(iou > .5)))
    subjects = pd.DataFrame(rows)
    seen = subjects[["method", "case", "seed", "noun", "hit"]].assign(score=subjects.iou, strength=1 - subjects.iou, hit_any=subjects.hit)
    extra = seen.assign(hit=0., score=seen.score/2, hit_any=0.)
    pictures = subjects[["method", "case", "seed"]].drop_duplicates()
    pictures = pictures.assign(seconds=.5, evaluations=40., peak_bytes=1e9, pixels="x")
    scores = pictures[["method", "case", "seed"]].assign(metric="scene", value=1.)
    return dict(pictures=pictures, subjects=subjects, detections=pd.concat([seen, extra], ignore_index=True), scores=scores)


# weights

def test_first_the_pictures_themselves():
    weights = two_stage_weights(pictures_of(), 50)
    assert weights.shape == (51, 20) and (weights[0] == 1).all() and (weights.sum(1) == 20).all()

def test_cases_are_drawn_whole():
    "A case that was not drawn has no picture in the drawing; about a third of the cases are missing in each."
    weights = two_stage_weights(pictures_of(12, 6), 400)[1:].reshape(400, 12, 6).sum(2)
    assert set(np.unique(weights % 6)) == {0} and abs((weights == 0).mean() - (1 - 1/12)**12) < .03

def test_noises_are_drawn_within_a_case():
    weights = two_stage_weights(pictures_of(1, 10), 500)[1:]
    assert abs((weights == 0).mean() - .9**10) < .03

def test_equal_pictures_are_drawn_alike():
    one, other = two_stage_weights(pictures_of(), 9), two_stage_weights(pictures_of().copy(), 9)
    assert (one == other).all() and (one != two_stage_weights(pictures_of(), 9, seed=1)).any()
    assert one is other   # drawn once for all methods
    with pytest.raises(ValueError, match="read-only"): one[0] = 2

def test_the_order_of_rows_only_permutes_noises():
    "How often a case is drawn does not depend on where its rows stand."
    pictures = pictures_of()
    turned = pictures.iloc[::-1].reset_index(drop=True)
    one, other = two_stage_weights(pictures, 30), two_stage_weights(turned, 30)
    for case in pictures["case"].unique():
        assert (one[:, pictures["case"] == case].sum(1) == other[:, turned["case"] == case].sum(1)).all()

def test_by_hand():
    "Against a slow bootstrap that draws cases and then noises one by one."
    rng, pictures = np.random.default_rng(3), pictures_of(5, 4)
    values = rng.normal(size=(5, 1)) + rng.normal(size=(5, 4))*.5
    def once():
        cases = rng.integers(0, 5, 5)
        return np.mean([values[c, rng.integers(0, 4, 4)] for c in cases])
    slow = [once() for _ in range(4000)]
    weights = two_stage_weights(pictures, 4000)[1:]
    fast = weights @ values.ravel()/weights.sum(1)
    assert abs(np.std(slow) - np.std(fast)) < .05*np.std(slow) and abs(np.mean(slow) - np.mean(fast)) < .02


# figures

@pytest.mark.parametrize("name", ["mIoU", "mIoU_found", "coverage", "hit50", "AP50", "AP50_any", "scene", "seconds"])
def test_redrawn_is_measure(name):
    "The fast way and the registry's own, in every drawing."
    tables = of_method(made_up(dict(anyms=0.)), "anyms")
    pictures = rooms.judged_pictures(tables)
    weights = two_stage_weights(pictures, 20)
    np.testing.assert_allclose(redrawn(tables, [name], pictures, weights)[name], measure(name, tables, pictures, weights), atol=1e-12)

def test_average_precision_is_pooled_in_each_drawing():
    "Not a mean of pictures' own precisions."
    tables = of_method(made_up(dict(anyms=0.)), "anyms")
    drawn = draw_method(tables, ["AP50"], n=300)
    pooled = measure("AP50", tables)[0]
    assert drawn.figures["AP50"][0] == pytest.approx(pooled) and drawn.figures["AP50"][1:].std() > .01

def test_one_case_drawn_twice_counts_twice():
    tables = of_method(made_up(dict(anyms=0.), cases=2), "anyms")
    pictures = rooms.judged_pictures(tables)
    weights = np.where(pictures["case"] == "c0", 2., 0.)[None]
    only = {name: rows[rows["case"] == "c0"] for name, rows in tables.items()}
    for name in ("mIoU", "AP50"): assert redrawn(tables, [name], pictures, weights)[name][0] == pytest.approx(measure(name, only)[0])

def test_nothing_found_anywhere():
    tables = made_up(dict(anyms=0.))
    tables["detections"] = tables["detections"].iloc[:0]
    table = intervals(tables, ["AP50", "mIoU"], n=20).set_index("metric")
    assert table.value["AP50"] == 0 and table.high["AP50"] == 0

def test_intervals_and_differences():
    table = intervals(made_up(dict(anyms=0., better=.03, same=0.)), ["mIoU"], n=300).set_index("method")
    assert table.difference["anyms"] == table.difference_low["anyms"] == 0 == table.difference_high["same"]
    assert table.difference_low["better"] > .02 and table.low["better"] < table.value["anyms"] < table.high["better"]
    assert (table.cases == 6).all() and (table.pictures == 48).all()

def test_differences_on_shared_pictures_only():
    "A method that has drawn half is compared on that half."
    tables = made_up(dict(anyms=0., half=0.))
    for name, rows in tables.items(): tables[name] = rows[(rows.method != "half") | (rows.seed < 4)]
    tables["subjects"].loc[(tables["subjects"].method == "anyms") & (tables["subjects"].seed >= 4), "iou"] = 0.
    table = intervals(tables, ["mIoU"], n=100).set_index("method")
    assert table.value["anyms"] < table.value["half"] and table.difference["half"] == 0 and table.pictures["half"] == 24

def test_without_the_reference():
    table = intervals(made_up(dict(one=0., other=.1)), ["mIoU"], n=20)
    assert "difference" not in table and "*" not in wide(table, {}).to_string()

def test_pooling_would_be_too_narrow():
    tables = made_up(dict(anyms=0.))
    row = intervals(tables, ["mIoU"], n=500).iloc[0]
    values = tables["subjects"].iou
    pooled = 2*1.96*values.std()/np.sqrt(len(values))
    assert row.high - row.low > 2*pooled


# tables

@pytest.fixture(scope="module")
def made(tmp_path_factory):
    "A store by fakes that are called like the real ones, one of which trains nothing and one of which equals another."
    class Same(Dots):
        def draw(self, pipe, case, seeds, kept, sampling): return Dots("anyms").draw(pipe, case, seeds, kept, sampling)
    methods = [Dots("anyms"), Dots("full"), Dots("masked"), Same("masked_priority"), Dots("mudi")]
    plan = plan_of(*methods, cases=[case_of("2a"), case_of("3a", 3), case_of("3b", 3), case_of("5a", 5)], seeds=range(12))
    store = run(tmp_path_factory.mktemp("tables")/"s", plan)
    return store, plan, summarize(store, plan, n=50)

def test_table_1(made):
    table = table_1(made[2])
    assert table.index[0] == "anyms (ours)" and {OURS, THEIRS} == set(table.columns.get_level_values(0))
    assert table.loc["mudi (ours)", (THEIRS, "mIoU")] == "36.1" and table.loc["full (ours)", (THEIRS, "mIoU")] == "-"
    assert table.loc["mudi (ours)", (OURS, "pictures")] == "48" and (table[(OURS, "e")] == "2").all()
    assert set(PAPER_TABLE1.columns) == set(table[THEIRS].columns)

def test_seconds_of_a_busy_night_are_marked(made, tmp_path):
    "What the clock said in batches has a ~; a picture that was timed alone has none, and the caption says which is which."
    store, plan, before = made
    assert table_1(before)[OURS].s.str.startswith("~").all() and table_1(before)[OURS]["peak GB"].str.startswith("~").all()
    row = time_alone(store, fake_pipe(), plan, plan.methods["mudi"], repeats=1)
    after = summarize(store, plan, n=20)
    told = table_1(after)[OURS]
    assert told.s["mudi (ours)"] == f"{row['seconds']:.2f}" and told.s["full (ours)"].startswith("~")
    assert after.costs.alone.to_dict() == {name: name == "mudi" for name in plan.methods}
    assert "one picture alone, warm" in for_reading(after)["table_1"][1] and r"\textasciitilde" in to_latex(*for_reading(after)["table_1"])

def test_table_2_and_the_row_that_must_equal(made):
    table, all_of_it = table_2(made[2]), made[2]
    assert list(table.index) == ["full (ours)", "masked (ours)", "anyms (ours)", "masked_priority (ours)"]
    assert all_of_it.equal == 1. and (table.loc["masked_priority (ours)", OURS] == table.loc["anyms (ours)", OURS]).all()
    assert set(all_of_it.table2.cases) == {3} and table.loc["anyms (ours)", (THEIRS, "mIoU")] == "44.6"

def test_same_pictures(made):
    pictures = plan_tables(made[0], made[1])["pictures"]
    assert same_pictures(pictures, "anyms", "full") < .1 and np.isnan(same_pictures(pictures, "anyms", "nobody"))

def test_figure_4_by_number_of_subjects(made):
    table = made[2].figure4
    assert sorted(table.n.unique()) == [2, 3, 5] and table[table.n == 3].cases.eq(2).all()
    again = by_subjects(plan_tables(made[0], made[1]), made[1], n=50)
    pd.testing.assert_frame_equal(table, again)

def test_no_case_disagrees(made): assert made[2].disagreeing.empty and "disagreeing" not in for_reading(made[2])

def test_files(made, tmp_path):
    files = write_tables(made[2], tmp_path/"t")
    assert {file.name for file in files} >= {"table_1.html", "table_1.tex", "table_2.csv", "figure_4.csv", "costs.csv"} and all(map(lambda f: f.stat().st_size, files))
    html, tex = (tmp_path/"t"/"table_1.html").read_text(), (tmp_path/"t"/"table_1.tex").read_text()
    assert "printed in the paper" in html and "<caption>" in html and r"\toprule" in tex and r"95 \%" in tex

def test_words_are_safe_in_latex():
    table = pd.DataFrame({"a_b & 50 %": ["1_2"]}, index=["m_1"])
    tex = to_latex(table, "50 % of it")
    assert r"a\_b \& 50 \%" in tex and r"m\_1" in tex and r"50 \% of it" in tex and "50 % of it" in styled(table, "50 % of it").to_html()

def test_nothing_judged(made):
    other = plan_of(Dots("nobody"), seeds=range(4))
    with pytest.raises(ValueError, match="anyms paper judge"): summarize(made[0], other)

def test_only_what_there_is(made):
    "Four figures can be had of these pictures, and none that only photographs have."
    titles = [get_metric(name).title for name in ("AP50", "mIoU", "coverage", "scene")]
    assert set(titles) <= set(table_1(made[2])[OURS].columns) and not [c for c in table_1(made[2])[OURS].columns if "CLIP" in c]
