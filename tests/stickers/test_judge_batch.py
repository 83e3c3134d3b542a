"Many pictures at once are those drawn alone."
import itertools

import numpy as np
import pytest

from anyms import generate
from anyms.stickers.judge import batch
from anyms.stickers.judge.batch import generate_batch
from anyms.stickers.judge.testset import as_layout, held_out_layouts


@pytest.fixture(scope="module")
def truth(): return held_out_layouts(36)

def test_pictures_drawn_together_are_those_drawn_alone(embedded, truth):
    one = truth[5]
    layout = as_layout(one)                             # overlapping, four subjects
    assert one["overlapping"]
    wanted = [("text_only", 1), ("full", 1), ("full / n", 1), ("joint", 1), ("masked", 2), ("crop_merge", 2), ("crop_merge", 3)]
    images = generate_batch(embedded, one["prompt"], layout, wanted, num_inference_steps=3, scale=.8)
    for (name, seed), image in zip(wanted, images):
        scale = .8/len(layout) if name == "full / n" else .8
        alone = generate(embedded, one["prompt"], layout, name.split(" ")[0], seed=seed, num_inference_steps=3,
            scale=scale, progress=False).image
        assert np.abs(np.asarray(image, int)-np.asarray(alone, int)).max() <= 3, (name, seed)
    apart = [np.asarray(i, int) for i in images]
    assert all(np.abs(a-b).max() > 8 for a, b in itertools.combinations(apart, 2))   # and each is a picture of its own

@pytest.mark.parametrize("guidance", [1., 3.])
def test_large_batches_are_cut_and_guidance_may_be_off(embedded, truth, monkeypatch, guidance):
    monkeypatch.setattr(batch, "BATCH_SIZE", 2)
    wanted = [("crop_merge", 0), ("full", 1), ("masked", 0)]
    layout = as_layout(truth[0])
    parts = generate_batch(embedded, truth[0]["prompt"], layout, wanted, num_inference_steps=2, guidance_scale=guidance)
    monkeypatch.setattr(batch, "BATCH_SIZE", 12)
    whole = generate_batch(embedded, truth[0]["prompt"], layout, wanted, num_inference_steps=2, guidance_scale=guidance)
    assert len(parts) == 3
    for a, b in zip(parts, whole): assert np.abs(np.asarray(a, int)-np.asarray(b, int)).max() <= 3

def test_options_reach_the_variants_and_unknown_ones_are_refused(embedded, truth):
    layout = as_layout(truth[1])
    before = dict(embedded.unet.attn_processors)
    plain, = generate_batch(embedded, truth[1]["prompt"], layout, [("masked", 0)], num_inference_steps=2)
    query, = generate_batch(embedded, truth[1]["prompt"], layout, [("masked", 0)], num_inference_steps=2, background="query")
    assert np.abs(np.asarray(plain, int)-np.asarray(query, int)).max() > 8
    with pytest.raises(ValueError, match="'full' takes no option overlap='sum'"):
        generate_batch(embedded, truth[1]["prompt"], layout, [("full", 0)], num_inference_steps=2, overlap="sum")
    with pytest.raises(ValueError, match="'blend' is not known"):
        generate_batch(embedded, truth[1]["prompt"], layout, [("blend", 0)], num_inference_steps=2)
    assert all(embedded.unet.attn_processors[k] is p for k, p in before.items())
