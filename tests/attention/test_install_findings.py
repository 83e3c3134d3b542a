"""Other people's troubles with adapters, tried on `installed`: threads, adapters that change inside a block, weights that change,
diffusers' own scales, rows."""
import copy
import threading

import pytest
import torch
from conftest import adapter, load_adapters, picture, run, tiny
from diffusers.callbacks import IPAdapterScaleCutoffCallback
from diffusers.models.attention_processor import AttnProcessor2_0
from torch.overrides import TorchFunctionMode

import anyms.attention.install as install
from anyms.attention.inputs import null_embedding, unconditional_rows
from anyms.attention.install import exclusive, installed
from anyms.attention.processors import SubjectAttnProcessor
from anyms.attention.adapter import AdapterError, find_processors
from anyms.layout.layout import Layout
from anyms.layout.subject import Subject

PAIR = Layout([Subject("fox", picture(0), (0, 0, .5, 1)), Subject("hat", picture(1), (.5, 0, 1, 1))])
OTHER = Layout([Subject("sea", picture(2), (0, 0, 1, .5)), Subject("cat", picture(3), (0, .5, 1, 1))])
SOON = 60.     # seconds that a thread may take at most


def draw(pipe, layout=PAIR, variant=None, run_options=None, **options):
    with installed(pipe.unet, layout, variant, **options): return run(pipe, layout.images, **(run_options or {}))


def inputs(unet, seed=0):
    "Arguments of a bare U-Net call, always the same tensors; row 0 is unconditional."
    g = torch.Generator().manual_seed(seed)
    def randn(*shape): return torch.randn(shape, generator=g)
    plus = type(unet.encoder_hid_proj.image_projection_layers[0]).__name__ == "IPAdapterPlusImageProjection"
    embeds = randn(2, 2, *((17, 32) if plus else (24,)))
    embeds[0] = 0
    added = dict(image_embeds=[embeds])
    if unet.config.addition_embed_type: added |= dict(text_embeds=randn(2, 32), time_ids=torch.ones(2, 6))
    sample, text = randn(2, 4, 16, 16), randn(2, 7, unet.config.cross_attention_dim)
    return dict(sample=sample, timestep=500, encoder_hidden_states=text, added_cond_kwargs=added)


def answer(work):
    "What `work()` gives in another thread: its result, or its error."
    found = []
    def go():
        try: found.append(work())
        except Exception as e: found.append(e)
    thread = threading.Thread(target=go)
    thread.start()
    thread.join(SOON)
    return found[0]


# --- many hands on one U-Net -----------------------------------------------------------------------------------------------------------
def test_a_second_thread_is_refused_and_can_wait(pipes):
    pipe, order = pipes("sdxl-plain"), []
    def wait():
        order.append("waits")
        with exclusive(pipe.unet), installed(pipe.unet, OTHER): order.append("second in")
    with exclusive(pipe.unet), installed(pipe.unet, PAIR):
        error = answer(lambda: installed(pipe.unet, OTHER).__enter__())
        assert isinstance(error, AdapterError) and "with exclusive(pipe.unet)" in str(error)
        error = answer(lambda: exclusive(pipe.unet, timeout=.01).__enter__())
        assert isinstance(error, AdapterError) and "timeout=0.01" in str(error)
        second = threading.Thread(target=wait)
        second.start()
        second.join(.1)
        order.append("first out")
    second.join(SOON)
    assert order == ["waits", "first out", "second in"]
    assert not pipe.unet._forward_pre_hooks


def test_looking_and_going_in_is_one_step(pipes, monkeypatch):
    "The second thread comes when the first has looked, and is not yet in."
    pipe, look = pipes("sdxl-plain"), install._check_free
    errors = []
    def slow(asked):
        look(asked)
        monkeypatch.setattr(install, "_check_free", look)
        errors.append(answer(lambda: draw(pipe, OTHER)))
    want = draw(pipe)
    monkeypatch.setattr(install, "_check_free", slow)
    assert torch.equal(draw(pipe), want)
    assert isinstance(errors[0], AdapterError) and "Another thread draws with this U-Net" in str(errors[0])


def test_a_plain_call_of_another_thread_is_refused(pipes):
    pipe = pipes("sdxl-plain")
    plain = run(pipe, PAIR.images)
    with installed(pipe.unet, PAIR):
        error = answer(lambda: run(pipe, PAIR.images))
        again = run(pipe, PAIR.images)
    assert isinstance(error, AdapterError) and "Another thread has installed a layout" in str(error) and "exclusive" in str(error)
    assert torch.equal(again, draw(pipe)) and torch.equal(answer(lambda: run(pipe, PAIR.images)), plain)


@torch.no_grad()
def test_a_plain_call_under_way_is_never_given_a_layout(pipes):
    "Another thread's call has begun, and passed the hooks, when the layout comes in."
    unet = pipes("sdxl-plain").unet
    given, begun, go_on = inputs(unet), threading.Event(), threading.Event()
    def pause(*_):
        begun.set()
        go_on.wait(SOON)
    hook = unet.down_blocks[1].register_forward_pre_hook(pause)
    found = []
    def call():
        try: found.append(torch.no_grad()(lambda: unet(**given))())
        except Exception as e: found.append(e)
    thread = threading.Thread(target=call)
    thread.start()
    assert begun.wait(SOON)
    hook.remove()
    with installed(unet, PAIR):
        unet(**inputs(unet, seed=1))
        go_on.set()
        thread.join(SOON)
    assert isinstance(found[0], AdapterError) and "called without the hook of its layout" in str(found[0])


@torch.no_grad()
def test_a_call_past_the_hooks_is_refused(pipes):
    unet = pipes("sdxl-plain").unet
    given, other = inputs(unet), inputs(unet, seed=1)
    with installed(unet, PAIR):
        with pytest.raises(AdapterError, match=r"past its hooks.*call unet\(\.\.\.\), not unet\.forward"): unet.forward(**given)
        want = unet(**given).sample
        with pytest.raises(AdapterError, match="past its hooks"): unet.forward(**other)
        assert torch.equal(unet.forward(**given).sample, want)             # the very same call is no harm
        inside = dict(unet.attn_processors)
    old = dict(unet.attn_processors)
    try:
        unet.set_attn_processor(dict(inside))
        with pytest.raises(AdapterError, match="no longer installed"): unet(**given)
    finally: unet.set_attn_processor(old)


def test_a_text_that_another_hook_puts_in_is_read(pipes):
    "A hook of somebody else's changes the text after ours has seen it."
    unet, out = pipes("sdxl-plain").unet, []
    given, other = inputs(unet), inputs(unet, seed=1)["encoder_hidden_states"]
    with torch.no_grad():
        with installed(unet, PAIR, "joint"):
            unet(**given)
            hook = unet.register_forward_pre_hook(lambda m, a, k: (a, k | dict(encoder_hidden_states=other)), with_kwargs=True)
            out.append(unet(**given).sample)
        out.append(unet(**given).sample)
        hook.remove()
    assert (out[0] - out[1]).abs().max() <= 1e-5


def test_a_door_may_be_passed_twice_and_is_no_part_of_the_unet():
    unet = tiny("sd15", plus=False).unet
    with exclusive(unet), exclusive(unet), installed(unet, PAIR): copy.deepcopy(unet.conv_in)
    with exclusive(unet): copy.deepcopy(unet)
    assert answer(lambda: exclusive(unet, timeout=0).__enter__()) is None
    with pytest.raises(AdapterError, match=r"unet is a int; pass"), exclusive(3): pass


# --- the adapter changes inside the block ----------------------------------------------------------------------------------------------
def text_only(pipe):
    return pipe("fox hat", num_inference_steps=2, guidance_scale=3., height=32, width=32, output_type="latent",
                generator=torch.Generator().manual_seed(0)).images


def test_unloaded_inside():
    pipe = tiny("sdxl")
    with installed(pipe.unet, PAIR):
        run(pipe, PAIR.images, steps=1)
        pipe.unload_ip_adapter()
        with pytest.raises(AdapterError, match="unloaded, or another one loaded, while a layout is installed"): text_only(pipe)
    assert torch.equal(text_only(pipe), text_only(tiny("sdxl", with_adapter=False)))
    assert not any(hasattr(p, "to_k_ip") for p in pipe.unet.attn_processors.values()) and pipe.unet.encoder_hid_proj is None


def test_half_unloaded_inside():
    "Whoever takes the projection away in the middle of unloading: the adapter's processors do not come back without it."
    pipe = tiny("sd15", plus=False)
    with installed(pipe.unet, PAIR): pipe.unet.encoder_hid_proj = None
    assert not any(hasattr(p, "to_k_ip") for p in pipe.unet.attn_processors.values())
    pipe = tiny("sd15", plus=False)
    pipe.unet.encoder_hid_proj = None
    with pytest.raises(AdapterError, match=r"half unloaded.*pipe\.unload_ip_adapter\(\)"), installed(pipe.unet, PAIR): pass


def test_another_adapter_loaded_inside():
    state = adapter(tiny("sdxl", with_adapter=False).unet, plus=True, seed=5)
    new = run(load_adapters(tiny("sdxl"), state), PAIR.images)
    pipe = tiny("sdxl")
    with installed(pipe.unet, PAIR):
        run(pipe, PAIR.images, steps=1)
        load_adapters(pipe, state)
        with pytest.raises(AdapterError, match="another one loaded, while a layout is installed; leave"): run(pipe, PAIR.images)
    assert torch.equal(run(pipe, PAIR.images), new)                         # the new one, whole
    assert not torch.equal(draw(pipe), draw(tiny("sdxl")))


def slice_it(pipe): pipe.enable_attention_slicing()


def one_layer(pipe):
    name = next(iter(find_processors(pipe.unet)))
    pipe.unet.get_submodule(name).set_processor(AttnProcessor2_0())


def all_layers(pipe): pipe.unet.set_attn_processor(AttnProcessor2_0())


REPLACED = {"sliced": (slice_it, r"SlicedAttnProcessor: attention slicing; call pipe\.disable_attention_slicing\(\)"),
            "one layer": (one_layer, r"1 of 7 layers .*AttnProcessor2_0: set_attn_processor"),
            "all": (all_layers, r"7 of 7 layers .*AttnProcessor2_0: set_attn_processor")}


@pytest.mark.parametrize("spoil, says", REPLACED.values(), ids=REPLACED.keys())
def test_processors_replaced(spoil, says):
    "Before the block, and inside it; the cause is named, and loading the adapter again is a remedy."
    for inside in (False, True):
        pipe = tiny("sd15", plus=False)
        want, theirs = draw(pipe), []
        with pytest.raises(AdapterError, match=says) as caught:
            if not inside: spoil(pipe)
            with installed(pipe.unet, PAIR):
                spoil(pipe)
                theirs += [p for p in pipe.unet.attn_processors.values() if not hasattr(p, "to_k_ip")]
                run(pipe, PAIR.images)
        assert "load the adapter again" in str(caught.value) and "no IP-Adapter" not in str(caught.value)
        after = list(pipe.unet.attn_processors.values())
        assert not any(isinstance(p, SubjectAttnProcessor) for p in after) and all(any(p is q for q in after) for p in theirs)
        pipe.disable_attention_slicing()
        load_adapters(pipe, adapter(pipe.unet, plus=False))
        assert torch.equal(draw(pipe), want)


@torch.no_grad()
def test_a_copy_by_its_class_attends_to_the_text():
    "`value.__class__()` is how diffusers copies processors that it does not know."
    pipe = tiny("sdxl", plus=False)
    unet, given = pipe.unet, inputs(pipe.unet)
    with installed(unet, PAIR):
        copies = {name: p.__class__() for name, p in unet.attn_processors.items() if isinstance(p, SubjectAttnProcessor)}
    unet.set_attn_processor(unet.attn_processors | copies)
    copied = unet(**given).sample
    assert all(p.scale == [1.] for p in copies.values())
    pipe.unload_ip_adapter()
    without = {k: v for k, v in given["added_cond_kwargs"].items() if k != "image_embeds"}
    assert torch.equal(unet(**given | dict(added_cond_kwargs=without)).sample, copied)


# --- what is kept and what it was made from --------------------------------------------------------------------------------------------
def first(unet): return next(iter(find_processors(unet)))
def values(unet): return find_processors(unet)[first(unet)].to_v_ip[0].weight
def attn(unet): return unet.get_submodule(first(unet))


def replace_weight(unet): attn(unet).to_k.weight = torch.nn.Parameter(2*attn(unet).to_k.weight)


def replace_layer(unet):
    attn(unet).to_v = copy.deepcopy(attn(unet).to_v)
    attn(unet).to_v.weight.data.mul_(2)


def other_storage(unet): attn(unet).to_k.weight.data = 2*attn(unet).to_k.weight.data


def other_forward(unet):
    to_k = attn(unet).to_k
    usual = to_k.forward
    def twice(x): return 2*usual(x)
    to_k.forward = twice


CHANGES = {
    "in place": lambda unet: values(unet).mul_(3),
    "ema copy": lambda unet: values(unet).data.copy_(values(unet).data.flip(0)),
    "one row by .data": lambda unet: values(unet).data[3].mul_(30),
    "one column by .data": lambda unet: values(unet).data[:, 5].mul_(30),
    "text keys by .data": lambda unet: attn(unet).to_k.weight.data.mul_(-1),
    "text values in place": lambda unet: attn(unet).to_v.weight.mul_(2),
    "projection by .data": lambda unet: [p.data.mul_(1.5) for p in unet.encoder_hid_proj.parameters()],
    "another parameter": replace_weight,
    "another layer": replace_layer,
    "another storage": other_storage,
    "another forward": other_forward,
    "a hook": lambda unet: attn(unet).to_v.register_forward_hook(lambda m, x, y: 2*y),
    "a hook before": lambda unet: find_processors(unet)[first(unet)].to_k_ip[0].register_forward_pre_hook(lambda m, x: (2*x[0],)),
    "state dict": lambda unet: attn(unet).to_v.load_state_dict({"weight": attn(unet).to_v.weight*2}),
}


@torch.no_grad()
@pytest.mark.parametrize("plus", [False, True], ids=["plain", "plus"])
def test_weights_changed_inside(plus):
    "After each change, and with the same tensors as before, the answer is that of a fresh block."
    for what, change in CHANGES.items():
        unet = tiny("sd15", plus=plus).unet
        given = inputs(unet)
        with installed(unet, PAIR):
            before = unet(**given).sample
            change(unet)
            inside = unet(**given).sample
        with installed(unet, PAIR): fresh = unet(**given).sample
        assert torch.equal(inside, fresh), what
        assert (fresh - before).abs().max() > 1e-4, what


@torch.no_grad()
def test_inputs_written_by_data(pipes):
    unet = pipes("sdxl-plus").unet
    given = inputs(unet)
    with installed(unet, PAIR):
        before = unet(**given).sample
        given["encoder_hidden_states"].data.mul_(-1)
        text = unet(**given).sample
        given["added_cond_kwargs"]["image_embeds"][0].data.mul_(-1)
        both = unet(**given).sample
    with installed(unet, PAIR): assert torch.equal(unet(**given).sample, both)
    assert not torch.equal(before, text) and not torch.equal(text, both)


def add_lora(unet, names, seed=0):
    from peft import LoraConfig
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        unet.add_adapter(LoraConfig(r=2, init_lora_weights=False, target_modules=names), adapter_name="style")


def fuse(pipe):
    add_lora(pipe.unet, ["to_q", "to_k", "to_v"])
    pipe.unet.fuse_lora(lora_scale=2.)
    pipe.unet.unload_lora()


LORAS = {"loaded": lambda pipe: add_lora(pipe.unet, ["to_q", "to_k", "to_v", "to_out.0"]), "fused for good": fuse,
         "in the projection": lambda pipe: add_lora(pipe.unet, ["proj_in", "proj_out"])}


@pytest.mark.parametrize("change", LORAS.values(), ids=LORAS.keys())
def test_a_lora_that_comes_in_after_the_first_step(change):
    def later(pipe, step, t, kwargs):
        if step == 0: change(pipe)
        return kwargs
    options = dict(callback_on_step_end=later)
    theirs = run(tiny("sdxl"), PAIR.images, **options)
    ours = draw(tiny("sdxl"), variant="joint", run_options=options)
    assert (ours - theirs).abs().max() <= 1e-5
    assert (run(tiny("sdxl"), PAIR.images) - theirs).abs().max() > 1e-4


@torch.no_grad()
def test_a_lora_in_the_projection_changes_its_weight():
    unet = tiny("sdxl").unet
    add_lora(unet, ["proj_in", "proj_out"])
    given, seen = inputs(unet), []
    with installed(unet, PAIR, "joint"):
        for weight in (1., .2):
            unet.set_adapters("style", weight)
            seen.append(unet(**given).sample)
    assert (seen[1] - unet(**given).sample).abs().max() <= 1e-5 and (seen[0] - seen[1]).abs().max() > 1e-4


# --- rows that do not fit --------------------------------------------------------------------------------------------------------------
def rows(pipe, layout=PAIR):
    "Embeddings [null, pictures] of a layout, as the pipeline makes them."
    return pipe.prepare_ip_adapter_image_embeds([layout.images], None, "cpu", 1, True)[0]


def by_hand(embeds, **options): return dict(ip_adapter_image=None, ip_adapter_image_embeds=[embeds]) | options


@pytest.mark.parametrize("kind", ["sdxl-plain", "sdxl-plus"])
def test_each_cause_has_its_sentence(pipes, kind):
    pipe = pipes(kind)
    halves = zip(rows(pipe).chunk(2), rows(pipe, OTHER).chunk(2))
    both = torch.cat([x for half in halves for x in half])                # [null, null, pictures, pictures]
    def says(prompt, embeds, guidance):
        with pytest.raises(AdapterError, match="The batch sizes differ: ") as caught, installed(pipe.unet, PAIR):
            pipe(prompt, ip_adapter_image_embeds=[embeds], num_inference_steps=1, guidance_scale=guidance,
                 height=32, width=32, output_type="latent")
        assert "callback" not in str(caught.value)
        return str(caught.value)
    prompts = says(["fox", "hat"], both, 3.)
    assert "latents 4, text 4, reference pictures 8" in prompts and "once for each layout" in prompts
    assert "guidance is off, so the embeddings may not hold rows for 'no picture'" in says("fox", rows(pipe), 1.)
    assert "guidance is off, so" in says(["fox", "hat"], rows(pipe), 1.)
    assert "once for each layout" in says("fox", both, 3.)


@torch.no_grad()
def test_rows_of_a_bare_call(pipes):
    unet = pipes("sdxl-plain").unet
    def says(**change):
        with pytest.raises(AdapterError) as caught, installed(unet, PAIR): unet(**inputs(unet) | change)
        return str(caught.value)
    given = inputs(unet)
    one = given["added_cond_kwargs"] | dict(image_embeds=[given["added_cond_kwargs"]["image_embeds"][0][1:]])
    assert "rows for 'no picture' too" in says(added_cond_kwargs=one)
    assert "parts of the picture" in says(sample=given["sample"].repeat(2, 1, 1, 1))
    assert "frames of a video" in says(sample=given["sample"][:, :, None])


def test_a_callback_is_named_only_where_rows_fitted_before(pipes):
    from diffusers.callbacks import SDXLCFGCutoffCallback
    pipe = pipes("sdxl-plain")
    cut = SDXLCFGCutoffCallback(cutoff_step_ratio=None, cutoff_step_index=1)
    with pytest.raises(AdapterError, match="fitted at an earlier step.*SDXLCFGCutoffCallback"):
        draw(pipe, run_options=dict(callback_on_step_end=cut))


def test_a_net_that_draws_frames_is_refused():
    from diffusers import MotionAdapter, UNetMotionModel
    motion = MotionAdapter(block_out_channels=(16, 32, 32), motion_layers_per_block=1, motion_mid_block_layers_per_block=1,
                           motion_norm_num_groups=8, motion_num_attention_heads=2, use_motion_mid_block=False)
    unet = UNetMotionModel.from_unet2d(tiny("sd15", plus=False).unet, motion)
    for use in (find_processors, lambda net: installed(net, PAIR)):
        with pytest.raises(AdapterError, match="UNetMotionModel, which draws the frames of a video"): use(unet)


# --- no float64 ------------------------------------------------------------------------------------------------------------------------
class NoDoubles(TorchFunctionMode):
    "Apple's GPU: a tensor of this type cannot be moved there, by whatever name."
    def __torch_function__(self, f, types, args=(), kwargs=None):
        moved = f in (torch.Tensor.to, torch.Tensor.cuda, torch.Tensor.type_as, torch.Tensor.to_mkldnn)
        words = [*args[1:], *(kwargs or {}).values()]
        away = any(isinstance(w, (torch.device, str, torch.Tensor)) for w in words)
        if moved and args[0].dtype == torch.float64 and away: raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        return f(*args, **(kwargs or {}))


@pytest.mark.parametrize("variant", ["full", "masked", "crop_merge", "fused"])
def test_nothing_moves_in_double_precision(either, variant):
    uneven = PAIR.replace("fox", scale=.3)
    want = draw(either, uneven, variant, scale=.7)
    with installed(either.unet, uneven, variant, scale=.7), NoDoubles(): assert torch.equal(run(either, uneven.images), want)


# --- diffusers' own scale --------------------------------------------------------------------------------------------------------------
@pytest.fixture
def scaled(either):
    "A pipeline whose own scale is set back afterwards."
    yield either
    either.set_ip_adapter_scale(1.)


def test_a_number_multiplies(scaled):
    want, off = draw(scaled, scale=.6), draw(scaled, variant="text_only")
    scaled.set_ip_adapter_scale(.3)
    assert (draw(scaled, scale=2) - want).abs().max() <= 1e-5
    with installed(scaled.unet, PAIR, scale=2):                              # inside the block too, and it stays afterwards
        scaled.set_ip_adapter_scale(1.)
        scaled.set_ip_adapter_scale(.3)
        assert (run(scaled, PAIR.images) - want).abs().max() <= 1e-5
    assert all(p.scale == [.3] for p in find_processors(scaled.unet).values())
    assert (want - off).abs().max() > 1e-3


@pytest.mark.parametrize("words", [dict(up={"block_1": [0., 1.]}), dict(down=.5, mid=0.), dict(down=0., up={"block_1": .4})])
def test_a_dict_of_blocks_is_as_in_diffusers(pipes, words):
    "'joint' is diffusers' own answer, block by block."
    pipe = pipes("sd15-plain")
    before = draw(pipe)
    words = {k: v for k, v in words.items() if k != "mid"}                   # diffusers knows no 'mid'
    try:
        pipe.set_ip_adapter_scale(0.)
        pipe.set_ip_adapter_scale(words)
        theirs = run(pipe, PAIR.images)
        assert (draw(pipe, variant="joint") - theirs).abs().max() <= 1e-5
        assert (draw(pipe) - before).abs().max() > 1e-4
    finally: pipe.set_ip_adapter_scale(1.)
    assert torch.equal(draw(pipe), before)


def test_a_number_per_picture_is_a_number_per_subject(scaled):
    want = draw(scaled, Layout([s.replace(scale=x) for s, x in zip(PAIR, (.3, 1.5))]), "masked")
    scaled.set_ip_adapter_scale([[.3, 1.5]])
    assert (draw(scaled, variant="masked") - want).abs().max() <= 1e-5
    scaled.set_ip_adapter_scale([[.3, 1.5, 1.]])
    says = r"given 3 numbers for a layout of 2 subject\(s\); give one number for all"
    with pytest.raises(AdapterError, match=says), installed(scaled.unet, PAIR): pass
    scaled.set_ip_adapter_scale(float("nan"))
    with pytest.raises(AdapterError, match="given nan; give finite numbers"), installed(scaled.unet, PAIR): pass


@pytest.mark.parametrize("variant", [None, "crop_merge", "joint"])
def test_the_cutoff_callback_is_a_window(scaled, variant):
    cut = IPAdapterScaleCutoffCallback(cutoff_step_ratio=None, cutoff_step_index=0)
    want = draw(scaled, variant=variant, active_steps=(0, 1))
    assert torch.equal(draw(scaled, variant=variant, run_options=dict(callback_on_step_end=cut)), want)
    says = r"adapter scale is 0 in every layer.*set_ip_adapter_scale\(1\.\) brings them back"
    with pytest.warns(UserWarning, match=says): silent = draw(scaled)
    assert torch.equal(silent, run(scaled, PAIR.images))


# --- faces -----------------------------------------------------------------------------------------------------------------------------
def faceid():
    "A pipeline with an adapter for faces, which has no image encoder."
    pipe = tiny("sdxl", plus=False, with_adapter=False)
    state, c = adapter(pipe.unet, plus=False), pipe.unet.config.cross_attention_dim
    g = torch.Generator().manual_seed(0)
    def randn(*shape): return torch.randn(shape, generator=g)/shape[-1]**.5
    state["image_proj"] = {"proj.0.weight": randn(1024, 512), "proj.0.bias": torch.zeros(1024), "proj.2.weight": randn(4*c, 1024),
                           "proj.2.bias": randn(4*c), "norm.weight": torch.ones(c), "norm.bias": torch.zeros(c)}
    load_adapters(pipe, state)
    pipe.image_encoder = pipe.feature_extractor = None
    return pipe


def test_faces_each_in_a_box():
    pipe = faceid()
    g = torch.Generator().manual_seed(1)
    faces = torch.cat([torch.zeros(1, 2, 1, 512), torch.randn(1, 2, 1, 512, generator=g)])
    null = null_embedding(pipe)
    assert null.shape == (1, 1, 1, 512) and not null.any()
    assert unconditional_rows(faces, null).tolist() == unconditional_rows(faces).tolist() == [True, False]
    assert unconditional_rows(faces[:, :1]).tolist() == [True, False]                  # one face alone
    def go(variant=None, **options):
        given = dict(ip_adapter_image_embeds=[faces], num_inference_steps=2, height=32, width=32, guidance_scale=3., output_type="latent")
        with installed(pipe.unet, PAIR, variant, **options):
            return pipe("fox", generator=torch.Generator().manual_seed(0), **given).images
    assert (go() - go("crop_merge")).abs().max() <= 1e-5 and (go() - go("text_only")).abs().max() > 1e-3
    assert (go(uncond_image="none", null=null) - go()).abs().max() > 1e-4


def test_no_image_encoder_and_no_faces():
    pipe = tiny("sd15", plus=True)
    pipe.image_encoder = None
    with pytest.raises(AdapterError, match=r"no image encoder.*image_encoder_folder=.*give null="): null_embedding(pipe)
