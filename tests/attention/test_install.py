"`installed` on every kind of pipeline: it works, and whatever happens it leaves the very same processors behind."
import gc
import weakref
from contextlib import contextmanager

import pytest
import torch
from conftest import adapter, load_adapters, picture, run, tiny

from anyms.attention.inputs import null_embedding
from anyms.attention.install import installed
from anyms.attention.processors import SubjectAttnProcessor
from anyms.attention.adapter import AdapterError, adapter_tokens, find_processors
from anyms.attention.selection import select_layers
from anyms.attention.variants import attention
from anyms.layout.layout import Layout
from anyms.layout.subject import Subject

LAY = Layout([Subject("fox", picture(0), (0, .25, .75, 1), priority=1), Subject("hat", picture(1), (.5, 0, 1, .5)),
              Subject("sea", picture(2), (0, .5, 1, 1), priority="background", scale=.5)])
PAIR = Layout([Subject("fox", picture(0), (0, 0, .5, 1)), Subject("hat", picture(1), (.5, 0, 1, 1))])


@pytest.fixture(params=["sd15-plus", "sdxl-plain"])
def fresh(request):
    "A pipeline of its own for tests that add things to it."
    family, form = request.param.split("-")
    return tiny(family, plus=form == "plus")


@contextmanager
def unharmed(unet):
    "The U-Net comes out of the body as it went in: same processor objects, same hooks, same weights by name."
    def state():
        hooks, recorder = list(unet._forward_pre_hooks.values()), vars(unet).get("attn_recorder")
        return dict(unet.attn_processors), hooks, list(unet.state_dict()), recorder
    before = state()
    yield
    after = state()
    assert list(before[0]) == list(after[0]) and all(before[0][k] is after[0][k] for k in before[0])
    assert before[1:] == after[1:]


def draw(pipe, lay=PAIR, variant=None, run_options=None, **options):
    with unharmed(pipe.unet), installed(pipe.unet, lay, variant, **options): return run(pipe, lay.images, **(run_options or {}))


@contextmanager
def watched(unet):
    "All records of the body."
    records = []
    unet.attn_recorder = records.append
    try: yield records
    finally: del unet.attn_recorder


def call(pipe, rows=2, latent=(16, 16), t=500, images=2, seed=0, **options):
    "One bare U-Net call; row 0 is unconditional."
    g = torch.Generator().manual_seed(seed)
    def randn(*shape): return torch.randn(shape, generator=g)
    plus = type(pipe.unet.encoder_hid_proj.image_projection_layers[0]).__name__ == "IPAdapterPlusImageProjection"
    embeds = randn(1, images, *((17, 32) if plus else (24,))).repeat(rows, *[1]*(3 if plus else 2))
    embeds[0] = 0
    added = dict(image_embeds=[embeds])
    if pipe.unet.config.addition_embed_type: added |= dict(text_embeds=randn(rows, 32), time_ids=torch.ones(rows, 6))
    text = randn(rows, 7, pipe.unet.config.cross_attention_dim)
    return pipe.unet(randn(1, 4, *latent).repeat(rows, 1, 1, 1), t, text, added_cond_kwargs=added, **options).sample


# --- nothing left behind -----------------------------------------------------------------------------------------------------------
def test_inside_only_cross_attention_is_replaced(pipe):
    before = dict(pipe.unet.attn_processors)
    with installed(pipe.unet, PAIR):
        for name, inside in pipe.unet.attn_processors.items():
            if name.endswith("attn2.processor"): assert isinstance(inside, SubjectAttnProcessor) and inside.to_k_ip is before[name].to_k_ip
            else: assert inside is before[name]


def test_weights_keep_their_names_inside(either):
    keys = {k: v.data_ptr() for k, v in either.unet.state_dict().items()}
    with installed(either.unet, PAIR): assert {k: v.data_ptr() for k, v in either.unet.state_dict().items()} == keys


def test_nothing_keeps_the_installation_alive(pipes):
    pipe = pipes("sdxl-plus")
    with installed(pipe.unet, PAIR) as state: run(pipe, PAIR.images)
    gone = weakref.ref(state)
    del state
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("at", range(3))
def test_an_error_between_steps(either, at, error):
    def fail(pipe, step, t, kwargs):
        if step == at: raise error("enough")
        return kwargs
    with unharmed(either.unet), pytest.raises(error), installed(either.unet, PAIR):
        run(either, PAIR.images, callback_on_step_end=fail)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("at", range(3))
@pytest.mark.parametrize("where", ["conv_in", "mid_block.attentions.0.transformer_blocks.0.attn2.to_q"])
def test_an_error_inside_the_unet(pipes, at, error, where):
    pipe, calls = pipes("sdxl-plus"), []
    def fail(*_):
        calls.append(1)
        if len(calls) > at: raise error("enough")
    hook = pipe.unet.get_submodule(where).register_forward_hook(fail)
    try:
        with unharmed(pipe.unet), pytest.raises(error), installed(pipe.unet, PAIR): run(pipe, PAIR.images)
    finally: hook.remove()
    assert torch.equal(draw(pipe), draw(pipe))


def test_an_error_in_the_recorder(either):
    def tired(record): raise ValueError("tired of looking")
    either.unet.attn_recorder = tired
    try:
        with unharmed(either.unet), pytest.raises(ValueError, match="tired"), installed(either.unet, PAIR): run(either, PAIR.images)
    finally: del either.unet.attn_recorder


def test_an_error_while_installing(pipes, monkeypatch):
    "Ctrl-C after half of the layers."
    pipe, done = pipes("sdxl-plain"), []
    from diffusers.models.attention_processor import Attention
    real = Attention.set_processor
    def interrupted(self, processor):
        done.append(1)
        if len(done) == 3: raise KeyboardInterrupt
        return real(self, processor)
    with unharmed(pipe.unet), pytest.raises(KeyboardInterrupt), monkeypatch.context() as m:
        m.setattr(Attention, "set_processor", interrupted)
        with installed(pipe.unet, PAIR): pass


def test_nested_is_refused_and_the_outer_goes_on(pipe):
    alone = draw(pipe)
    with unharmed(pipe.unet), installed(pipe.unet, PAIR):
        inside = dict(pipe.unet.attn_processors)
        with pytest.raises(AdapterError, match="already installed.*leave that"), installed(pipe.unet, LAY): pass
        assert all(pipe.unet.attn_processors[k] is p for k, p in inside.items())
        assert torch.equal(run(pipe, PAIR.images), alone)
    with unharmed(pipe.unet), pytest.raises(AdapterError), installed(pipe.unet, PAIR), installed(pipe.unet, PAIR): pass


def test_one_after_another_and_on_two_nets(pipes):
    a, b = pipes("sdxl-plus"), pipes("sd15-plain")
    with installed(a.unet, PAIR), installed(b.unet, PAIR): both = run(a, PAIR.images), run(b, PAIR.images)
    assert torch.equal(both[0], draw(a)) and torch.equal(both[1], draw(b))


def test_the_pipeline_draws_as_before_afterwards(pipe):
    before = run(pipe, PAIR.images)
    draw(pipe)
    assert torch.equal(run(pipe, PAIR.images), before)


# --- with everything diffusers can do ------------------------------------------------------------------------------------------------
def agrees(pipe, images=PAIR.images, **options):
    "One joint softmax is diffusers' own answer in every situation; crop-and-merge gives another one."
    theirs = run(pipe, images, **options)
    ours = draw(pipe, variant="joint", run_options=options)
    assert torch.isfinite(theirs).all() and ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= 1e-5
    assert (draw(pipe, run_options=options) - theirs).abs().max() > 1e-3
    return theirs


def test_two_images_per_prompt(pipe): assert len(agrees(pipe, num_images_per_prompt=2)) == 2
def test_two_prompts(either): assert len(agrees(either, prompt=["fox", "hat"])) == 2
def test_guidance_off(pipe): agrees(pipe, guidance=1.)
def test_one_step(either): agrees(either, steps=1)


@pytest.mark.parametrize("scheduler", ["EulerDiscreteScheduler", "DPMSolverMultistepScheduler", "HeunDiscreteScheduler", "LCMScheduler"])
def test_another_scheduler(pipes, scheduler):
    import diffusers
    pipe = pipes("sdxl-plus")
    old = pipe.scheduler
    pipe.scheduler = getattr(diffusers, scheduler).from_config({k: v for k, v in old.config.items() if k != "clip_sample"})
    try: agrees(pipe)
    finally: pipe.scheduler = old


def lora(unet, seed=0):
    from peft import LoraConfig
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        targets = ["to_q", "to_k", "to_v", "to_out.0"]
        unet.add_adapter(LoraConfig(r=2, init_lora_weights=False, target_modules=targets), adapter_name="style")


def test_lora(fresh):
    without = run(fresh, PAIR.images)
    lora(fresh.unet)
    assert (agrees(fresh) - without).abs().max() > 1e-3
    half = agrees(fresh, cross_attention_kwargs=dict(scale=.5))
    assert (half - run(fresh, PAIR.images)).abs().max() > 1e-3


def test_lora_loaded_inside(fresh):
    with installed(fresh.unet, PAIR, "joint"):
        lora(fresh.unet)
        inside = run(fresh, PAIR.images)
    assert (inside - run(fresh, PAIR.images)).abs().max() <= 1e-5
    assert not any(isinstance(p, SubjectAttnProcessor) for p in fresh.unet.attn_processors.values())


def controlnet(pipe):
    from diffusers import ControlNetModel
    keep = ("in_channels", "down_block_types", "block_out_channels", "layers_per_block", "norm_num_groups", "attention_head_dim",
            "cross_attention_dim", "transformer_layers_per_block", "use_linear_projection", "addition_embed_type",
            "addition_time_embed_dim", "projection_class_embeddings_input_dim")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        halving = (8, 16)                                                      # as the tiny VAE does
        net = ControlNetModel(**{k: pipe.unet.config[k] for k in keep}, conditioning_embedding_out_channels=halving)
        for p in net.parameters(): torch.nn.init.normal_(p, std=.05)
    return net.eval()


def test_controlnet(fresh):
    import diffusers
    xl = "XL" if hasattr(fresh, "text_encoder_2") else ""
    pipe = getattr(diffusers, f"StableDiffusion{xl}ControlNetPipeline")(**fresh.components, controlnet=controlnet(fresh))
    pipe.set_progress_bar_config(disable=True)
    agrees(pipe, image=picture(7).resize((32, 32)))


def test_img2img_and_inpaint(fresh):
    import diffusers
    xl = "XL" if hasattr(fresh, "text_encoder_2") else ""
    parts = {k: v for k, v in fresh.components.items()}
    image, mask = picture(9).resize((32, 32)), picture(8).convert("L").resize((32, 32))
    for name, extra in ((f"StableDiffusion{xl}Img2ImgPipeline", {}), (f"StableDiffusion{xl}InpaintPipeline", dict(mask_image=mask))):
        pipe = getattr(diffusers, name)(**parts, **({} if xl else dict(requires_safety_checker=False)))
        pipe.set_progress_bar_config(disable=True)
        def go(pipe=pipe, extra=extra):
            return pipe("fox", image=image, strength=.8, num_inference_steps=4, ip_adapter_image=[PAIR.images], guidance_scale=3.,
                        output_type="latent", generator=torch.Generator().manual_seed(0), **extra).images
        theirs = go()
        with unharmed(pipe.unet), installed(pipe.unet, PAIR, "joint"): assert (go() - theirs).abs().max() <= 1e-5
        with unharmed(pipe.unet), installed(pipe.unet, PAIR): assert (go() - theirs).abs().max() > 1e-3


def test_bfloat16():
    pipe = tiny("sdxl", plus=True)
    pipe.to(torch.bfloat16)
    for variant in ("full", "masked", "crop_merge", "fused"):
        z = draw(pipe, LAY, variant)
        assert z.dtype == torch.bfloat16 and torch.isfinite(z).all()


def test_gradients_flow_twice(pipes):
    pipe = pipes("sdxl-plus")
    weight = next(iter(find_processors(pipe.unet).values())).to_v_ip[0].weight
    weight.requires_grad_(True)
    try:
        with installed(pipe.unet, PAIR):
            first, = torch.autograd.grad(call(pipe).square().sum(), weight)
            again, = torch.autograd.grad(call(pipe).square().sum(), weight)
        assert first.abs().max() > 0 and torch.equal(first, again)
    finally: weight.requires_grad_(False)


# --- reference pictures: counted, matched, projected once ------------------------------------------------------------------------------
def test_keys_and_values_are_projected_once_per_run(either):
    count, hooks = [], []
    for p in find_processors(either.unet).values():
        hooks += [m[0].register_forward_hook(lambda *_: count.append(1)) for m in (p.to_k_ip, p.to_v_ip)]
    try:
        with installed(either.unet, PAIR):
            run(either, PAIR.images, steps=4)
            assert len(count) == len(hooks)
            run(either, PAIR.images[::-1], steps=2)      # other pictures: other embeddings, projected anew
            assert len(count) == 2*len(hooks)
    finally:
        for hook in hooks: hook.remove()


def test_other_pictures_in_the_same_block_are_not_confused(either):
    swapped = [PAIR.images[1], PAIR.images[0]]
    with installed(either.unet, PAIR): a, b, c = (run(either, images) for images in (PAIR.images, swapped, PAIR.images))
    assert torch.equal(a, c) and (a - b).abs().max() > 1e-3
    with installed(either.unet, PAIR): assert torch.equal(run(either, swapped), b)


@torch.no_grad()
def test_the_cache_is_never_stale(pipes):
    "The same tensor written to, and the adapter's weights after a step of training: both are seen."
    unet, g = pipes("sdxl-plain").unet, torch.Generator().manual_seed(0)
    embeds, x, text = (torch.randn(s, generator=g) for s in ((1, 2, 24), (1, 4, 16, 16), (1, 7, unet.config.cross_attention_dim)))
    added = dict(image_embeds=[embeds], text_embeds=torch.zeros(1, 32), time_ids=torch.ones(1, 6))
    def draw_once(): return unet(x, 500, text, added_cond_kwargs=added).sample
    weight = next(iter(find_processors(unet).values())).to_v_ip[0].weight
    with installed(unet, PAIR):
        first = draw_once()
        assert torch.equal(draw_once(), first)
        embeds.mul_(-1)
        other = draw_once()
        assert not torch.equal(other, first)
        embeds.mul_(-1)
        assert torch.equal(draw_once(), first)
        with torch.enable_grad(): draw_once()
        weight.mul_(2)
        try: assert not torch.equal(draw_once(), first)
        finally: weight.div_(2)


def test_a_compiled_unet_is_unwrapped(pipes):
    pipe = pipes("sd15-plus")
    with unharmed(pipe.unet), installed(torch.compile(pipe.unet, backend="eager"), PAIR) as state:
        assert state.unet is pipe.unet
        inside = run(pipe, PAIR.images)
    assert torch.equal(inside, draw(pipe))


def test_another_size_in_the_same_block(either):
    sizes = [(16, 32), (32, 16), (16, 16)]             # the first two have as many tokens
    with installed(either.unet, PAIR): inside = [run(either, PAIR.images, latent=s) for s in sizes]
    assert all(torch.equal(z, draw(either, run_options=dict(latent=s))) for z, s in zip(inside, sizes))


@pytest.mark.parametrize("images", [1, 3])
def test_wrong_number_of_pictures(either, images):
    says = f"{images} reference picture.* 2 subject.*ip_adapter_image=\\[layout.images\\]"
    with unharmed(either.unet), pytest.raises(AdapterError, match=says):
        with installed(either.unet, PAIR): run(either, [picture(i) for i in range(images)])


def test_a_callback_that_halves_the_text_only(pipes):
    from diffusers.callbacks import SDXLCFGCutoffCallback
    for kind in ("sdxl-plain", "sdxl-plus"):
        pipe = pipes(kind)
        cut = SDXLCFGCutoffCallback(cutoff_step_ratio=None, cutoff_step_index=1)
        says = "batch sizes differ: latents 1, text 1, reference pictures 2.*SDXLCFGCutoffCallback"
        with unharmed(pipe.unet), pytest.raises(AdapterError, match=says):
            with installed(pipe.unet, PAIR): run(pipe, PAIR.images, callback_on_step_end=cut)


# --- scales, windows, guidance ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("variant", ["full", "masked", "crop_merge", "fused"])
def test_scales_multiply(either, variant):
    a = Layout([s.replace(scale=v) for s, v in zip(PAIR, (.5, 1.5))])
    b = Layout([s.replace(scale=v) for s, v in zip(PAIR, (.25, .75))])
    assert (draw(either, a, variant) - draw(either, b, variant, scale=2)).abs().max() <= 1e-5
    assert (draw(either, a, variant) - draw(either, b, variant)).abs().max() > 1e-3


def test_a_silent_subject_is_no_subject(either):
    "Scale 0 for one of two disjoint subjects, `masked`: as if it were not there."
    both, one = PAIR.replace("hat", scale=0), Layout([PAIR["fox"]])
    assert (draw(either, both, "masked") - draw(either, one, "masked")).abs().max() <= 1e-5


def test_our_scale_multiplies_diffusers_own(either):
    want = draw(either, scale=.3)
    either.set_ip_adapter_scale(.3)
    try: assert torch.equal(draw(either), want)
    finally: either.set_ip_adapter_scale(1.)


@pytest.mark.parametrize("steps", [(0, 99), slice(None), range(0, 3), None])
def test_windows_over_all_steps(either, steps): assert torch.equal(draw(either, active_steps=steps), draw(either))


def test_a_window_after_the_end_is_text_only(either):
    assert torch.equal(draw(either, active_steps=(3, 9)), draw(either, variant="text_only"))


@pytest.mark.parametrize("steps, works", [((1, 2), [1]), (slice(1, None), [1, 2]), (range(0, 3, 2), [0, 2]), (1, [1]), ({0, 2}, [0, 2])])
def test_a_window_in_steps(pipes, steps, works):
    pipe = pipes("sdxl-plus")
    with watched(pipe.unet) as records: draw(pipe, active_steps=steps)
    assert sorted({record.step for record in records if record.parts().any()}) == works


@pytest.mark.parametrize("layers", ["mid", ["down", "mid"], r"up_blocks\.\d\.attentions\.0"])
def test_a_window_in_layers(either, layers):
    chosen = set(select_layers(list(find_processors(either.unet)), layers))
    with watched(either.unet) as records: draw(either, layers=layers)
    assert {record.layer for record in records} > chosen
    assert {record.layer for record in records if record.parts().any()} == chosen


def test_step_counting(pipes):
    pipe = pipes("sdxl-plain")
    with watched(pipe.unet) as records, installed(pipe.unet, PAIR) as state:
        run(pipe, PAIR.images, steps=3)
        run(pipe, PAIR.images, steps=2)
        assert state.step == 1 and state.latent == (16, 16)
    first = next(iter(find_processors(pipe.unet)))
    assert [record.step for record in records if record.layer == first] == [0, 1, 2, 0, 1]


def test_a_solver_that_calls_twice_per_step_counts_once(pipes):
    from diffusers import HeunDiscreteScheduler
    pipe = pipes("sd15-plain")
    old, pipe.scheduler = pipe.scheduler, HeunDiscreteScheduler()
    try:
        with watched(pipe.unet) as records: draw(pipe)
    finally: pipe.scheduler = old
    first = records[0].layer
    assert [record.step for record in records if record.layer == first] == [0, 1, 1, 2, 2]


@pytest.mark.parametrize("at", [0, 1])
def test_a_run_after_a_broken_one_starts_at_zero(pipes, at):
    pipe = pipes("sd15-plus")
    def stop(pipe, step, t, kwargs):
        if step == at: raise KeyboardInterrupt
        return kwargs
    with installed(pipe.unet, PAIR):
        with pytest.raises(KeyboardInterrupt): run(pipe, PAIR.images, callback_on_step_end=stop)
        with watched(pipe.unet) as records: run(pipe, PAIR.images)
        assert sorted({record.step for record in records}) == [0, 1, 2] and records[0].step == 0


@torch.no_grad()
def test_no_image_branch_for_uncond_rows_leaves_the_image_branch_out_there(either):
    null = torch.zeros(call_shape(either))
    def go(variant="crop_merge", **options):
        with installed(either.unet, PAIR, variant, **options): return call(either, rows=3)
    none, default, text = go(uncond_image="none", null=null), go(), go("text_only")
    assert torch.equal(none[1:], default[1:])
    assert torch.equal(none[0], text[0]) and not torch.equal(none[0], default[0])
    assert torch.equal(go(uncond_image="none", null=null, background="query")[0], text[0])


def call_shape(pipe):
    "Shape of the embeddings that `call` makes, one row."
    return (1, 2, 24) if type(pipe.unet.encoder_hid_proj.image_projection_layers[0]).__name__ == "ImageProjection" else (1, 2, 17, 32)


def test_no_image_branch_for_uncond_rows_in_a_whole_run(either):
    null = null_embedding(either)
    seen = []
    def check(record): seen.append((record.cond.tolist(), record.parts().flatten(1).abs().amax(1) > 0))
    either.unet.attn_recorder = check
    try: none = draw(either, uncond_image="none", null=null)
    finally: del either.unet.attn_recorder
    assert seen and all(rows == [1] and parts.tolist() == [False, True] for rows, parts in seen)
    assert (none - draw(either)).abs().max() > 1e-3
    off = dict(guidance=1.)                                                # no unconditional row: no difference
    assert torch.equal(draw(either, uncond_image="none", null=null, run_options=off), draw(either, run_options=off))


def test_it_needs_no_null_with_a_plain_adapter(pipes):
    pipe = pipes("sdxl-plain")
    assert torch.equal(draw(pipe, uncond_image="none"), draw(pipe, uncond_image="none", null=null_embedding(pipe)))


@pytest.mark.parametrize("kind", ["sdxl-plain", "sdxl-plus"])
def test_halves_run_apart(pipes, kind):
    "As modular guiders do: each row alone draws what it draws in the batch."
    pipe = pipes(kind)
    null = torch.zeros(call_shape(pipe))
    with torch.no_grad(), installed(pipe.unet, PAIR, uncond_image="none", null=null) as state:
        both = call(pipe)
        inputs = {}
        hook = pipe.unet.register_forward_pre_hook(lambda m, a, k: inputs.update(a=a, k=k), with_kwargs=True)
        call(pipe)
        hook.remove()
        def half(x, i):
            if torch.is_tensor(x) and x.ndim: return x[i:i+1]
            return [half(y, i) for y in x] if isinstance(x, list) else x
        for i in range(2):
            added = {k: half(v, i) for k, v in inputs["k"]["added_cond_kwargs"].items()}
            x, t, text = inputs["a"]
            alone = pipe.unet(half(x, i), t, half(text, i), added_cond_kwargs=added).sample
            assert state.references.uncond_rows.tolist() == [i == 0]
            assert (alone[0] - both[i]).abs().max() <= 1e-5


# --- the tap -------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("variant", ["full", "masked", "crop_merge", "fused", "joint", "text_only"])
def test_watching_changes_nothing(either, variant):
    alone = draw(either, LAY, variant)
    with watched(either.unet) as records: seen = draw(either, LAY, variant)
    assert torch.equal(alone, seen)
    assert len(records) == 3*len(find_processors(either.unet))
    either.unet.attn_recorder = lambda record: record.parts()
    try: assert torch.equal(draw(either, LAY, variant), alone)
    finally: either.unet.attn_recorder = None                                    # None: nobody watches
    try: assert torch.equal(draw(either, LAY, variant), alone)
    finally: del either.unet.attn_recorder


def test_watching_the_embedded_model_changes_nothing(embedded):
    alone = draw(embedded, LAY)
    embedded.unet.attn_recorder = lambda record: record.parts()
    try: assert torch.equal(draw(embedded, LAY), alone)
    finally: del embedded.unet.attn_recorder


@torch.no_grad()
def test_a_record_is_in_the_layouts_order(pipe):
    "LAY is painted sea, hat, fox; whoever records sees fox, hat, sea."
    assert LAY.order == [2, 1, 0]
    with watched(pipe.unet) as records: draw(pipe, LAY, words=dict(fox=[1], sea=[2, 3]), run_options=dict(latent=(16, 32)))
    for record in records:
        b, h, n, d = record.q.shape
        assert record.names == LAY.names and record.words == dict(fox=[1], sea=[2, 3]) and record.grid[0]*record.grid[1] == n
        assert record.text_out.shape == record.q.shape and record.text_k.shape[:2] == (b, h) and record.cond.tolist() == [1]
        assert record.refs.k.shape == record.refs.v.shape == (b, 3, h, adapter_tokens(pipe.unet), d)
        parts, owner = record.parts(), LAY.owner(record.grid)
        assert parts.shape == (b, 3, h, n, d)
        for j in range(3):
            mine = attention(record.q, record.refs.k[:, j], record.refs.v[:, j])
            assert (parts[:, j, :, owner == j] - mine[:, :, owner == j]).abs().max() <= 1e-5
            assert not parts[:, j, :, owner != j].any()


@torch.no_grad()
@pytest.mark.parametrize("variant", ["full", "masked", "crop_merge", "fused"])
def test_parts_add_up_to_the_image_branch(pipes, variant):
    pipe, added = pipes("sdxl-plus"), []
    real = SubjectAttnProcessor.image
    def keep(self, q):
        added.append(real(self, q))
        return added[-1]
    with pytest.MonkeyPatch.context() as m, watched(pipe.unet) as records:
        m.setattr(SubjectAttnProcessor, "image", keep)
        draw(pipe, LAY, variant)
        assert len(added) == len(records)
        for z, record in zip(added, records): assert (record.parts().sum(1) - z).abs().max() <= 1e-5


def test_a_students_variant_in_three_arguments(either):
    def soft(q, refs, cover): return sum(attention(q, refs.k[:, j], refs.v[:, j])*(.1 + cover[j, :, None]) for j in range(len(cover)))
    with watched(either.unet) as records: z = draw(either, LAY, soft)
    assert torch.isfinite(z).all() and records[0].parts().shape[1] == 3


def test_masks_as_regions(either):
    "A subject's region may be any shape."
    disc = ((torch.arange(32)[:, None] - 15.5)**2 + (torch.arange(32)[None] - 15.5)**2 < 120).numpy()
    lay = Layout([Subject("fox", picture(0), mask=disc), Subject("sea", picture(1), (0, 0, 1, 1), priority=-1)])
    assert (draw(either, lay, "fused") - draw(either, lay)).abs().max() <= 1e-5


def test_no_adapter_and_two_adapters():
    pipe = tiny("sd15", with_adapter=False)
    with unharmed(pipe.unet), pytest.raises(AdapterError, match="no IP-Adapter loaded.*load_ip_adapter"), installed(pipe.unet, PAIR): pass
    load_adapters(pipe, adapter(pipe.unet, plus=False), adapter(pipe.unet, plus=True, seed=1))
    with unharmed(pipe.unet), pytest.raises(AdapterError, match="2 IP-Adapters loaded.*load just one"), installed(pipe.unet, PAIR): pass


def test_an_adapter_unloaded_and_loaded_again():
    pipe = tiny("sdxl", plus=False)
    pipe.unload_ip_adapter()
    with pytest.raises(AdapterError, match="no IP-Adapter"), installed(pipe.unet, PAIR): pass
    pipe = tiny("sdxl", plus=True)
    assert torch.isfinite(draw(pipe)).all()
