"metrics: shares of a box, the leakage matrix."
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

from anyms.layout.layout import Layout
from anyms.layout.subject import Subject
from anyms.maps.metrics import leakage, share_in_box

GRID = (5, 8)
LAYOUT = Layout([Subject("fox", box=(0, .2, .5, 1)), Subject("crown", box=(.5, 0, 1, .6)),
                 Subject("cat", box=(.25, .4, .75, 1), priority=1)])
MAPS = np.random.default_rng(0).random((3, *GRID), dtype=np.float32)

OWNER = LAYOUT.owner(GRID)

values = st.floats(0, 100, width=32)
shapes = st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9))
stacks = shapes.flatmap(lambda shape: arrays(np.float32, shape, elements=values))


def test_an_even_map_scores_the_boxes_area():
    cover = LAYOUT.cover(GRID)
    np.testing.assert_allclose(share_in_box(np.ones((3, *GRID)), cover), cover.float().mean(-1))
    np.testing.assert_allclose(share_in_box(np.ones(GRID), cover[0]), cover[0].float().mean())


@given(stacks.filter(lambda m: m.shape[1] >= 2 and m.shape[2] >= 2))
@settings(deadline=None, max_examples=60)
def test_leakage_rows_sum_to_one_and_agree_with_the_owner(maps):
    maps = np.resize(maps, (3, *maps.shape[1:]))
    owner = LAYOUT.owner(maps.shape[1:])
    table = leakage(maps, owner)
    assert table.shape == (3, 4)
    for heat, line in zip(maps, table):
        if heat.max() == 0: assert np.isnan(line).all()
        else: assert abs(line.sum() - 1) < 1e-9 and (line >= 0).all()
    owner = owner.numpy()
    if maps[0].max() > 0:
        by_hand = [maps[0].astype(np.float64).ravel()[owner == j].sum()/maps[0].sum(dtype=np.float64) for j in (0, 1, 2, -1)]
        np.testing.assert_allclose(table[0], by_hand, atol=1e-9)


def test_share_counts_the_whole_box_and_leakage_only_what_it_wins():
    cover, table = LAYOUT.cover(GRID), leakage(MAPS, OWNER)
    share = share_in_box(MAPS, cover)
    assert share[0] > table[0, 0] and share[1] > table[1, 1]      # the cat lies on top of both
    np.testing.assert_allclose(share[2], table[2, 2])
    assert ((0 <= share) & (share <= 1)).all()


def test_a_map_of_zeros_has_no_share():
    maps = MAPS.copy()
    maps[1] = 0
    assert np.isnan(share_in_box(maps, LAYOUT.cover(GRID))).tolist() == [False, True, False]
    assert np.isnan(leakage(maps, OWNER)).all(1).tolist() == [False, True, False]


@pytest.mark.parametrize("owner, error, words", [
    (LAYOUT.owner((8, 5))[:-1], ValueError,
    r"owner has shape \(39,\), but maps of shape \(3, 5, 8\) need \(40,\): use layout.owner\(grid=\(5, 8\)\)"),
    (OWNER.float(), TypeError, r"owner must be whole numbers, got float32"),
    (OWNER + 1, ValueError, r"owner names subject 3, but heat holds 3 maps")])
def test_an_owner_of_another_layout_is_refused(owner, error, words):
    with pytest.raises(error, match=words): leakage(MAPS, owner)
