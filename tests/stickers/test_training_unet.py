"The U-Net under training: the pipeline's own arithmetic, nothing left behind, every part can be learned."
import pytest, torch
from anyms.attention.adapter import find_processors
from anyms.stickers.model.networks import REFERENCE_SIZE
from anyms.stickers.model.weights import WEIGHTS, load
from anyms.stickers.world.rendering import references
from anyms.stickers.training.batches import caption_batch, close_up_batch
from anyms.stickers.training.cells import fit_cell_probe, make_heads, pretrain_tokens
from anyms.stickers.training.conditioning import (SIZE_CONDITION, bypass_resampler, encode_image, encode_prompt,
                                                 predict_velocity, replace_adapter)
from anyms.stickers.training.loop import TrainState
from anyms.stickers.training.losses import fit_feature_probes, total_loss, training_losses
from anyms.stickers.training.recipe import Recipe
from anyms.stickers.training.stages import joint_modules, make_batch
from anyms.stickers.training.supervision import supervised, SupervisedAttnProcessor
from anyms.stickers.training.windows import region_batch

EMBEDDED = pytest.mark.skipif(not (WEIGHTS/"checksums.json").exists(), reason="no embedded weights in this tree")
SILENT = dict(report=lambda *args, **kw: None)
BATCHES = [lambda step: region_batch(step, 6), lambda step: region_batch(step, 6, 40), lambda step: close_up_batch(step, 8)]
NAMES = ["region", "window", "close-up"]

@pytest.fixture(scope="module")
def pipe(): return load()

@EMBEDDED
@torch.no_grad()
def test_finished_tokens_are_what_a_pipeline_makes(pipe):
    "Same prediction as diffusers with raw embeddings, with and without the training processors; without tokens the branch is off."
    pixels = references(torch.tensor([3, 50]), torch.zeros(2), REFERENCE_SIZE)*2-1
    z, t = torch.randn(2, 12, 16, 16, generator=torch.Generator().manual_seed(0)), torch.tensor([700, 200])
    side, said = SIZE_CONDITION, ["a fox on the beach", ""]
    context, pooled = encode_prompt(pipe, said)
    embeds = pipe.image_encoder(pixels, output_hidden_states=True).hidden_states[-2][:, None]
    time_ids = torch.tensor([[side, side, 0, 0, side, side]]).float().expand(2, 6)
    added = dict(text_embeds=pooled, time_ids=time_ids, image_embeds=[embeds])
    tokens = encode_image(pipe, pixels)
    pipe.set_ip_adapter_scale(1.)
    usual, mine = pipe.unet(z, t, context, added_cond_kwargs=added).sample, predict_velocity(pipe, z, t, said, tokens)
    assert torch.allclose(mine, usual, atol=1e-4)
    with supervised(pipe.unet) as supervision:
        assert torch.allclose(predict_velocity(pipe, z, t, said, tokens), usual, atol=1e-4)
        silent = {n: torch.zeros(2, 1, n, 1) for n in (256, 64, 16)}
        supervision.reset(silent)
        assert torch.allclose(predict_velocity(pipe, z, t, said, tokens), predict_velocity(pipe, z, t, said), atol=1e-5)
    pipe.set_ip_adapter_scale(0.)
    off = pipe.unet(z, t, context, added_cond_kwargs=added).sample
    pipe.set_ip_adapter_scale(1.)
    assert torch.allclose(predict_velocity(pipe, z, t, said), off, atol=1e-4) and not torch.allclose(off, usual, atol=1e-2)

@EMBEDDED
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_training_processors_leave_no_trace(pipe, error):
    unet = pipe.unet
    before, names, projection = dict(unet.attn_processors), list(unet.state_dict()), unet.encoder_hid_proj
    def hooks(): return sum(len(m._forward_hooks) for m in unet.modules())
    had = hooks()
    with pytest.raises(error):
        with supervised(unet):
            assert list(unet.state_dict()) == names                      # the same weights under the same names
            with bypass_resampler(unet): raise error
    assert dict(unet.attn_processors) == before and unet.encoder_hid_proj is projection and hooks() == had

@EMBEDDED
def test_supervised_twice_is_refused(pipe):
    with supervised(pipe.unet):
        with pytest.raises(RuntimeError, match="supervised already"):
            with supervised(pipe.unet): pass
        assert any(isinstance(p, SupervisedAttnProcessor) for p in pipe.unet.attn_processors.values())

@EMBEDDED
@pytest.mark.parametrize("make", [*BATCHES, lambda step: caption_batch(step, 4)], ids=[*NAMES, "words"])
def test_every_part_can_be_learned(make):
    "The loss of one batch falls within a few steps, and every net that is trained gets a gradient."
    pipe = load()
    heads = make_heads(pipe)
    modules = torch.nn.ModuleDict(dict(joint_modules(pipe), heads=heads))
    pipe.vae.requires_grad_(False)
    adam, seen, batch, recipe = torch.optim.Adam([p for p in modules.parameters() if p.requires_grad], 3e-4), [], make(1), Recipe()
    with supervised(pipe.unet) as supervision:
        fit_feature_probes(pipe, heads, supervision, 4)
        for _ in range(5):
            loss = total_loss(training_losses(pipe, heads, supervision, batch, 0, recipe), recipe)
            seen.append(loss.item())
            adam.zero_grad()
            loss.backward()
            adam.step()
    assert seen[-1] < .9*seen[0], seen
    trained = ["unet", "text_encoder", "text_encoder_2", "heads"]+["image_encoder"]*(batch.references is not None)
    for name in trained: assert any(p.grad is not None and p.grad.abs().max() > 0 for p in modules[name].parameters()), name

@EMBEDDED
def test_reading_is_taught_to_the_adapter(pipe):
    "The lesson's gradient reaches the image keys of the asked layers, and of no others."
    heads, batch = make_heads(pipe), close_up_batch(1, 4)
    pipe.unet.zero_grad()
    with supervised(pipe.unet) as supervision: training_losses(pipe, heads, supervision, batch, 0)["attention"].backward()
    for name, processor in find_processors(pipe.unet).items():
        if name.startswith("up_blocks.2"): assert processor.to_k_ip[0].weight.grad.abs().max() > 0, name
        assert processor.to_v_ip[0].weight.grad is None or not name.startswith("up_blocks.2.attentions.1")
    pipe.unet.zero_grad()

@EMBEDDED
def test_a_new_adapter_learns_its_cells():
    "Tokens of an untrained adapter do not know their cells, and a few steps teach them something; those of trained weights know."
    pipe = load()
    heads = make_heads(pipe)
    known = fit_cell_probe(pipe, heads)
    replace_adapter(pipe)
    new = fit_cell_probe(pipe, heads)
    pretrain_tokens(pipe, heads, minutes=10, steps=25, batch=12, **SILENT)
    assert fit_cell_probe(pipe, heads) < .9*new and known < .1 < new

@EMBEDDED
def test_resumed_run_is_bitwise_the_uninterrupted_one(tmp_path):
    "Weights, average, optimiser state, batches and noises come back exactly: four steps are two and two."
    def steps(run, pipe, heads, n):
        with supervised(pipe.unet) as supervision:
            for _ in range(n):
                batch = make_batch(run.step, 3, Recipe(mix="sc"))
                total_loss(training_losses(pipe, heads, supervision, batch, run.step), Recipe()).backward()
                run.update(0., len(batch))
    def start(folder):
        torch.manual_seed(0)
        pipe = load()
        pipe.vae.requires_grad_(False)
        heads = make_heads(pipe)
        return TrainState(folder, dict(joint_modules(pipe), heads=heads), 6e-4, 2e-3), pipe, heads
    whole = start(tmp_path/"whole")
    steps(*whole, 2)
    whole[0].call_steps = 0                       # a later call warms up again
    steps(*whole, 2)
    first = start(tmp_path/"halves")
    steps(*first, 2)
    first[0].save()
    second = start(tmp_path/"halves")
    assert second[0].resumed and second[0].step == 2
    steps(*second, 2)
    one, two = whole[0].modules.state_dict(), second[0].modules.state_dict()
    assert all(torch.equal(v, two[k]) for k, v in one.items())
    assert all(torch.equal(v, second[0].ema[k]) for k, v in whole[0].ema.items())
