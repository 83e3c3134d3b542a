"MS-Diffusion in miniature: step 0 is the shipped adapter, training hears what drawing hears, and the U-Net comes back as it was."
import pytest
import torch
from conftest import tiny

from anyms.attention.install import installed
from anyms.attention.variants import KV, crop_merge, joint
from anyms.layout.boxes import Box
from anyms.paper.cases.case import Case, CaseSubject, StickerReference
from anyms.paper.methods.method import METHODS
from anyms.paper.methods.ms_diffusion import (
    BoxAttnProcessor, MSDiffusion, batch_covers, box_training, layout_batch, layout_loss, load_grounded, train_adapter)
from anyms.paper.methods.ms_grounding import (
    Grounding, GroundedAdapter, GroundedProjection, boxed_attention, fourier_boxes, ms, phrase_embeddings, query_offsets, swapped_adapter)
from anyms.paper.methods.sampling import Sampling, sample
from anyms.pipeline.references import subject_embeds
from anyms.stickers.training.conditioning import bypass_resampler

FEW = Sampling(2, 3., 2)


def case(*boxes):
    nouns = ("fox", "owl", "car")[:len(boxes)]
    subjects = [CaseSubject(noun, StickerReference(noun, "noto"), Box(*box), i) for i, (noun, box) in enumerate(zip(nouns, boxes))]
    return Case("test", "a fox and an owl on the beach", tuple(subjects), "beach")


@pytest.fixture(scope="module")
def pipe(pipes): return pipes("embedded")


@pytest.fixture(scope="module")
def sdxl(): return tiny("sdxl")


def state_of(pipe):
    "The objects that a method may borrow, and what may be trained."
    found = dict(pipe.unet.attn_processors), pipe.unet.encoder_hid_proj
    inner = [(p.to_k_ip, p.to_v_ip, p.to_k_ip[0].weight) for p in found[0].values() if hasattr(p, "to_k_ip")]
    return found, inner, [p.requires_grad for p in pipe.unet.parameters()], list(pipe.unet._forward_pre_hooks)


def assert_same(before, after):
    (processors, projection), inner, learn, hooks = before
    (processors_now, projection_now), inner_now, learn_now, hooks_now = after
    assert list(processors) == list(processors_now) and all(processors_now[k] is processors[k] for k in processors)
    assert projection is projection_now and learn == learn_now and hooks == hooks_now
    assert all(a is b for one, other in zip(inner, inner_now) for a, b in zip(one, other))


# --- the variant -----------------------------------------------------------------------------------------------------------------------
def refs(s, seed=0, r=5):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(2, 3, 16, 8, generator=g), KV(*(torch.randn(2, s, 3, r, 8, generator=g) for _ in range(2)))


def test_one_full_box_is_joint():
    q, kv = refs(3)
    assert (ms(q, kv, torch.ones(3, 16, dtype=torch.bool)) - joint(q, kv, torch.ones(kv.k.shape[1], 16, dtype=torch.bool))).abs().max() < 1e-6


def test_disjoint_boxes_are_crop_and_merge():
    q, kv = refs(2)
    cover = torch.zeros(2, 16, dtype=torch.bool)
    cover[0, :5] = cover[1, 9:] = True
    mine = ms(q, kv, cover)
    assert (mine - crop_merge(q, kv, cover)).abs().max() < 1e-6
    assert not mine[:, :, 5:9].any()                                     # zero outside all boxes


def test_in_an_overlap_subjects_compete():
    q, kv = refs(2)
    cover = torch.ones(2, 16, dtype=torch.bool)
    cover[1, :8] = False
    mine = ms(q, kv, cover)
    assert (mine[:, :, 8:] - joint(q, kv, torch.ones(kv.k.shape[1], 16, dtype=torch.bool))[:, :, 8:]).abs().max() < 1e-6
    assert (mine - crop_merge(q, kv, cover)).abs()[:, :, 8:].max() > 1e-2


def test_a_box_for_every_picture():
    q, kv = refs(2)
    covers = torch.rand(2, 2, 16, generator=torch.Generator().manual_seed(1)) > .5
    both = boxed_attention(q, kv, covers)
    for i in range(2):
        alone = boxed_attention(q[i:i+1], KV(kv.k[i:i+1], kv.v[i:i+1]), covers[i:i+1])
        assert (both[i:i+1] - alone).abs().max() < 1e-6


# --- noun and box ----------------------------------------------------------------------------------------------------------------------
def test_fourier_boxes_are_theirs():
    "Frequency by frequency, sine before cosine, four sides each."
    boxes = torch.tensor([[0., .25, .5, 1.]])
    waves = fourier_boxes(boxes)
    assert waves.shape == (1, 64)
    for k in range(8):
        angle = boxes[0]*100**(k/8)
        assert torch.allclose(waves[0, 8*k:8*k+4], angle.sin(), atol=1e-5)
        assert torch.allclose(waves[0, 8*k+4:8*k+8], angle.cos(), atol=1e-5)


def test_grounding_begins_with_nothing():
    net = Grounding(8, 4, 6)
    assert net(torch.randn(3, 8), torch.rand(3, 4)).shape == (3, 4, 6)
    assert not net(torch.randn(3, 8), torch.rand(3, 4)).any()


@pytest.mark.parametrize("which", ["pipe", "sdxl"])
def test_untrained_tokens_are_the_adapters(which, request):
    pipe = request.getfixturevalue(which)
    adapter, one = GroundedAdapter(pipe), case((0, 0, .5, 1), (.5, 0, 1, 1))
    embeds, _ = subject_embeds(pipe, one.layout, one.names, True)
    projection = GroundedProjection(adapter, query_offsets(pipe, adapter, one))
    with torch.no_grad(): ours, theirs = projection(embeds), pipe.unet.encoder_hid_proj(embeds)
    assert torch.equal(ours[0], theirs[0])


def test_every_noun_has_its_vector(pipe):
    vectors = phrase_embeddings(pipe, ["fox", "owl", "fox"])
    assert torch.equal(vectors[0], vectors[2]) and (vectors[0] - vectors[1]).abs().max() > .1


# --- drawing ---------------------------------------------------------------------------------------------------------------------------
def untrained(pipe): return dict(GroundedAdapter(pipe).state_dict(), pictures=torch.tensor(0))


@pytest.mark.parametrize("which", ["pipe", "sdxl"])
def test_one_full_box_and_untouched_resampler_is_joint(which, request):
    pipe = request.getfixturevalue(which)
    one, before = case((0, 0, 1, 1)), state_of(pipe)
    method = MSDiffusion()
    options = dict(uncond_image="none", scale=method.options(pipe)["scale"])
    want = sample(pipe, one, [3, 4], FEW, variant="joint", attention=options)
    assert [x.tobytes() for x in method.draw(pipe, one, [3, 4], untrained(pipe), FEW)] == [x.tobytes() for x in want]
    assert_same(before, state_of(pipe))


def test_offsets_change_the_picture(pipe):
    one, kept = case((0, .3, .5, 1), (.4, .2, 1, 1)), untrained(pipe)
    plain = MSDiffusion().draw(pipe, one, [3], kept, FEW)[0]
    kept["grounding.layers.2.weight"] = torch.randn(kept["grounding.layers.2.weight"].shape, generator=torch.Generator().manual_seed(0))
    assert MSDiffusion().draw(pipe, one, [3], kept, FEW)[0].tobytes() != plain.tobytes()


def test_the_unet_comes_back_after_an_error(pipe):
    before, adapter = state_of(pipe), GroundedAdapter(pipe)
    with pytest.raises(ZeroDivisionError):
        with swapped_adapter(pipe.unet, torch.nn.Identity(), list(zip(adapter.keys, adapter.values))): raise ZeroDivisionError
    assert_same(before, state_of(pipe))
    with pytest.raises(ZeroDivisionError):
        with box_training(pipe, adapter): raise ZeroDivisionError
    assert_same(before, state_of(pipe))


def test_a_plain_adapter_is_refused():
    with pytest.raises(ValueError, match="projection is a ImageProjection and MS-Diffusion needs a resampler's queries; load a Plus adapter"):
        GroundedAdapter(tiny("sdxl", plus=False))


# --- training --------------------------------------------------------------------------------------------------------------------------
def test_training_hears_what_drawing_hears(pipe):
    "One layout, two pictures: the training's processors and the installed variant give one velocity."
    one, adapter = case((0, .3, .5, 1), (.4, .2, 1, 1), (0, 0, .4, .3)), GroundedAdapter(pipe)
    embeds, null = subject_embeds(pipe, one.layout, one.names, False)
    g = torch.Generator().manual_seed(0)
    z, t = torch.randn(2, pipe.unet.config.in_channels, 16, 16, generator=g), torch.tensor([700, 700])
    text, _, pooled, _ = pipe.encode_prompt([one.prompt]*2, do_classifier_free_guidance=False)
    added = dict(text_embeds=pooled, time_ids=torch.tensor([[128., 128, 0, 0, 128, 128]]*2))
    patches = torch.cat(embeds*2)
    with torch.no_grad(), installed(pipe.unet, one.layout, ms, null=null):
        want = pipe.unet(z, t, text, added_cond_kwargs=added | dict(image_embeds=[patches])).sample
    boxes = torch.tensor([[list(box) for box in one.boxes]]*2)
    with torch.no_grad(), box_training(pipe, adapter) as covers, bypass_resampler(pipe.unet):
        covers |= batch_covers(boxes, torch.ones(2, 3, dtype=torch.bool), [(16, 16), (8, 8), (4, 4)])
        tokens = adapter.tokens(patches, torch.zeros(1, 1, 36, 128))
        got = pipe.unet(z, t, text, added_cond_kwargs=added | dict(image_embeds=[tokens])).sample
    assert (got - want).abs().max() < 1e-4 and want.abs().max() > .1


def test_what_is_withheld_and_what_is_true():
    batch = layout_batch(0, 400)
    count = batch.present.sum(1)
    assert set(count.tolist()) == {1, 2, 3, 4} and batch.images.shape == (400, 3, 64, 64)
    share = [(~batch.heard).float().mean(), sum(not words for words in batch.captions)/400, (~batch.grounded).float().mean()]
    assert all(abs(float(x) - .1) < .045 for x in share)
    assert all(bool(noun) == bool(there) for noun, there in zip(batch.phrases, batch.present.flatten()))
    assert all(noun in words for i, words in enumerate(batch.captions) if words for noun in batch.phrases[4*i:4*i+4])
    again = layout_batch(0, 400)
    assert torch.equal(again.images, batch.images) and torch.equal(again.pictures, batch.pictures)


def test_all_parts_learn_and_nothing_else(pipe):
    adapter, before = GroundedAdapter(pipe), state_of(pipe)
    with box_training(pipe, adapter) as covers:
        layout_loss(pipe, adapter, covers, layout_batch(0, 4), 0).backward()
    assert_same(before, state_of(pipe))
    without = [name for name, p in adapter.named_parameters() if p.grad is None or not p.grad.any()]
    assert all(name.startswith(("resampler.latents", "grounding.layers.0")) for name in without)   # behind the zero layer
    assert all(p.grad is None for p in pipe.unet.parameters())


@pytest.mark.parametrize("which", ["pipe", "sdxl"])
def test_training_is_resumed_and_kept(which, request, tmp_path, monkeypatch):
    pipe = request.getfixturevalue(which)
    one = case((0, .3, .5, 1), (.4, .2, 1, 1))
    settings = dict(pictures=8, scale=1.)
    monkeypatch.setattr(MSDiffusion, "settings", dict(stickers=settings, sdxl=settings))
    train_adapter(pipe, tmp_path/"training", 4, batch=4)
    before, method = state_of(pipe), MSDiffusion()
    kept = method.prepare(pipe, one, tmp_path)
    assert_same(before, state_of(pipe))
    assert int(kept["pictures"]) >= 8 and (tmp_path/"adapter.safetensors").exists()
    monkeypatch.setattr("anyms.paper.methods.ms_diffusion.train_adapter", lambda *a, **k: pytest.fail("trained again"))
    again = method.prepare(pipe, one, tmp_path)
    assert again.keys() == kept.keys() and all(torch.equal(again[k], kept[k]) for k in kept)
    pictures = method.draw(pipe, one, [1, 2, 3], kept, FEW)
    assert len(pictures) == 3
    loaded = load_grounded(pipe, kept)
    assert not any(p.requires_grad for p in loaded.parameters())


def test_the_row():
    assert METHODS["ms_diffusion"].title == "MS-Diffusion (ours)" and METHODS["ms_diffusion"].trained == "adapter"
    assert issubclass(BoxAttnProcessor, torch.nn.Module)
