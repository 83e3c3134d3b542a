"""Oracles: whole pipeline runs (guidance on, several steps, fp32) against diffusers' own IPAdapterAttnProcessor2_0.

Every test runs on tiny random nets of four shapes, and on the embedded trained model where its weights are there.
"""
from contextlib import contextmanager

import pytest
import torch
from conftest import picture, run
from diffusers.image_processor import IPAdapterMaskProcessor

from anyms.layout.layout import Layout
from anyms.layout.subject import Subject
from anyms.layout.grids import grid_for
from anyms.attention.install import installed

SIZES = [(16, 16), (16, 32)]                     # latents; boxes in quarters fall on tokens at every level down to 4x4
ODD = [(20, 12)]                                 # levels 10x6, 5x3, 3x2: sides that do not halve
BESIDE = [(0., .25, .5, 1.), (.5, 0., 1., .5)]   # share no token
ACROSS = [(0., .25, .75, 1.), (.5, 0., 1., .75)] # overlap
UNEVEN = [(.08, .21, .63, .9), (.3, .02, .97, .44), (.55, .5, .8, .71)]   # fall on no grid


def layout(boxes, scales=(1., .6, 1.7), priorities=(0, 1, 0)):
    return Layout([Subject(f"s{i}", picture(i), box, scale=scales[i], priority=priorities[i]) for i, box in enumerate(boxes)])


def ours(pipe, lay, variant, latent, **options):
    with installed(pipe.unet, lay, variant, **options): return run(pipe, lay.images, latent=latent)


@contextmanager
def their_scale(pipe, scale):
    "diffusers' own adapter scale, set back afterwards."
    pipe.set_ip_adapter_scale(scale)
    try: yield
    finally: pipe.set_ip_adapter_scale(1.)


def theirs(pipe, lay, latent, masks=None):
    "diffusers' own processors, with the layout's scales."
    options = {} if masks is None else dict(cross_attention_kwargs=dict(ip_adapter_masks=[masks]))
    with their_scale(pipe, 1. if masks is None else [lay.scales]): return run(pipe, lay.images, latent=latent, **options)


def box_masks(lay, latent, fine=8):
    """Masks [1 s H W] so fine that diffusers' bicubic resize reads four equal pixels at every token centre.

    The four weights of its kernel sum to one there, so boxes on the token grid stay exactly 0 and 1 on every level."""
    h, w = (side*fine for side in latent)
    masks = torch.zeros(1, len(lay), h, w)
    for j, box in enumerate(lay.boxes):
        x0, y0, x1, y1 = box
        masks[0, j, round(y0*h):round(y1*h), round(x0*w):round(x1*w)] = 1
    return masks


def far(a, b): return (a - b).abs().max().item()


def close(a, b, eps=1e-5):
    "Equal but for rounding: `eps` of the largest latent, and never finer than `eps` itself."
    assert torch.isfinite(a).all()
    assert far(a, b) <= eps*max(1., b.abs().max().item()), f"{far(a, b):.2e} apart, latents up to {b.abs().max():.1f}"


@contextmanager
def double(pipe):
    "The pipeline in fp64; fp32 weights go there and back unchanged."
    pipe.to(torch.float64)
    try: yield
    finally: pipe.to(torch.float32)


@pytest.fixture
def exact_masks(monkeypatch):
    "diffusers' processor reading its masks from our token grids: an oracle for any box and any grid."
    def use(lay, latent):
        def downsample(mask, batch_size, num_queries, value_embed_dim):
            j = int(mask.flatten()[0])
            cover = lay.cover(grid_for(num_queries, latent))[j].float()
            return cover[None, :, None].expand(batch_size, -1, value_embed_dim)
        monkeypatch.setattr(IPAdapterMaskProcessor, "downsample", staticmethod(downsample))
        numbers = torch.arange(len(lay), dtype=torch.float)                     # each mask holds its subject's number
        return numbers[None, :, None, None].expand(1, -1, *latent)
    return use


@pytest.mark.parametrize("latent", SIZES)
def test_their_masks_are_binary_on_the_token_grid(latent):
    "What the next test stands on."
    lay = layout(BESIDE)
    for halvings in range(3):
        n = (latent[0] >> halvings)*(latent[1] >> halvings)
        for j in range(2):
            mask = IPAdapterMaskProcessor.downsample(box_masks(lay, latent)[:, j], 1, n, 1)[0, :, 0]
            assert torch.equal(mask, lay.cover(grid_for(n, latent))[j].float())


@pytest.mark.parametrize("latent", SIZES)
@pytest.mark.parametrize("boxes", [BESIDE, ACROSS], ids=["beside", "across"])
def test_masked_is_diffusers_with_masks(pipe, latent, boxes):
    lay = layout(boxes)
    close(ours(pipe, lay, "masked", latent), theirs(pipe, lay, latent, box_masks(lay, latent)))


@pytest.mark.parametrize("latent", [(16, 16), *ODD])
def test_masked_is_diffusers_with_masks_on_any_grid(pipe, latent, exact_masks):
    lay = layout(UNEVEN)
    close(ours(pipe, lay, "masked", latent), theirs(pipe, lay, latent, exact_masks(lay, latent)))


@pytest.mark.parametrize("latent", SIZES)
def test_full_is_diffusers_with_masks_of_ones(pipe, latent):
    lay = layout(BESIDE)
    close(ours(pipe, lay, "full", latent), theirs(pipe, lay, latent, torch.ones(1, 2, *latent)))


@pytest.mark.parametrize("latent", SIZES)
def test_joint_is_diffusers_without_masks_and_full_is_not(pipe, latent):
    lay = layout(BESIDE, scales=(1., 1.))
    joint = theirs(pipe, lay, latent)
    close(ours(pipe, lay, "joint", latent), joint)
    assert far(ours(pipe, lay, "full", latent), joint) > 1e-2


@pytest.mark.parametrize("variant", ["full", "joint"])
def test_one_subject_needs_no_distinction(pipe, variant):
    lay = layout([(0, 0, 1, 1)])
    close(ours(pipe, lay, variant, (16, 16)), theirs(pipe, lay, (16, 16)))


@pytest.mark.parametrize("latent", [*SIZES, *ODD])
@pytest.mark.parametrize("background", ["zero", "query"])
def test_crop_merge_is_masked_bitwise_on_disjoint_boxes(pipe, latent, background):
    lay = layout(BESIDE)
    a, b = (ours(pipe, lay, v, latent, background=background) for v in ("masked", "crop_merge"))
    assert torch.equal(a, b)
    assert far(a, ours(pipe, lay, "text_only", latent)) > 1e-2


def test_crop_merge_is_not_masked_where_boxes_overlap(pipe):
    lay = layout(ACROSS)
    assert far(ours(pipe, lay, "masked", (16, 16)), ours(pipe, lay, "crop_merge", (16, 16))) > 1e-3


@pytest.mark.parametrize("latent", [*SIZES, *ODD])
@pytest.mark.parametrize("boxes", [ACROSS, UNEVEN], ids=["across", "uneven"])
def test_fused_is_crop_merge_on_overlapping_boxes_with_scales(pipe, latent, boxes):
    lay = layout(boxes)
    close(ours(pipe, lay, "fused", latent), ours(pipe, lay, "crop_merge", latent))


def test_crop_merge_is_diffusers_with_masks_of_the_owners(pipe, exact_masks, monkeypatch):
    "The method itself in diffusers' terms: the mask of a subject is the tokens it owns."
    lay, latent = layout(UNEVEN), (16, 24)
    masks = exact_masks(lay, latent)
    cover = Layout.cover
    with monkeypatch.context() as m:
        m.setattr(Layout, "cover", lambda self, grid: torch.stack([self.owner_of_cover(cover, grid) == j for j in range(len(self))]))
        m.setattr(Layout, "owner_of_cover", lambda self, cover, grid: owners(self, cover(self, grid)), raising=False)
        want = theirs(pipe, lay, latent, masks)
    close(ours(pipe, lay, "crop_merge", latent), want)


def owners(lay, cover):
    "Index of the subject on top [n], -1 for none: written out once more, apart from the library."
    top = torch.full(cover.shape[1:], -1)
    for _, j in sorted((p, j) for j, p in enumerate(lay.priorities)): top[cover[j]] = j
    return top


def test_text_only_is_diffusers_at_scale_zero_bitwise(pipe):
    lay = layout(BESIDE)
    with their_scale(pipe, 0.): want = run(pipe, lay.images)
    assert torch.equal(ours(pipe, lay, "text_only", (16, 16)), want)
    assert torch.equal(ours(pipe, lay, "crop_merge", (16, 16), scale=0), want)


def test_in_double_precision_the_same_numbers(pipe, exact_masks):
    "Whatever the fp32 runs differ by is rounding: with more digits it is gone."
    lay, latent = layout(UNEVEN), (16, 24)
    with double(pipe):
        masks = exact_masks(lay, latent)
        close(ours(pipe, lay, "masked", latent), theirs(pipe, lay, latent, masks), eps=1e-12)
        everywhere = layout([(0, 0, 1, 1)]*3)
        close(ours(pipe, lay, "full", latent), theirs(pipe, everywhere, latent, exact_masks(everywhere, latent)), eps=1e-12)
        close(ours(pipe, lay, "fused", latent), ours(pipe, lay, "crop_merge", latent), eps=1e-12)


def test_same_seed_same_picture(pipe):
    lay = layout(ACROSS)
    assert torch.equal(ours(pipe, lay, "crop_merge", (16, 16)), ours(pipe, lay, "crop_merge", (16, 16)))
