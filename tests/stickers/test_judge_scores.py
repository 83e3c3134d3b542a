"Figures with intervals: against plain versions, paired, and with their ceilings."

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from anyms.stickers.judge.limits import with_lost
from anyms.stickers.judge.scores import available_metrics, average_precision, bootstrap, format_table, paired_difference, summary


def slow_ap(score, hit, total):
    "Mean of the best precision from each of 101 recalls on, the plain way."
    order = sorted(range(len(score)), key=lambda i: -score[i])
    points, right = [], 0
    for n, i in enumerate(order, 1):
        right += hit[i]
        points.append((right/total, right/n))
    return sum(max((p for r, p in points if r >= recall), default=0.) for recall in np.linspace(0, 1, 101))/101

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

@given(st.integers(1, 30), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_drawings_together_are_drawings_apart(k, seed):
    rng = np.random.default_rng(seed)
    score, hit = rng.integers(0, 6, k)/6, (rng.random(k) < .5).astype(float)   # many ties
    weight = rng.integers(0, 4, (5, k))
    total = np.array([w @ hit + extra for w, extra in zip(weight, (0, 1, 2, 3, 40))])
    for ap, w, n in zip(average_precision(score, hit, weight.astype(float), total), weight, total):
        if n: assert ap == pytest.approx(slow_ap(score.repeat(w), hit.repeat(w), n), abs=1e-12)
        else: assert np.isnan(ap)

# -- against pycocotools: boxes that are the true ones (IoU 1) or lie beside them (IoU 0), so that hits are known without our code
NOUNS, LAYOUTS = ("fox", "hat", "tree"), 9

def random_set(seed):
    "Subjects (layout, noun, box) and detections (layout, noun, box, score, hit): missing ones, ghosts, repeats, ties."
    rng = np.random.default_rng(seed)
    subjects, detections = [], []
    for layout in range(LAYOUTS):
        for k in range(rng.integers(0, 5)):
            subjects.append((layout, NOUNS[rng.integers(3)], [100.*k, 0., 50., 40.]))
    for layout in range(LAYOUTS):
        for noun, box in [(n, b) for i, n, b in subjects if i == layout]:
            for _ in range(rng.choice([0, 1, 1, 1, 2])): detections.append([layout, noun, box, rng.integers(1, 7)/7])
        for k in range(rng.integers(0, 3)): detections.append([layout, NOUNS[rng.integers(3)], [100.*k, 500., 50., 40.], rng.integers(1, 7)/7])
    return subjects, detections

def with_hits(subjects, detections):
    "The surest detection of each true box hits; of two alike the first."
    free = [(i, n, tuple(b)) for i, n, b in subjects]
    hit = [0.]*len(detections)
    for k in sorted(range(len(detections)), key=lambda k: -detections[k][3]):
        layout, noun, box, _ = detections[k]
        if (layout, noun, tuple(box)) in free:
            free.remove((layout, noun, tuple(box)))
            hit[k] = 1.
    return hit

def coco_ap50(subjects, detections):
    "AP at IoU .5 of every noun, by pycocotools."
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval
    truth, found = COCO(), COCO()
    def filled(coco, rows, **more):
        notes = [dict(id=k, image_id=row[0], category_id=NOUNS.index(row[1]), bbox=row[2], area=2000., iscrowd=0, **{n: row[3] for n in more})
                 for k, row in enumerate(rows, 1)]
        coco.dataset = dict(images=[dict(id=i) for i in range(LAYOUTS)], categories=[dict(id=j, name=n) for j, n in enumerate(NOUNS)], annotations=notes)
        coco.createIndex()
    filled(truth, subjects)
    filled(found, detections, score=True)
    evaluation = COCOeval(truth, found, "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    precision = evaluation.eval["precision"][0, :, :, 0, 2]   # IoU .5, all recalls, every noun, all areas, 100 detections
    return np.where((precision > -1).all(0), precision.mean(0), np.nan)

@pytest.mark.parametrize("seed", range(12))
def test_average_precision_is_cocos(seed, capsys):
    subjects, detections = random_set(seed)
    hit, theirs = with_hits(subjects, detections), coco_ap50(subjects, detections)
    for noun, ap in zip(NOUNS, theirs):
        rows = [k for k, row in enumerate(detections) if row[1] == noun]
        score, right = np.array([detections[k][3] for k in rows]), np.array([hit[k] for k in rows])
        total = np.array([sum(n == noun for _, n, _ in subjects)])
        ours = average_precision(score, right, np.ones((1, len(rows))), total)[0]
        assert ours == pytest.approx(ap, abs=1e-12, nan_ok=True)

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
