"`layers=`, `active_steps=`: what is meant, and what is refused; and the layers that carry an adapter."
import pytest
import torch
from conftest import picture, run

from anyms.attention.adapter import adapter_tokens, find_processors
from anyms.attention.inputs import null_embedding
from anyms.attention.install import installed
from anyms.attention.selection import ALL_STEPS, layer_grids, select_layers, select_steps
from anyms.layout.layout import Layout
from anyms.layout.subject import Subject

PAIR = Layout([Subject("fox", picture(0), (0, 0, .5, 1)), Subject("hat", picture(1), (.5, 0, 1, 1))])
NAMES = ["down_blocks.1.attn2", "down_blocks.10.attn2", "up_blocks.0.attn2", "mid_block.attn2"]


def test_find_processors_sees_the_adapter(pipe):
    found = find_processors(pipe.unet)
    assert all(name.endswith("attn2") for name in found) and not any(name.startswith("encoder_hid_proj") for name in found)
    r = pipe.unet.encoder_hid_proj.image_projection_layers[0](torch.zeros(1, *null_embedding(pipe).shape[2:])).shape[1]
    assert adapter_tokens(pipe.unet) == r
    with installed(pipe.unet, PAIR): assert adapter_tokens(pipe.unet) == r


def test_down_mid_up_are_a_partition(pipe):
    names = list(find_processors(pipe.unet))
    parts = [select_layers(names, part) for part in ("down", "mid", "up")]
    assert sorted(sum(parts, [])) == sorted(names) and all(parts)


def test_windows_as_ranges():
    assert select_steps(None) == range(10**9) and select_steps([1, 4]) == range(1, 4)
    assert select_steps(slice(2, 9, 3)) == range(2, 9, 3) and select_steps(range(5, 0, -1)) == range(5, 0, -1)


def test_an_exact_name_is_that_layer_alone():
    assert select_layers(NAMES, NAMES[0]) == NAMES[:1]
    assert select_layers(NAMES, r"blocks\.1") == NAMES[:2] and select_layers(NAMES, {"up", NAMES[1]}) == NAMES[1:3]


STEPS = [(None, range(8)), (3, [3]), (range(2, 5), [2, 3, 4]), (slice(2), [0, 1]), (slice(1, None, 3), [1, 4, 7]), ((2, 4), [2, 3]),
         ([2, 4], [2, 3]), ({0, 5}, [0, 5]), (frozenset({7}), [7]), (slice(None), range(8))]


@pytest.mark.parametrize("steps, want", STEPS)
def test_steps(steps, want): assert [i for i in range(8) if i in select_steps(steps)] == list(want)


def test_every_step_is_known_as_such(): assert select_steps(slice(None)) == select_steps(None) == ALL_STEPS


def test_the_same_checks_stand_alone():
    with pytest.raises(ValueError, match="finds none"): select_layers(["down_blocks.0.attn2"], "mid")
    with pytest.raises(TypeError, match="should be a range"): select_steps({0, .5})
    with pytest.raises(TypeError, match="^step='early' should be a range"): select_steps("early", "step")


def test_layer_grids_are_those_that_the_layers_see(pipe):
    names, seen = list(find_processors(pipe.unet)), {}
    grids = layer_grids(pipe.unet, (16, 16))
    assert set(grids) == set(names)
    def note(name):
        def hook(module, args, out): seen[name] = out.shape[1]
        return hook
    hooks = [pipe.unet.get_submodule(name).to_q.register_forward_hook(note(name)) for name in names]
    try:
        with installed(pipe.unet, PAIR): run(pipe, PAIR.images, steps=1)
    finally:
        for hook in hooks: hook.remove()
    assert seen == {name: gh*gw for name, (gh, gw) in grids.items()}
