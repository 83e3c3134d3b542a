"Boxes: their arithmetic against slow and plain versions."
import itertools

import pytest
import torch
from hypothesis import given, settings, strategies as st

from anyms.stickers.judge.boxes import giou, match_boxes, pairwise_iou, share_inside


A, B = torch.tensor([[0., 0, 2, 2]]), torch.tensor([[1., 1, 3, 3]])

def test_iou_by_hand():
    assert pairwise_iou(A, B).item() == pytest.approx(1/7)
    assert giou(A, B).item() == pytest.approx(1/7-2/9)
    assert giou(A, A).item() == 1
    assert giou(A, A+5).item() < -.5
    assert pairwise_iou(torch.zeros(0, 4), B).shape == (0, 1)

@given(st.integers(0, 6), st.integers(1, 4), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_match_boxes_is_the_optimum(k, s, seed):
    iou = torch.rand(k, s, generator=torch.Generator().manual_seed(seed))
    iou[iou < .3] = 0
    padded = torch.cat([iou, torch.zeros(s, s)])
    best = max(sum(padded[i, j].item() for j, i in enumerate(p)) for p in itertools.permutations(range(k+s), s))
    pairs = match_boxes(iou)
    assert sum(pairs) == pytest.approx(best, abs=1e-6) and len(pairs) == s

def test_share_inside_by_hand():
    box = torch.tensor([[0., 0, 1, 1], [0., 0, 0, 1]])                 # the second is empty
    assert share_inside(box, torch.tensor([[.5, 0, 2, .5]])).tolist() == [[.25], [0.]]
