"The sticker world, the embedded model and its training: ground truth is exact, files open with plain diffusers, runs resume."
import json, shutil
import numpy as np, pytest, torch
from safetensors.torch import load_file
from anyms.stickers import model, train, world

EMBEDDED = pytest.mark.skipif(not (model.WEIGHTS/"checksums.json").exists(), reason="no embedded weights in this tree")


# ---- world -------------------------------------------------------------------------------------------------------

def test_the_world_is_as_large_as_promised():
    per_noun = {n: sum(s.noun == n for s in world.sprites()) for n in world.nouns()}
    assert len(per_noun) >= 100 and set(per_noun.values()) <= {4, 5, 6}
    assert len(world.PLACES) >= 8

def test_held_out_parts_never_enter_a_training_scene():
    what = world.scenes(3000, seed=5, stickers=(1, 5), words=len(world.nouns()))
    used = {world.sprites()[i].split for i in what.sprite.unique().tolist() if i >= 0}
    assert used == {"train"}

@pytest.mark.parametrize("split", ["drawing", "noun"])
def test_held_out_parts_can_be_asked_for(split):
    what = world.scenes(200, seed=5, stickers=(1, 3), words=len(world.nouns()), splits=(split,))
    assert {world.sprites()[i].split for i in what.sprite.unique().tolist() if i >= 0} == {split}

def test_a_tenth_is_held_out():
    by = {k: {s.noun for s in world.sprites() if s.split == k} for k in ("train", "noun")}
    assert len(by["noun"])/len(world.nouns()) >= .085 and not by["noun"] & by["train"]
    assert sum(s.split == "drawing" for s in world.sprites())/len(world.sprites()) >= .09

def test_same_seed_same_scene_and_size_does_not_matter():
    one, two = world.scenes(20, seed=3), world.scenes(20, seed=3)
    assert torch.equal(one.sprite, two.sprite) and torch.equal(one.box, two.box)
    assert torch.equal(world.paint(one), world.paint(two))
    small = torch.nn.functional.avg_pool2d(world.paint(one, (128, 128)), 4)
    assert (small-world.paint(one, (32, 32))).abs().mean() < .03

@pytest.mark.parametrize("size", [(64, 64), (48, 64), (64, 96)])
def test_boxes_are_the_visible_extent(size):
    h, w = size
    what = world.scenes(60, seed=11, stickers=(1, 1), words=len(world.nouns()), size=size)
    empty = world.Scenes(torch.full_like(what.sprite, -1), what.box, what.hue, what.place, what.u)
    changed = (world.paint(what, size)-world.paint(empty, size)).abs().amax(1) > .08
    for seen, box in zip(changed, what.box[:, 0]):
        ys, xs = torch.nonzero(seen, as_tuple=True)
        found = torch.tensor([xs.min()/w, ys.min()/h, (xs.max()+1)/w, (ys.max()+1)/h])
        inside = torch.tensor([-1/w, -1/h, 1/w, 1/h])*1.6
        assert ((found-box)*torch.sign(inside) <= inside.abs()).all()        # nothing is painted outside its box
        assert (found-box).abs().max() < .2                                   # and the box is not much too large

def test_stickers_keep_their_aspect():
    what = world.scenes(100, seed=2, stickers=(1, 3), size=(64, 128))
    for i, row in enumerate(what.sprite.tolist()):
        for j, k in enumerate(row):
            if k < 0: continue
            w, h = world.sprites()[k].cell[2:]
            x0, y0, x1, y1 = what.box[i, j].tolist()
            assert (x1-x0)*128/((y1-y0)*64) == pytest.approx(w/h, rel=1e-3)

@pytest.mark.parametrize("size", [(64, 64), (48, 80)])
def test_stickers_on_a_grid(size):
    "Corner and longest side in whole cells, aspect kept, everything inside; without `grid` the same scenes lie anywhere."
    on, free = (world.scenes(200, seed=2, stickers=(1, 3), size=size, grid=grid) for grid in (4, 0))
    assert torch.equal(on.sprite, free.sprite) and not torch.equal(on.box, free.box)
    pixels = torch.tensor([size[1], size[0]])
    corner, extent = on.box[..., :2]*pixels/4, (on.box[..., 2:]-on.box[..., :2])*pixels/4
    for number in (corner, extent.amax(-1)): assert (number-number.round()).abs().max() < 1e-3
    before = (free.box[..., 2:]-free.box[..., :2])*pixels
    assert torch.allclose(extent[..., 0]/extent[..., 1], before[..., 0]/before[..., 1], rtol=1e-3)
    assert on.box.min() >= 0 and on.box.max() <= 1+1e-6 and (on.box-free.box).abs().max() < 5/min(size)

def test_turning_the_hue_keeps_grey_and_returns_after_a_full_turn():
    turn = world.turn_hue(torch.tensor([.37, 1.]))
    assert torch.allclose(turn @ torch.ones(3), torch.ones(2, 3), atol=1e-3)
    assert torch.allclose(turn[1], torch.eye(3), atol=1e-3)

def test_captions():
    what = world.scenes(200, seed=1, stickers=(0, 3))
    for i in range(200):
        words, short = world.caption(what, i), world.caption(what, i, nouns=False)
        assert words.endswith(short) and all(n in words for n in what.nouns(i))
        if not what.nouns(i): assert words == short

@pytest.mark.parametrize("call, message", [
    (lambda: world.sprite("dragon"), r"noun='dragon' is not in the sticker world.*fox"),
    (lambda: world.sprite("owl", "fxemoji"), r"drawing='fxemoji'.*'owl' has no such drawing; choose one of .*noto"),
    (lambda: world.sprite("fox", "clipart"), r"drawing='clipart'.*choose one of"),
    (lambda: world.scenes(4, stickers=(3, 1)), r"stickers=\(3, 1\).*least <= most"),
    (lambda: world.scenes(4, stickers=(1, 9)), r"stickers=\(1, 9\).*<= 5"),
    (lambda: world.scenes(4, words=2, stickers=(3, 3)), r"words=2.*only 2 nouns are left for 3 stickers"),
    (lambda: world.scenes(4, splits=("test",)), r"splits=\('test',\).*only 0 nouns"),
])
def test_bad_requests_to_the_world(call, message):
    with pytest.raises(ValueError, match=message): call()


# ---- model -------------------------------------------------------------------------------------------------------

def test_every_caption_fits_the_tokenizer():
    tokenizer = model.make_tokenizer()
    what = world.scenes(300, seed=4, stickers=(5, 5), words=len(world.nouns()))
    assert max(len(tokenizer(world.caption(what, i)).input_ids) for i in range(300)) <= tokenizer.model_max_length
    assert all(len(tokenizer.tokenize(noun)) == 1 for noun in world.nouns())

def test_the_encoder_is_exactly_the_principal_projection():
    "A linear map of 8x8 patches (2x2 averages, then principal components) that loses only the components it leaves out."
    vae = model.make_autoencoder()
    share = model.principal_encoder(vae, n=200)
    assert share.sum() > .97 and (share[:-1] >= share[1:]).all()
    seen = vae.encode(world.paint(world.scenes(200, seed=1, stickers=(0, 5), words=len(world.nouns()), hue=.3), (128, 128))*2-1).latents.detach()
    assert (seen*vae.config.scaling_factor).var((0, 2, 3)).mean() == pytest.approx(1, abs=.1)   # what the U-Net sees has mean square 1
    one, two = torch.rand(2, 1, 3, 32, 32)
    encode = lambda x: vae.encode(x*2-1).latents
    assert torch.allclose(encode((one+two)/2), (encode(one)+encode(two))/2, atol=1e-5)
    moved = torch.roll(one, (8, 16), (2, 3))
    assert torch.allclose(encode(moved), torch.roll(encode(one), (1, 2), (2, 3)), atol=1e-5)

def test_orthogonal_is_the_iteration_on_whole_matrices():
    "The small square side alone gives what Newton-Schulz on the matrix itself gives; singular values go near 1."
    g = torch.randn(3, 40, 96, generator=torch.Generator().manual_seed(0))
    x = g/g.norm(dim=(1, 2), keepdim=True)
    for _ in range(5): a = x @ x.mT; x = 3.4445*x+(-4.7750*a+2.0315*a@a) @ x
    assert torch.allclose(train.orthogonal(g), x, atol=1e-4) and torch.allclose(train.orthogonal(g.mT), x.mT, atol=1e-4)
    assert ((torch.linalg.svdvals(x) > .6) & (torch.linalg.svdvals(x) < 1.3)).all()

def test_adapter_file_round_trip(tmp_path):
    "What `save` writes, diffusers' own loader reads back to the very same numbers (in half precision)."
    pipe = model.make_pipeline(); model.attach_new_adapter(pipe)
    first = {k: v.half().float() for k, v in model.adapter_parts(pipe.unet)[0].state_dict().items()}
    keys = {i: p.to_k_ip[0].weight.half().float() for i, p in model.adapter_parts(pipe.unet)[1].items()}
    model.save(pipe, tmp_path)
    again = model.load(tmp_path)
    second, processors = model.adapter_parts(again.unet)
    assert all(torch.equal(v, second.state_dict()[k]) for k, v in first.items())
    assert all(torch.equal(v, processors[i].to_k_ip[0].weight) for i, v in keys.items())

@EMBEDDED
def test_embedded_weights_open_with_plain_diffusers():
    from diffusers import StableDiffusionXLPipeline
    pipe = StableDiffusionXLPipeline.from_pretrained(model.WEIGHTS/"base", local_files_only=True)
    pipe.load_ip_adapter(str(model.WEIGHTS), subfolder="", weight_name=model.ADAPTER, image_encoder_folder=None, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    picture = pipe("on the beach", ip_adapter_image=world.sprite("fox").convert("RGB"), num_inference_steps=4, guidance_scale=3.).images[0]
    assert picture.size == (128, 128) and np.asarray(picture).std() > 10

@EMBEDDED
def test_embedded_weights_are_small_and_whole():
    files = [f for f in model.WEIGHTS.rglob("*") if f.is_file()]
    assert sum(f.stat().st_size for f in files) <= 60e6 and max(f.stat().st_size for f in files) < 16e6
    assert set(model.check_weights().values()) == {"ok"}

@EMBEDDED
def test_damaged_or_missing_weights_are_named(tmp_path):
    copy = tmp_path/"weights"; shutil.copytree(model.WEIGHTS, copy)
    file = copy/"base"/"vae"/"diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-8]+b"damaged!")
    with pytest.raises(OSError, match=r"vae.*is damaged; reinstall"): model.load(copy)
    (copy/model.ADAPTER).unlink()
    with pytest.raises(OSError, match=r"ip-adapter.*is missing"): model.load(copy)
    with pytest.raises(FileNotFoundError, match=r"no checksums.json.*anyms train"): model.load(tmp_path)


# ---- training ----------------------------------------------------------------------------------------------------

def test_from_scratch_or_from_published_weights():
    "A new run goes on from the weights that are shipped, and counts on from what they have seen."
    pipe, before = train.begin(None)
    assert before == {} and sum(p.numel() for p in pipe.unet.parameters()) > 4e6
    if (model.WEIGHTS/"training.json").exists(): assert train.begin()[1]["joint"]["seen"] > 0

@pytest.mark.parametrize("call, error, message", [
    (dict(stage="everything", minutes=1), ValueError, r"stage='everything': choose one of joint"),
    (dict(stage="joint", minutes=0), ValueError, r"minutes=0: give the time box in minutes"),
    (dict(stage="joint", minutes=-3), ValueError, r"minutes=-3: .*more than 0"),
    (dict(stage="joint", minutes=1, resume=False), FileExistsError, r"already holds a run of 'joint'; drop resume=False"),
])
def test_bad_requests_to_training(tmp_path, call, error, message):
    (tmp_path/"joint").mkdir()
    (tmp_path/"joint"/"state.json").write_text("{}")
    with pytest.raises(error, match=message): train.train(**call, out=tmp_path)
