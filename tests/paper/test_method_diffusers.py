"diffusers' own masks as rows of the table: equal to ours where the masks are, and everything put back."
import pytest
import torch
from diffusers.image_processor import IPAdapterMaskProcessor
from method_cases import ACROSS, BESIDE, QUICK, SEEDS, apart, same, two

from anyms.paper.methods.diffusers_masks import adapter_scale, box_masks
from anyms.paper.methods.method import get_method
from anyms.paper.methods.sampling import sample
from anyms.attention.adapter import find_processors


@pytest.fixture(params=["embedded", "sdxl-plus", "sdxl-plain"])
def pipe(request, pipes): return pipes(request.param)


def test_masks_are_binary_rectangles(pipe):
    masks = box_masks(pipe, two(BESIDE))[0]
    assert set(masks.unique().tolist()) == {0., 1.} and masks.shape[0] == 2
    assert masks.mean((1, 2)).tolist() == [.375, .25]


@pytest.mark.parametrize("boxes", [BESIDE, ACROSS], ids=["beside", "across"])
def test_masks_are_ours_where_boxes_lie_on_the_grid(pipe, boxes, monkeypatch):
    "Fine masks: diffusers' kernel then reads equal pixels at every token centre."
    case = two(boxes)
    fine = torch.nn.functional.interpolate(box_masks(pipe, case), scale_factor=8, mode="nearest")
    method = get_method("diffusers_masks")
    monkeypatch.setattr(type(method), "processor_options", lambda self, pipe, case: dict(ip_adapter_masks=[fine]))
    ours = sample(pipe, case, SEEDS, QUICK, variant="masked", attention=method.options(pipe))
    assert apart(method.draw(pipe, case, SEEDS, {}, QUICK), ours) <= 2


def test_masks_are_ours_on_the_sticker_model(pipes):
    "A latent pixel has eight of the picture's there: no finer masks are needed."
    pipe, case = pipes("embedded"), two()
    ours = sample(pipe, case, SEEDS, QUICK, variant="masked", attention=get_method("diffusers_masks").options(pipe))
    assert apart(get_method("diffusers_masks").draw(pipe, case, SEEDS, {}, QUICK), ours) <= 2


def test_joint_is_ours(pipe):
    ours = sample(pipe, two(), SEEDS, QUICK, variant="joint", attention=get_method("diffusers_joint").options(pipe))
    assert apart(get_method("diffusers_joint").draw(pipe, two(), SEEDS, {}, QUICK), ours) <= 2


def test_bicubic_masks_leave_the_unit_interval(pipes):
    "The trap: edges that lie on no token edge overshoot."
    mask = box_masks(pipes("embedded"), two([(.04, .335, .5, .9), (.5, 0, 1, .5)]))[:, 0]
    small = IPAdapterMaskProcessor.downsample(mask, 1, 256, 1)
    assert small.min() < 0 and small.max() > 1


def test_scale_zero_is_text_only(pipe):
    text = sample(pipe, two(), SEEDS, QUICK)
    with adapter_scale(pipe, 0.): silent = sample(pipe, two(), SEEDS, QUICK, variant=None)
    assert same(text, silent)


def test_the_scales_come_back(pipe):
    "As numbers: diffusers writes into the lists that are there, so the same list tells nothing."
    def scales(): return [list(p.scale) for p in find_processors(pipe.unet).values()]
    before = scales()
    with pytest.raises(RuntimeError), adapter_scale(pipe, .3):
        assert scales() != before
        raise RuntimeError
    assert scales() == before


@pytest.mark.filterwarnings("error:The aspect ratio of the mask")
def test_a_wide_picture_has_wide_masks(pipes):
    assert get_method("diffusers_masks").draw(pipes("embedded"), two(aspect=1.5), [0], {}, QUICK)[0].size == (192, 128)
