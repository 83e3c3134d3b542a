"Sizes that work, and the nearest to those that do not."
import pytest

from anyms.pipeline.canvas import picture_size



def test_size_is_the_models_own(pipe):
    side = pipe.unet.config.sample_size*pipe.vae_scale_factor
    assert picture_size(pipe) == (side, side)
    assert picture_size(pipe, width=2*side) == (side, 2*side)


def test_nearest_size_is_valid(pipe):
    step = pipe.vae_scale_factor*2**(len(pipe.unet.config.block_out_channels) - 1)
    for x in (1, step - 1, step + 1, 5*step + step//2 + 1):
        with pytest.raises(ValueError, match=rf"height={x} must be a multiple of {step} .*nearest is (\d+)") as e: picture_size(pipe, x)
        near = int(str(e.value).rsplit(" ", 1)[1].rstrip("."))
        assert picture_size(pipe, near)[0] == near and (abs(near - x) <= step/2 or near == step)
