"Which box is whose, who hits, and figures by name: plain versions, pycocotools, and a thousand drawings at once."

from itertools import permutations

from hypothesis import given, settings, strategies as st
import numpy as np
import pandas as pd
import pytest
import torch

from anyms.paper.metrics.registry import METRICS, all_pictures, available, get_metric, measure, metric_rows
from anyms.paper.metrics.rows import (
    Seen, best_pairs, detection_columns, greedy_hits, hits, likeness_columns, place_columns, place_subjects, weights_digest)
from anyms.stickers.judge.boxes import match_boxes, pairwise_iou


def random_boxes(rng, n):
    low = torch.rand(n, 2, generator=rng)*.6
    return torch.cat([low, low + .1 + .3*torch.rand(n, 2, generator=rng)], 1)

@given(st.integers(0, 5), st.integers(0, 4), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_best_pairs_are_match_boxes_with_names(k, s, seed):
    iou = torch.rand(k, s, generator=torch.Generator().manual_seed(seed))
    pairs = best_pairs(iou)
    assert len(pairs) == min(k, s) == len({i for i, _ in pairs}) == len({j for _, j in pairs})
    assert sum(float(iou[i, j]) for i, j in pairs) == pytest.approx(sum(match_boxes(iou)), abs=1e-6)

def test_a_box_that_meets_nothing_is_still_found():
    target, far = torch.tensor([[0., 0, .2, .2]]), torch.tensor([[.7, .7, .9, .9]])
    box, score = place_subjects(["fox"], target, {"fox": Seen(far, torch.tensor([.5]))})
    columns = place_columns(target, box, score, far)
    assert columns["found"] == [1] and columns["iou"] == [0] and columns["hit"] == [0] and columns["iou_any"] == [0]

def test_different_nouns_take_their_surest_box_and_may_share_one():
    box, score = torch.tensor([[0., 0, .5, .5], [.5, .5, 1, 1]]), torch.tensor([.9, .4])
    seen = dict(fox=Seen(box, score), hat=Seen(box, score), tree=Seen(box[:0], score[:0]))
    placed, sure = place_subjects(["hat", "fox", "tree"], torch.rand(3, 4), seen)
    assert torch.equal(placed[:2], box[[0, 0]]) and placed[2].isnan().all() and torch.equal(sure, torch.tensor([.9, .9, 0]))

@given(st.integers(0, 6), st.integers(0, 3), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_greedy_hits_are_the_plain_ones(k, s, seed):
    iou = torch.rand(k, s, generator=torch.Generator().manual_seed(seed))
    free, plain = set(range(s)), []
    for row in iou.tolist():
        best = max(sorted(free), key=row.__getitem__, default=None)
        plain.append(float(best is not None and row[best] >= .5))
        if plain[-1]: free.remove(best)
    assert greedy_hits(iou) == plain

# -- all of it against pycocotools: several nouns, equal nouns, ties, missing ones, strangers, many pictures ---------------------------
NOUNS = ("fox", "hat", "tree")

def random_pictures(seed, n=8):
    "(nouns, target, names, box, score) of n pictures; boxes near the true ones, repeats, strangers, tied scores."
    rng, pictures = torch.Generator().manual_seed(seed), []
    def whole(low, high): return int(torch.randint(low, high, (1,), generator=rng))
    for _ in range(n):
        nouns = [NOUNS[int(i)] for i in torch.randint(3, (whole(1, 5),), generator=rng)]
        target = random_boxes(rng, len(nouns))
        again = [j for j in range(len(nouns)) for _ in range(whole(0, 3))]
        near = target[again] + .03*torch.randn(len(again), 4, generator=rng).clamp(-1.5, 1.5)   # no box is turned inside out
        names = [nouns[j] for j in again] + [NOUNS[whole(0, 3)] for _ in range(2)]
        box = torch.cat([near, random_boxes(rng, 2)])
        pictures.append((nouns, target, names, box, torch.randint(1, 8, (len(box),), generator=rng)/8))
    return pictures

def as_tables(pictures):
    "As a judge would write them."
    subjects, detections = [], []
    for i, (nouns, target, names, box, score) in enumerate(pictures):
        key = dict(case="c", seed=i)
        subjects.append(pd.DataFrame(dict(noun=nouns)).assign(**key))
        detections.append(pd.DataFrame(detection_columns(names, box, score, score, nouns, target)).assign(**key))
    return dict(subjects=pd.concat(subjects), detections=pd.concat(detections), scores=pd.DataFrame())

def coco_ap(pictures, anything=False):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval
    def note(k, image, name, box, **more):
        x0, y0, x1, y1 = (1000*v for v in box)
        number = 0 if anything else NOUNS.index(name)
        return dict(id=k, image_id=image, category_id=number, bbox=[x0, y0, x1 - x0, y1 - y0], area=(x1 - x0)*(y1 - y0), iscrowd=0, **more)
    def filled(notes):
        coco = COCO()
        coco.dataset = dict(images=[dict(id=i) for i in range(len(pictures))], categories=[dict(id=j, name=n) for j, n in enumerate(NOUNS)], annotations=notes)
        coco.createIndex()
        return coco
    true = [(i, noun, box) for i, (nouns, target, *_) in enumerate(pictures) for noun, box in zip(nouns, target.double().tolist())]
    seen = [(i, name, box, s) for i, (_, _, names, boxes, score) in enumerate(pictures)
            for name, box, s in zip(names, boxes.double().tolist(), score.tolist())]
    evaluation = COCOeval(filled([note(k, *x) for k, x in enumerate(true, 1)]), filled([note(k, *x, score=s) for k, (*x, s) in enumerate(seen, 1)]), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    precision = evaluation.eval["precision"][0, :, :, 0, 2]
    return np.mean([p.mean() for p in precision.T if (p > -1).all()])

@pytest.mark.parametrize("seed", range(8))
def test_ap50_is_cocos_with_matching_and_all(seed, capsys):
    pictures = random_pictures(seed)
    tables = as_tables(pictures)
    assert measure("AP50", tables)[0] == pytest.approx(coco_ap(pictures), abs=1e-9)
    assert measure("AP50_any", tables)[0] == pytest.approx(coco_ap(pictures, anything=True), abs=1e-9)

def test_hits_of_a_stranger_are_none():
    target = torch.tensor([[0., 0, .5, .5]])
    assert hits(["hat", "fox"], target.repeat(2, 1), torch.tensor([.9, .8]), ["fox"], target) == [0, 1]

# -- figures ---------------------------------------------------------------------------------------------------------------------------
def test_a_weight_of_two_is_a_picture_seen_twice():
    rng = torch.Generator().manual_seed(1)
    pictures = [(*rest, score + 1e-3*torch.rand(len(score), generator=rng)) for *rest, score in random_pictures(3, 5)]   # copies of ties fall apart
    tables = as_tables(pictures)
    tables["subjects"] = tables["subjects"].assign(iou=np.linspace(0, 1, len(tables["subjects"])), found=1.)
    pictures = all_pictures(tables)
    weight = np.array([2., 0, 1, 3, 1])
    def again(table): return pd.concat([table[table.seed == i].assign(seed=10*i + k) for i, n in enumerate(weight) for k in range(int(n))])
    copied = {name: again(table) if len(table) else table for name, table in tables.items()}
    for name in ("AP50", "AP50_any", "mIoU", "mIoU_found", "coverage"):
        assert measure(name, tables, pictures, weight[None])[0] == pytest.approx(measure(name, copied)[0], abs=1e-12)

def test_drawings_together_are_drawings_apart():
    tables = as_tables(random_pictures(4))
    pictures = all_pictures(tables)
    weights = np.random.default_rng(0).multinomial(len(pictures), [1/len(pictures)]*len(pictures), 20).astype(float)
    together = measure("AP50", tables, pictures, weights)
    assert together.tolist() == [measure("AP50", tables, pictures, w[None])[0] for w in weights]

def test_pictures_that_are_not_asked_for_do_not_count():
    tables = as_tables(random_pictures(5))
    some = all_pictures(tables).iloc[:3]
    fewer = {name: table[table.seed < 3] if len(table) else table for name, table in tables.items()}
    assert measure("AP50", tables, some)[0] == measure("AP50", fewer)[0]

def test_a_noun_that_no_drawing_asks_for_is_left_out():
    target = torch.tensor([[0., 0, .5, .5]])
    def picture(noun, name): return [noun], target, [name], target, torch.tensor([.9])
    tables = as_tables([picture("fox", "fox"), picture("hat", "tree")])
    assert measure("AP50", tables, None, np.array([[1., 1.], [1., 0.], [0., 0.]])).tolist()[:2] == [.5, 1.]
    assert np.isnan(measure("AP50", tables, None, np.zeros((1, 2)))[0])

def test_without_one_detection_ap_is_nought():
    tables = as_tables(random_pictures(6))
    tables["detections"] = pd.DataFrame(columns=["method", "case", "seed", "noun", "score"])
    assert measure("AP50", tables)[0] == measure("AP50_any", tables)[0] == 0 and available(tables) == ["AP50", "AP50_any"]

def test_unknown_figures_have_a_guess_and_absent_columns_are_nan():
    with pytest.raises(ValueError, match="metric='clip_t_b23' is not known.*did you mean 'clip_t_b32'"): get_metric("clip_t_b23")
    tables = as_tables(random_pictures(7))
    assert len(metric_rows("dreamsim", tables)) == 0 and np.isnan(measure("dreamsim", tables)[0]) and "dreamsim" not in available(tables)
    assert all(metric.table in ("subjects", "detections", "scores", "pictures") for metric in METRICS.values())

# -- whose it is -------------------------------------------------------------------------------------------------------------------------
def test_likeness_of_every_crop_with_every_reference():
    rng = torch.Generator().manual_seed(0)
    crop, reference = (torch.nn.functional.normalize(torch.randn(4, 8, generator=rng), dim=1) for _ in range(2))
    found = torch.tensor([1., 0, 1, 1])
    columns = likeness_columns(crop, reference, found, "dino", 100.)
    for j in range(4):
        own, others = float(crop[j] @ reference[j]), [float(crop[j] @ reference[i]) for i in range(4) if i != j]
        assert columns["dino"][j] == pytest.approx(100*own*float(found[j]), abs=1e-4)
        assert columns["dino_margin"][j] == pytest.approx(100*(own - np.mean(others))*float(found[j]), abs=1e-4)
    assert np.isnan(likeness_columns(crop[:1], reference[:1], found[:1])["likeness_margin"][0])

def test_swapping_subjects_turns_the_margin_round():
    for order in permutations(range(3)):
        margin = likeness_columns(torch.eye(3)[list(order)], torch.eye(3), torch.ones(3))["likeness_margin"]
        assert all((m > 0) == (i == j) for j, (i, m) in enumerate(zip(order, margin)))

def test_digest_of_weights():
    one, other = torch.nn.BatchNorm1d(3), torch.nn.BatchNorm1d(3)
    assert weights_digest(one) == weights_digest(other) != weights_digest(one, other)
    other.num_batches_tracked += 1
    assert weights_digest(one) != weights_digest(other)
    assert pairwise_iou(torch.zeros(0, 4), torch.zeros(2, 4)).shape == (0, 2)
