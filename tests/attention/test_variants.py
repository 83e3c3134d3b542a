"The equations of `attention.variants` against slow oracles, and the equalities that the notebooks claim, in many shapes."
import functools
import math
import random

import pytest
import torch
from hypothesis import given, settings, strategies as st

from anyms.attention.selection import get_variant
from anyms.attention.statistics import AttentionRecord, contributions, energy, mass
from anyms.attention.variants import (
    KV, VARIANTS, attention, crop_merge, full, fused, fused_keys, fused_mask, initial_output, joint, masked,
    overlap_weights, owner_mask, per_subject, text_only, unfused_keys, variant)
from anyms.layout.subject import Subject

settings.register_profile("quick", max_examples=60, deadline=None)
settings.load_profile("quick")


def case(seed, dtype=torch.float32, d=None, disjoint=False, s=None, grid=None):
    "Queries, references and cover of a random shape, laid out in memory as a U-Net lays them out."
    rng, g = random.Random(seed), torch.Generator().manual_seed(seed)
    b, h, r = rng.choice([1, 2, 3]), rng.choice([1, 2, 5, 8]), rng.choice([1, 4, 16, rng.randint(1, 40)])
    d = d or rng.choice([8, 16, 32, 40, 64, 80, rng.randint(1, 130)])
    gh, gw = grid or (rng.randint(2, 26), rng.randint(2, 26))
    n, s = gh*gw, min(s or rng.randint(1, 7), gh*gw)
    def heads(*shape): return torch.randn(*shape, h*d, generator=g).to(dtype).unflatten(-1, (h, d)).transpose(-3, -2)
    if disjoint:
        owner = torch.randint(-1, s, (n,), generator=g)
        cover = owner[None] == torch.arange(s)[:, None]
    else:
        def edge(): return sorted((rng.random(), rng.random() + 1e-3))
        def box():
            (x0, x1), (y0, y1) = edge(), edge()
            return min(x0, .99), min(y0, .99), min(x1, 1), min(y1, 1)
        cover = torch.stack([Subject("a", box=box()).cover((gh, gw)).flatten() for _ in range(s)])
    return heads(b, n), KV(heads(b, s, r), heads(b, s, r)), cover


def by_hand(q, k, v):
    "Eq. 2 in double precision, one query at a time."
    rows = [((row[..., None, :].double()@k.double().mT)/math.sqrt(q.shape[-1])).softmax(-1)@v.double() for row in q.unbind(2)]
    return torch.cat(rows, 2)


def disjoint_tiles(seed, s, grid):
    "A random guillotine partition of the grid into boxes, some left out: boxes as a layout makes them, odd sides included."
    rng, boxes = random.Random(seed), [(0, grid[0], 0, grid[1])]
    while len(boxes) < s + 1:
        boxes.sort(key=lambda box: (box[1] - box[0])*(box[3] - box[2]))
        y0, y1, x0, x1 = boxes.pop()
        if y1 - y0 > 1 and (x1 - x0 < 2 or rng.random() < .5):
            cut = rng.randint(y0 + 1, y1 - 1)
            boxes += [(y0, cut, x0, x1), (cut, y1, x0, x1)]
        elif x1 - x0 > 1:
            cut = rng.randint(x0 + 1, x1 - 1)
            boxes += [(y0, y1, x0, cut), (y0, y1, cut, x1)]
        else: return disjoint_tiles(seed + 1, s, (grid[0] + 3, grid[1] + 3))
    cover = torch.zeros(s, *grid, dtype=torch.bool)
    for j, (y0, y1, x0, x1) in enumerate(rng.sample(boxes, s)): cover[j, y0:y1, x0:x1] = True
    return cover.flatten(1)


# --- Eq. 2 -----------------------------------------------------------------------------------------------------------------------
@given(st.integers(0, 9999))
def test_attention_is_equation_2(seed):
    q, refs, _ = case(seed, grid=(5, 9))
    assert torch.allclose(attention(q, refs.k[:, 0], refs.v[:, 0]).double(), by_hand(q, refs.k[:, 0], refs.v[:, 0]), atol=1e-5)


@given(st.integers(0, 9999), st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]))
def test_a_row_does_not_depend_on_its_neighbours(seed, dtype):
    q, refs, _ = case(seed, dtype)
    n = q.shape[2]
    some = torch.randperm(n, generator=torch.Generator().manual_seed(seed))[:random.Random(seed).choice([1, 2, 3, n//2 + 1])]
    k, v = refs.k[:, 0], refs.v[:, 0]
    assert torch.equal(attention(q[:, :, some], k, v), attention(q, k, v)[:, :, some])


def test_no_query_is_no_trouble():
    q, refs, _ = case(0)
    assert attention(q[:, :, :0], refs.k[:, 0], refs.v[:, 0]).shape == q[:, :, :0].shape
    assert crop_merge(q, refs, torch.zeros(refs.k.shape[1], q.shape[2], dtype=torch.bool)).eq(0).all()


# --- crop_merge == masked, bit by bit --------------------------------------------------------------------------------------------
@settings(max_examples=120)
@given(st.integers(0, 99999), st.sampled_from([32, 64, None]), st.integers(1, 7),
       st.sampled_from([(8, 8), (16, 16), (9, 13), (12, 20), (7, 31)]), st.sampled_from(["zero", "query"]))
def test_crop_merge_is_masked_on_disjoint_boxes(seed, d, s, grid, background):
    cover = disjoint_tiles(seed, s, grid)
    s, n = cover.shape
    q, refs, _ = case(seed, d=d, s=s, grid=(1, n))
    assert cover.sum(0).max() <= 1
    assert torch.equal(crop_merge(q, refs, cover, background=background), masked(q, refs, cover, background=background))


@given(st.integers(0, 99999), st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]),
       st.sampled_from(["zero", "query"]))
def test_crop_merge_is_masked_on_disjoint_regions_of_any_shape(seed, dtype, background):
    q, refs, cover = case(seed, dtype, disjoint=True)
    assert torch.equal(crop_merge(q, refs, cover, background=background), masked(q, refs, cover, background=background))


@given(st.integers(0, 99999), st.sampled_from(["priority", "sum", "mean"]), st.sampled_from(["zero", "query"]))
def test_with_the_same_rule_they_agree_on_overlaps_too(seed, overlap, background):
    q, refs, cover = case(seed)
    options = dict(background=background, overlap=overlap)
    assert torch.equal(crop_merge(q, refs, cover, **options), masked(q, refs, cover, **options))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_number_of_threads_does_not_matter(threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for seed in range(10):
            q, refs, cover = case(seed, disjoint=True)
            assert torch.equal(crop_merge(q, refs, cover), masked(q, refs, cover))
    finally: torch.set_num_threads(before)


def test_gradients_flow_and_the_equality_holds_with_them():
    q, refs, cover = case(3, disjoint=True)
    q.requires_grad_()
    a, b = crop_merge(q, refs, cover), masked(q, refs, cover)
    assert torch.equal(a, b)
    (da,), (db,) = (torch.autograd.grad(z.square().sum(), q) for z in (a, b))
    assert torch.allclose(da, db, atol=1e-4) and da.abs().sum() > 0


# --- each variant against its equation -------------------------------------------------------------------------------------------
def parts_by_hand(q, refs): return torch.stack([by_hand(q, refs.k[:, j], refs.v[:, j]) for j in range(refs.k.shape[1])], 1)


@settings(max_examples=25)
@given(st.integers(0, 9999))
def test_variants_against_their_equations(seed):
    q, refs, cover = case(seed, grid=(6, 7))
    z, m = parts_by_hand(q, refs), cover.double()[None, :, None, :, None]
    def close(a, b): return torch.allclose(a.double(), b, atol=2e-5)
    assert close(per_subject(q, refs), z)
    assert close(full(q, refs, cover), z.sum(1))
    assert close(masked(q, refs, cover), (z*m).sum(1))                                                  # Eq. 7
    painted = torch.zeros_like(q).double()
    for j in range(len(cover)): painted[:, :, cover[j]] = z[:, j][:, :, cover[j]]                        # Eq. 6
    assert close(crop_merge(q, refs, cover), painted)
    assert close(masked(q, refs, cover, overlap="mean"), (z*m).sum(1)/m.sum(1).clamp(min=1))
    outside = ~cover.any(0)
    as_queries = crop_merge(q, refs, cover, background="query")             # the literal reading of section 3.3
    assert torch.equal(as_queries[:, :, outside], q[:, :, outside])
    assert crop_merge(q, refs, cover)[:, :, outside].eq(0).all() and text_only(q, refs, cover).eq(0).all()
    together = [x.transpose(1, 2).flatten(2, 3) for x in refs]
    assert close(joint(q, refs, cover), by_hand(q, *together))


@given(st.integers(0, 99999))
def test_fused_is_crop_merge_with_overlaps_and_scales(seed):
    q, refs, cover = case(seed)
    scales = torch.rand(refs.v.shape[1], generator=torch.Generator().manual_seed(seed))*2
    refs = KV(refs.k, refs.v*scales[:, None, None, None])
    assert (fused(q, refs, cover) - crop_merge(q, refs, cover)).abs().max() <= 1e-5


def test_fused_is_exact_in_double_precision():
    for seed in range(10):
        q, refs, cover = case(seed, torch.float64)
        assert (fused(q, refs, cover) - crop_merge(q, refs, cover)).abs().max() <= 1e-14


@given(st.integers(0, 9999))
def test_fused_keys_have_a_way_back(seed):
    _, refs, _ = case(seed)
    back = unfused_keys(fused_keys(refs), refs.k.shape[1], refs.k.shape[3])
    assert torch.equal(back.k, refs.k) and torch.equal(back.v, refs.v)


@given(st.integers(0, 9999), st.integers(1, 33))
def test_fused_keys_and_mask_fit(seed, r):
    q, refs, cover = case(seed)
    keep, (k, v) = fused_mask(cover, refs.k.shape[3]), fused_keys(refs)
    assert keep.shape == (q.shape[2], k.shape[2]) and k.shape == v.shape and k.shape[2] % 8 == 0
    assert fused_mask(cover, r).shape[1] % 8 == 0 and fused_mask(cover, r).any(1).all()      # nobody is left without a key: no NaN
    assert (fused_mask(cover, r).sum(1) == torch.where(cover.any(0), r, 1)).all()


def test_full_is_not_joint_but_for_one_subject():
    q, refs, cover = case(1, s=3)
    assert (full(q, refs, cover) - joint(q, refs, cover)).abs().max() > .1
    one = KV(refs.k[:, :1], refs.v[:, :1])
    assert torch.allclose(full(q, one, cover[:1]), joint(q, one, cover[:1]), atol=1e-6)


def test_a_box_over_everything_makes_all_of_them_one():
    q, refs, _ = case(2, s=1)
    cover = torch.ones(1, q.shape[2], dtype=torch.bool)
    for name in ("masked", "crop_merge", "fused", "joint"):
        assert torch.allclose(get_variant(name)(q, refs, cover), full(q, refs, cover), atol=1e-5)


def test_scale_folded_into_values_is_a_factor_on_the_answer():
    q, refs, cover = case(4, disjoint=True)
    for name in ("full", "masked", "crop_merge", "fused", "joint"):
        fn = get_variant(name)
        assert torch.equal(fn(q, KV(refs.k, refs.v*2), cover), fn(q, refs, cover)*2), name


@given(st.integers(0, 9999))
def test_the_painters_rule(seed):
    _, _, cover = case(seed)
    top = owner_mask(cover)
    assert (top.sum(0) == cover.any(0)).all() and not (top & ~cover).any()
    for n in cover.any(0).nonzero().flatten().tolist(): assert top[:, n].nonzero().item() == cover[:, n].nonzero().max()
    assert torch.allclose(overlap_weights(cover, "mean").sum(0), cover.any(0).float())
    assert torch.equal(overlap_weights(cover, "sum").sum(0), cover.sum(0).float())


def test_nothing_given_is_changed():
    q, refs, cover = case(5)
    before = [x.clone() for x in (q, *refs, cover)]
    for name in VARIANTS:
        if VARIANTS[name].__module__ == "anyms.attention.variants": get_variant(name)(q, refs, cover)
    crop_merge(q, refs, cover, background="query", overlap="sum")
    initial_output(q, cover, "query")
    mass(q, refs)
    contributions(masked, q, refs, cover)
    assert all(torch.equal(a, b) for a, b in zip(before, (q, *refs, cover)))


# --- statistics ------------------------------------------------------------------------------------------------------------------
@given(st.integers(0, 9999))
def test_mass_is_the_joint_softmax_summed_per_subject(seed):
    q, refs, _ = case(seed, grid=(6, 7))
    s, r = refs.k.shape[1], refs.k.shape[3]
    k = refs.k.transpose(1, 2).flatten(2, 3)
    weights = ((q.double()@k.double().mT)/math.sqrt(q.shape[-1])).softmax(-1)
    assert torch.allclose(mass(q, refs).double(), weights.unflatten(-1, (s, r)).sum(-1).permute(0, 3, 1, 2), atol=1e-5)
    assert torch.allclose(energy(q, refs).softmax(1), mass(q, refs))


def test_statistics_are_float32_and_finite_in_half_precision():
    q, refs, _ = case(6, torch.float16)
    assert mass(q*30, refs).dtype == torch.float32 and torch.isfinite(energy(q*30, refs)).all()


@given(st.integers(0, 9999), st.sampled_from(["full", "masked", "crop_merge", "fused", "joint", "text_only"]))
def test_contributions_add_up(seed, name):
    q, refs, cover = case(seed, grid=(7, 6))
    fn = get_variant(name)
    parts = contributions(fn, q, refs, cover)
    assert parts.shape == (q.shape[0], refs.k.shape[1], *q.shape[1:]) and torch.allclose(parts.sum(1), fn(q, refs, cover), atol=1e-5)


def test_contributions_leave_the_background_out_and_are_exact():
    q, refs, cover = case(7)
    parts = contributions(functools.partial(crop_merge, background="query"), q, refs, cover)
    assert torch.equal(parts, contributions(crop_merge, q, refs, cover))
    assert torch.equal(contributions(full, q, refs, cover), per_subject(q, refs))
    assert parts.transpose(1, 2)[:, :, ~owner_mask(cover)].eq(0).all()


# --- registry --------------------------------------------------------------------------------------------------------------------
@pytest.fixture
def registry():
    before = dict(VARIANTS)
    yield VARIANTS
    VARIANTS.clear()
    VARIANTS.update(before)


def test_a_students_variant_in_five_lines(registry):
    @variant("soft")
    def soft(q, refs, cover): return masked(q, refs, cover)*.5
    q, refs, cover = case(8)
    for options in ({}, dict(background="zero"), dict(background=None, overlap=None)):
        assert torch.equal(get_variant("soft", **options)(q, refs, cover), masked(q, refs, cover)*.5)
    variant("soft")(soft)                                              # running a cell twice is fine


def test_a_variants_own_options(registry):
    @variant("loud")
    def loud(q, refs, cover, *, gain=1., background="zero"): return full(q, refs, cover)*gain
    q, refs, cover = case(9)
    assert torch.equal(get_variant("loud", gain=3., background="anything")(q, refs, cover), full(q, refs, cover)*3)


def test_options_are_bound():
    q, refs, cover = case(10)
    bound = get_variant("masked", overlap="priority", background="query")
    assert torch.equal(bound(q, refs, cover), masked(q, refs, cover, overlap="priority", background="query"))
    assert torch.equal(get_variant(crop_merge, overlap="sum")(q, refs, cover), crop_merge(q, refs, cover, overlap="sum"))
    assert set(VARIANTS) >= {"full", "masked", "crop_merge", "fused", "text_only", "joint"}


def test_a_record_has_its_fields():
    q, refs, cover = case(11)
    record = AttentionRecord("mid", 0, 999., (2, 3), ["fox"], q, q, q, refs, lambda: contributions(full, q, refs, cover), torch.arange(1))
    assert record.words == {} and record.layout is None and record.parts().shape[1] == refs.k.shape[1]
