"Figures with intervals: against plain versions, paired, and with their ceilings."

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from anyms.stickers.judge.limits import with_lost
from anyms.stickers.judge.scores import available_metrics, average_precision, bootstrap, format_table, paired_difference, summary


def slow_ap(score, hit, total):
    "Area under the envelope, the plain way."
    order = sorted(range(len(score)), key=lambda i: -score[i])
    points, right = [], 0
    for n, i in enumerate(order, 1):
        right += hit[i]
        points.append((right/total, right/n))
    area, last = 0., 0.
    for k, (recall, _) in enumerate(points):
        area += (recall-last)*max(p for _, p in points[k:])
        last = recall
    return area

@given(st.integers(0, 20), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_average_precision_is_the_plain_one(k, seed):
    rng = np.random.default_rng(seed)
    score, hit = rng.permutation(k)/20, (rng.random(k) < .5).astype(float)
    total = hit.sum()+2
    assert average_precision(score, hit, np.ones((1, k)), np.array([total]))[0] == pytest.approx(slow_ap(score, hit, total))

def test_a_weight_of_two_is_a_detection_seen_twice():
    score, hit = np.array([.9, .8, .7]), np.array([1., 0, 1])
    twice = average_precision(score, hit, np.array([[2., 1, 1]]), np.array([3.]))
    assert twice == pytest.approx(slow_ap([.9, .9, .8, .7], [1, 1, 0, 1], 3))
    assert np.isnan(average_precision(score, hit, np.ones((1, 3)), np.zeros(1)))[0]

def plain_rows(iou):
    "One subject and one hit per layout."
    rows = []
    for i, v in enumerate(iou):
        head = dict(layout=f"L{i}", subjects=1, overlapping=bool(i%2), noun="fox", score=.9)
        rows.append(dict(head, kind="subject", subject=0, iou=v, iou_any=v, text=1., scene=float(i%2), identity=1., identity_anywhere=1.))
        rows.append(dict(head, kind="detection", strength=.9, hit=float(v >= .5), hit_any=float(v >= .5)))
    return pd.DataFrame(rows).sort_values("kind", ascending=False, kind="stable", ignore_index=True)

def test_bootstrap_interval_of_a_mean():
    rng = np.random.default_rng(0)
    x = rng.random(400)
    table = bootstrap(plain_rows(x)).set_index("figure")
    half = 1.96*x.std()/20
    assert table.value.mIoU == pytest.approx(x.mean())
    assert table.low.mIoU == pytest.approx(x.mean()-half, abs=.006) and table.high.mIoU == pytest.approx(x.mean()+half, abs=.006)
    assert table.value.scene == .5 and table.value.text == table.low.text == 1 and (table.layouts == 400).all()
    assert bootstrap(plain_rows(x)).equals(bootstrap(plain_rows(x)))
    assert not bootstrap(plain_rows(x), seed=1).equals(bootstrap(plain_rows(x)))

def test_ap_of_perfect_and_of_absent_detections():
    assert bootstrap(plain_rows([.9]*5)).set_index("figure").value.AP50 == 1
    none = plain_rows([.9]*5)
    none = none[none.kind == "subject"].assign(hit=np.nan, hit_any=np.nan, strength=np.nan)
    for rows in (none, none.drop(columns=["hit", "hit_any", "strength"])):   # a set without one detection never had these columns
        assert bootstrap(rows).set_index("figure").value[["AP50", "AP50_any"]].tolist() == [0, 0]

def test_summary_puts_the_right_ceiling_beside_each_number():
    one, top = plain_rows([.2, .4]*4).assign(variant="full"), plain_rows([.8, .6]*4).assign(variant="true scene")
    table = summary(one, top)
    assert table.columns.tolist() == ["variant", "figure", "value", "low", "high", "layouts", "ceiling"]
    assert table[table.figure == "mIoU"].iloc[0].ceiling == pytest.approx(.7)
    apart = summary(one, top, by=("variant", "overlapping"))
    apart = apart[apart.figure == "mIoU"].set_index("overlapping")
    assert apart.value[False] == pytest.approx(.2)
    assert apart.ceiling[False] == pytest.approx(.8) and apart.ceiling[True] == pytest.approx(.6)
    read = format_table(table)
    assert read.index.tolist() == list(available_metrics(one))
    assert read["ceiling"]["mIoU"] == "0.70" and read["full"]["mIoU"].startswith("0.30 [")
    assert format_table(summary(one, top, by="overlapping")).columns.tolist() == [False, True]
    assert format_table(summary(one, by=())).columns.tolist() == ["value"]

def test_a_paired_difference_is_surer_than_its_parts():
    rng = np.random.default_rng(1)
    x = rng.random(200)
    rows = pd.concat([plain_rows(x).assign(variant="a"), plain_rows(x-.1).assign(variant="b")])
    table = paired_difference(rows, "a", "b").set_index("figure")
    assert table.low.mIoU == pytest.approx(.1) and table.high.mIoU == pytest.approx(.1) and table.value.AP50 > 0
    with pytest.raises(ValueError, match="'c': they have 200 and 0 layouts"): paired_difference(rows, "a", "c")

def test_nothing_to_summarise():
    with pytest.raises(ValueError, match="rows is empty"): bootstrap(pd.DataFrame())

def test_lost_is_what_the_judge_would_have_seen():
    rows = pd.concat([plain_rows([.9]*4).assign(missing=1.)], ignore_index=True)
    top = rows.assign(missing=[0., 0, 1, 1]*2)
    told = bootstrap(with_lost(rows, top), n=20).set_index("figure").value
    assert told.missing == 1 and told.lost == 1                        # of two that the judge sees, both are missing
    kept = with_lost(rows.assign(missing=[0., 1, 1, 1]*2), top)
    assert bootstrap(kept, n=20).set_index("figure").value.lost == .5
    assert bootstrap(with_lost(top, top), n=20).set_index("figure").value.lost == 0
