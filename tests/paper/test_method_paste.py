"Collages: where references stand, who hides whom, and that no model is asked."
import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from method_cases import ACROSS, BESIDE, QUICK, SEEDS, same, subject, two
from PIL import Image

from anyms.layout.boxes import Box
from anyms.paper.cases.case import Case, case_truth
from anyms.paper.methods.method import get_method
from anyms.paper.methods.paste import collage, encode_latents, place_cutout, place_words, visible
from anyms.paper.methods.sampling import base_of, count_calls, sample
from anyms.paper.methods.tuning import with_settings
from anyms.stickers.judge.judge import load_judge


@pytest.fixture(params=["embedded", "sdxl-plus"])
def pipe(request, pipes): return pipes(request.param)


@pytest.mark.parametrize("shape", [(40, 20), (20, 40), (7, 7)])
@pytest.mark.parametrize("box", [(0, 0, 1, 1), (.1, .2, .5, .9), (.25, .5, 1, .75)])
def test_a_cutout_fills_its_box_in_its_own_aspect(shape, box):
    size, box = (200, 300), Box(*box)
    placed = place_cutout(Image.new("RGBA", shape, "red"), box, size)
    x0, y0, x1, y1 = placed.getchannel("A").getbbox()
    assert x0 >= box.x0*300 - 1 and y0 >= box.y0*200 - 1 and x1 <= box.x1*300 + 1 and y1 <= box.y1*200 + 1
    assert abs((x1 - x0)/(y1 - y0) - shape[0]/shape[1]) < .1
    assert min(abs(x1 - x0 - box.width*300), abs(y1 - y0 - box.height*200)) <= 1


def test_later_ones_hide_earlier_ones():
    full = [torch.ones(2, 2), torch.tensor([[1., 0], [0, .5]])]
    assert visible(full, [0, 1])[0].tolist() == [[0, 1], [1, .5]] and visible(full, [1, 0])[1].sum() == 0


def test_masks_partition(pipe):
    one = collage(two(ACROSS), (128, 128))
    assert one.alpha.shape == (2, 128, 128) and one.alpha.min() >= 0 and one.alpha.sum(0).max() <= 1 + 1e-6
    for grid in ((16, 16), (8, 8), (4, 4)): assert torch.allclose(one.masks(grid).mean((1, 2)), one.alpha.mean((1, 2)), atol=1e-6)


def test_the_picture_is_its_layers():
    "Where a subject fills a pixel alone, it is the reference's; where nobody is, the ground."
    one = collage(two(BESIDE), (128, 128), "white")
    pixels, nobody = np.asarray(one.picture), (one.alpha.sum(0) == 0).numpy()
    assert nobody.any() and (pixels[nobody] == 255).all()
    fox = np.asarray(place_cutout(two().subjects[0].reference.cutout(), two(BESIDE).boxes[0], (128, 128)))
    alone = one.alpha[0].numpy() == 1
    assert alone.any() and (pixels[alone] == fox[alone][:, :3]).all()


def test_order_comes_from_priority():
    fox, hat = (subject(name, (.2, .2, .8, .8)) for name in ("fox", "hat"))
    below = collage(Case("a", "", (replace(fox, priority=1), hat), ""), (64, 64))
    above = collage(Case("a", "", (fox, replace(hat, priority="attribute")), ""), (64, 64))
    assert below.alpha[0].sum() > above.alpha[0].sum() and below.alpha[1].sum() < above.alpha[1].sum()


def test_no_model_is_asked(pipe):
    with count_calls(pipe.unet) as calls: pictures = get_method("paste").draw(pipe, two(), SEEDS, {}, QUICK)
    assert calls.rows == 0 and same(pictures[:1], pictures[1:])


def grounded(pipe, ground): return with_settings(get_method("paste"), base_of(pipe), dict(ground=ground))


def test_on_a_place(pipe):
    with count_calls(pipe.unet) as calls: pictures = grounded(pipe, "place").draw(pipe, two(), SEEDS, {}, QUICK)
    assert calls.rows == 2*3*2 and not same(pictures[:1], pictures[1:])
    grounds = sample(pipe, two(), SEEDS, QUICK, prompt="in")
    assert pictures[0].getpixel((0, 0)) == grounds[0].getpixel((0, 0))


def test_an_unknown_ground_is_refused(pipe):
    with pytest.raises(ValueError, match="ground='paperr'.*paper"): grounded(pipe, "paperr").draw(pipe, two(), [0], {}, QUICK)


def test_a_place_has_words():
    assert place_words(two()) == "in" and place_words(replace(two(), scene="beach")) == "on the beach"


def test_the_judge_finds_every_subject(pipes):
    "The ceiling for copying: boxes and drawings are right, the place is not."
    case = replace(two([(0, .4, .5, .9), (.5, 0, 1, .5)]), scene="beach", style=(.5,)*8)
    rows = load_judge()([collage(case, (128, 128)).picture], [case_truth(case)])
    seen = rows[rows.kind == "subject"]
    assert seen.identity.min() == 1 and seen.iou.min() > .5


def test_latents_are_the_pictures(pipe):
    picture = collage(two(), (64, 64)).picture
    latents = encode_latents(pipe, [picture, picture])
    assert latents.shape == (2, pipe.unet.config.in_channels, 64//pipe.vae_scale_factor, 64//pipe.vae_scale_factor)
    assert torch.equal(latents[0], latents[1]) and torch.isfinite(latents).all()


def test_half_precision_is_left(pipes):
    "An autoencoder that overflows in half precision works in full for this moment only."
    pipe = copy.copy(pipes("sdxl-plus"))
    pipe.vae = copy.deepcopy(pipe.vae).half()
    pipe.vae.register_to_config(force_upcast=True)
    latents = encode_latents(pipe, [collage(two(), (64, 64)).picture])
    assert pipe.vae.dtype == torch.float16 and latents.dtype == pipe.unet.dtype
