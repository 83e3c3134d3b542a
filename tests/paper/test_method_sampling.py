"The ground of all methods: one noise for everybody, one way to call the pipeline, the registry, what is kept."
import pytest
import torch
from method_cases import QUICK, SEEDS, apart, same, two
from PIL import Image

import anyms.paper.methods as package
from anyms.paper.methods.method import METHODS, Method, get_method, keep, register_method
from anyms.paper.methods.sampling import BASES, Sampling, base_of, canvas_of, count_calls, initial_noise, sample
from anyms.paper.methods.variants import VariantMethod
from anyms.pipeline.generation import generate


@pytest.fixture(params=["embedded", "sdxl-plus"])
def pipe(request, pipes): return pipes(request.param)


def test_bases_are_told_apart(pipes):
    assert (base_of(pipes("embedded")), base_of(pipes("sdxl-plus"))) == ("stickers", "sdxl")
    assert set(BASES) == {"stickers", "sdxl"}


@pytest.mark.parametrize("aspect", [1., 1.5, .5, 1.27])
def test_canvas_is_valid_and_has_the_aspect(pipe, aspect):
    size, own = canvas_of(pipe, two(aspect=aspect)), canvas_of(pipe, two())
    step = pipe.vae_scale_factor*2**(len(pipe.unet.config.block_out_channels) - 1)
    assert min(size.values()) == min(own.values())
    assert not any(side % step for side in size.values())
    assert abs(size["width"] - size["height"]*aspect) <= step*max(aspect, 1)


def test_noise_belongs_to_the_seed(pipe):
    many = initial_noise(pipe, two(), range(5))
    assert torch.equal(many[3:4], initial_noise(pipe, two(), [3])) and not torch.equal(many[0], many[1])


def test_it_is_what_generate_draws(pipe):
    case = two()
    known = generate(pipe, case.prompt, case.layout, "crop_merge", seed=5, num_inference_steps=3, guidance_scale=3., progress=False)
    assert same(sample(pipe, case, [5], QUICK, variant="crop_merge"), [known.image])


def test_batches_make_no_difference_but_rounding(pipe):
    case = two()
    three = sample(pipe, case, [0, 1, 2], QUICK, variant="crop_merge")
    single = [sample(pipe, case, [seed], QUICK, variant="crop_merge")[0] for seed in (0, 1, 2)]
    assert apart(three, single) <= 2


def test_around_is_told_its_seeds(pipe):
    told = []

    class Listening:
        def __init__(self, seeds): told.append(list(seeds))
        def __enter__(self): return self
        def __exit__(self, *error): return None

    sample(pipe, two(), [7, 8, 9], QUICK, around=Listening)
    assert told == [[7, 8], [9]]


def test_rows_are_counted_and_the_hook_goes(pipe):
    with count_calls(pipe.unet) as calls: sample(pipe, two(), SEEDS, QUICK)
    assert calls.rows == 2*3*2
    with pytest.raises(ZeroDivisionError), count_calls(pipe.unet) as calls:
        assert 1/0
    with count_calls(pipe.unet) as calls: sample(pipe, two(), [0], Sampling(2, 1., 1))
    assert calls.rows == 2


def test_every_method_says_what_it_is():
    assert all(getattr(package, name) is not None for name in package.__all__)
    for name, method in METHODS.items():
        assert method.name == name and method.title and {"sdxl"} <= set(method.settings) <= set(BASES)   # their weights are SDXL's only
        assert method.trained in (None, "adapter", "subject", "case") and isinstance(method.layout, bool)
        assert type(method).__doc__


def test_names_are_checked():
    with pytest.raises(ValueError, match=r"anymss.*anyms"): get_method("anymss")

    class Nameless(Method): pass
    with pytest.raises(TypeError, match="Nameless has no name or no title"): register_method(Nameless)


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if isinstance(method, VariantMethod)])
def test_variants_draw_on_both_bases(pipe, name):
    pictures = get_method(name).draw(pipe, two(), SEEDS, {}, QUICK)
    assert len(pictures) == 2 and all(isinstance(one, Image.Image) for one in pictures)


def test_masked_by_priority_is_anyms(pipe):
    "Table 2's row that explains the gap: it must be the same pictures, also where boxes overlap."
    a, b = (get_method(name).draw(pipe, two(), SEEDS, {}, QUICK) for name in ("anyms", "masked_priority"))
    assert same(a, b)


def test_what_is_kept_is_made_once(tmp_path):
    made = []
    def make():
        made.append(1)
        return dict(weight=torch.ones(2).expand(3, 2).requires_grad_())
    first, second = (keep(tmp_path/"deep"/"x.safetensors", make) for _ in range(2))
    assert made == [1] and torch.equal(first["weight"], second["weight"]) and not second["weight"].requires_grad


def test_what_fails_leaves_nothing(tmp_path):
    def broken(): return dict(weight=torch.ones(2), other=1/0)
    with pytest.raises(ZeroDivisionError): keep(tmp_path/"x.safetensors", broken)
    assert not list(tmp_path.iterdir())
