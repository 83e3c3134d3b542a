"The recipe of `anyms train joint`: masks and targets by hand, one reference and no box, nothing left in the pipeline, runs that resume."
import inspect, json
import pytest, torch
from safetensors.torch import load_file, save_file
from anyms.layout import Box, Layout, Subject, levels
from anyms.stickers import model, train, world

EMBEDDED = pytest.mark.skipif(not (model.WEIGHTS/"checksums.json").exists(), reason="no embedded weights in this tree")
SILENT = dict(report=lambda *args, **kw: None)
BATCHES = [lambda step: train.regions(step, 6), lambda step: train.regions(step, 6, 40), lambda step: train.close_ups(step, 8)]
NAMES = ["region", "window", "close-up"]


def one_sticker(box, place=0):
    "A scene of one square sticker in a given box."
    square = next(i for i, s in enumerate(world.sprites()) if s.split == "train" and s.cell[2] == s.cell[3])
    return world.Scenes(torch.tensor([[square]]), torch.tensor([[box]]), torch.zeros(1, 1), torch.tensor([place]), torch.rand(1, 8))

@pytest.fixture(scope="module")
def pipe(): return model.load()


# ---- what is shown -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("make", BATCHES, ids=NAMES)
def test_one_reference_for_each_picture(make):
    "`of` holds one number a picture, references are training drawings, and it shows the very sticker that the reference shows."
    for step in range(6):
        batch = make(step)
        assert batch.of.shape == batch.zoom.shape == batch.slot.shape == (len(batch),) == (len(batch.captions),)
        assert batch.pixels.shape[1:] == (3, model.REFERENCE, model.REFERENCE) and int(batch.of.max()) < len(batch.pixels)
        used = [k for k in batch.what.sprite.flatten().tolist() if k >= 0]
        assert {world.sprites()[k].split for k in used} <= {"train"}

@pytest.mark.parametrize("make", BATCHES, ids=NAMES)
def test_no_reference_means_an_empty_place(make):
    "That is what lets the picture outside all boxes stay empty."
    grey = 0
    for step in range(12):
        batch = make(step)
        for i in range(len(batch)):
            if (batch.pixels[batch.of[i]] == 0).all():
                grey += 1
                assert batch.what.sprite[i, batch.slot[i]] == -1
            else: assert batch.what.sprite[i, batch.slot[i]] >= 0
    assert grey > 0

def test_the_reference_shows_the_sticker_of_its_slot():
    "Painted by itself with the same zoom, the sticker of the slot has the reference's colours."
    for step in (1, 2, 3):
        batch = train.regions(step, 8)
        for i in range(8):
            if (batch.pixels[i] == 0).all(): continue
            k = batch.slot[i]
            again = world.references(batch.what.sprite[i, k][None], batch.what.hue[i, k][None], model.REFERENCE, batch.pixels[i, :, :1, 0].T/2+.5, batch.zoom[i][None])
            assert torch.allclose(again[0], batch.pixels[i]/2+.5, atol=1e-5)

def test_heard_stickers_are_copies_of_one():
    "Modes with several heard places hold one drawing; other modes are heard at one place only."
    kinds = set()
    for step in range(16):
        batch = train.regions(step, 6)
        for row in batch.what.sprite.tolist():
            stickers = [k for k in row if k >= 0]
            kinds.add((len(stickers), len(set(stickers))))
    assert (2, 1) in kinds or (3, 1) in kinds            # the same sticker twice
    assert any(different > 1 for _, different in kinds)   # others beside it

def test_nothing_but_a_mask_carries_a_place():
    for function in (train.predict, train.encode_references, train.encode_captions):
        assert not {"box", "boxes", "region", "layout", "mask"} & set(inspect.signature(function).parameters)

def test_shared_references():
    batch = train.close_ups(2, 16, share=4)
    assert len(batch.pixels) == 5 and (batch.pixels[4] == 0).all()
    present = batch.of < 4
    assert torch.equal(batch.of[present], (torch.arange(16)//4)[present])
    assert len({tuple(b) for b in batch.what.box[:4, 0].tolist()}) == 4   # other places and sizes

def test_windows_show_what_the_scene_shows():
    "A window's pixels are the scene's, and its boxes are where the stickers are in it."
    batch = train.regions(3, 6, 40)
    assert batch.pictures.shape == (6, 3, 40, 40)
    empty = world.Scenes(torch.full_like(batch.what.sprite, -1), batch.what.box, batch.what.hue, batch.what.place, batch.what.u)
    painted = [world._layer(batch.what.sprite[:, k], batch.what.box[:, k], batch.what.hue[:, k], (40, 40))[:, 3] for k in range(batch.what.sprite.shape[1])]
    alone = (batch.what.sprite >= 0).sum(1) == 1
    for i in alone.nonzero()[:, 0].tolist():
        k = int((batch.what.sprite[i] >= 0).nonzero()[0])
        inside = painted[k][i] > .99
        layer = world._layer(batch.what.sprite[i:i+1, k], batch.what.box[i:i+1, k], batch.what.hue[i:i+1, k], (40, 40))[0, :3]
        assert (batch.pictures[i][:, inside]-layer[:, inside].clamp(0, 1)).abs().mean() < .03
    assert len(empty) == 6

def test_captions_may_say_more_than_is_seen():
    "With `more` some caption names a noun that does not stand in the picture; without it none does."
    def strangers(recipe):
        found = 0
        for step in range(10):
            batch = train.regions(step, 8, 40, recipe)
            for i, said in enumerate(batch.captions):
                here = set(batch.what.nouns(i))
                found += any(noun in said.replace(",", "").split() and noun not in here for noun in world.nouns()[:world.CORE])
        return found
    assert strangers(train.Recipe()) > 0 == strangers(train.Recipe(more=False))

def test_noise_levels():
    rng = lambda: torch.Generator().manual_seed(0)
    drawn, even = train.timesteps(8000, 1000, rng()), train.timesteps(8000, 1000, rng(), decisive=False)
    assert 0 <= int(drawn.min()) and int(drawn.max()) < 1000
    assert (drawn >= 820).float().mean() > .28 > .22 > (even >= 820).float().mean()-.02 and (drawn < 300).float().mean() < .18


# ---- what is asked, by hand --------------------------------------------------------------------------------------

def test_regions_by_hand():
    "On 4 x 4 tokens: the left half; two rectangles together; at least one token; everywhere."
    box = torch.tensor([[[0, 0, .5, 1.], [.75, .75, 1, 1]]])
    yes, no = torch.ones(1, 2, dtype=torch.bool), torch.zeros(1, dtype=torch.bool)
    left = train.heard(box, torch.tensor([[True, False]]), no, (4, 4)).view(4, 4)
    assert torch.equal(left, torch.tensor([[1., 1, 0, 0]]*4))
    both = train.heard(box, yes, no, (4, 4)).view(4, 4)
    assert both.sum() == 9 and both[3, 3] == 1
    thin = torch.tensor([[[.51, .51, .52, .52]]])
    assert train.heard(thin, yes[:, :1], no, (4, 4)).sum() == 1
    assert train.heard(thin, yes[:, :1], ~no, (4, 4)).sum() == 16
    edge = torch.tensor([[[1., 1, 1, 1]]])
    assert train.heard(edge, yes[:, :1], no, (4, 4)).view(4, 4)[3, 3] == 1

@pytest.mark.parametrize("side", [64, 48, 40, 32])
def test_regions_round_as_layouts_do(side):
    rng = torch.Generator().manual_seed(side)
    yes, no = torch.ones(1, 1, dtype=torch.bool), torch.zeros(1, dtype=torch.bool)
    for _ in range(20):
        a, b = torch.rand(2, 2, generator=rng).sort(0).values
        if ((b-a) < .1).any(): continue
        box = Box(*map(float, [*a, *b]))
        layout = Layout([Subject("fox", world.sprite("fox"), box)])
        for grid in levels((side//4,)*2, 3):
            mine = train.heard(torch.tensor([[list(map(float, [*a, *b]))]]), yes, no, grid)[0, 0, :, 0].bool()
            assert torch.equal(mine, layout.cover(grid)[0])

def test_reading_by_hand():
    "A square sticker over the whole picture, as large as its reference: 6 x 6 positions read the 6 x 6 cells, one each."
    what = one_sticker([0., 0, 1, 1])
    target, weight = train.token_targets(what, torch.zeros(1, dtype=torch.long), torch.ones(1), (24, 24))[36]
    inside = weight[0] > .2
    assert inside.any() and torch.allclose(target[0][inside], torch.eye(36)[inside], atol=1e-5)

def test_reading_in_a_smaller_reference():
    "In a reference where the sticker takes half of each side, its corner positions read the four middle cells' surroundings."
    weights = train.bilinear(torch.tensor([.5, .5]).view(1, 2, 1, 1))
    assert weights.view(6, 6)[2:4, 2:4].sum() == 1 and (weights.view(6, 6)[2:4, 2:4] == .25).all()
    what = one_sticker([0., 0, 1, 1])
    target, weight = train.token_targets(what, torch.zeros(1, dtype=torch.long), torch.tensor([.5]), (64, 64))[256]
    read = target[0][weight[0] > .2].sum(0).view(6, 6)
    assert read[0].sum() == read[:, 5].sum() == 0 and read[1:5, 1:5].sum() > 0

def test_reading_on_the_coarser_grid_is_the_mean():
    what = one_sticker([.25, .25, .75, .75])
    targets = train.token_targets(what, torch.zeros(1, dtype=torch.long), torch.ones(1), (64, 64))
    for share, weight in targets.values():
        rows = weight[0] > .05
        assert torch.allclose(share[0][rows].sum(-1), torch.ones(int(rows.sum())), atol=1e-4)
        assert (share[0][weight[0] == 0] == 0).all()
    fine, coarse = (targets[n][1][0] for n in (256, 64))
    assert torch.allclose(coarse.view(8, 8), fine.view(8, 2, 8, 2).mean((1, 3)))

def test_geometry_by_hand():
    "Mask in the box alone; u grows to the right and v downwards, both from -1 to 1."
    mask, place = train.geometry(one_sticker([.25, .25, .75, .75]), (64, 64))
    outside = torch.ones(16, 16, dtype=torch.bool); outside[4:12, 4:12] = False
    assert mask[0, 0][outside].abs().max() == 0 < mask[0, 0, 7, 7]
    u, v = place[0]
    assert torch.allclose(u[8, 4:12], torch.linspace(-7/8, 7/8, 8), atol=1e-5) or (mask[0, 0, 8, 4:12] <= .35).any()
    assert torch.allclose(u[8, 8], torch.tensor(1/8), atol=1e-5) and torch.allclose(v[6, 8], torch.tensor(-3/8), atol=1e-5)

def test_what_lies_on_top_hides_and_names_the_place():
    what = one_sticker([0., 0, 1, 1])
    two = world.Scenes(what.sprite.repeat(1, 2), what.box.repeat(1, 2, 1), what.hue.repeat(1, 2), what.place, what.u)
    under, top = (train.visible(two, torch.tensor([k]), (64, 64)) for k in (0, 1))
    there = train.alpha(two, 0, (64, 64))
    assert torch.equal(top, there) and torch.allclose(under, there*(1-there))

def test_every_token_is_asked_for_its_own_cell():
    "Right answers cost nothing, and a wrong answer of one token costs as much as of any other."
    pixels = torch.rand(2, 3, model.REFERENCE, model.REFERENCE)*2-1
    right = torch.stack([pixels[:, :, 8*i:8*i+8, 8*j:8*j+8].flatten(1) for i in range(6) for j in range(6)], 1)
    assert right.shape[1] == model.TOKENS and train.cell_loss(torch.nn.Identity(), right, pixels) < 1e-12
    costs = []
    for token in range(model.TOKENS):
        wrong = right.clone()
        wrong[:, token] += 1
        costs.append(float(train.cell_loss(torch.nn.Identity(), wrong, pixels)))
    assert max(costs)-min(costs) < 1e-6 < min(costs)

def test_probes_are_the_best_linear_ones():
    rng = torch.Generator().manual_seed(0)
    x, true = torch.randn(400, 5, generator=rng), torch.randn(3, 5, generator=rng)
    y, weight = x @ true.T+2, torch.rand(400, 3, generator=rng)
    y[:200, 1], weight[:200, 1] = 77, 0                                 # wrong answers that nobody asks for
    for probe in (torch.nn.Linear(5, 3), torch.nn.Conv2d(5, 3, 1)):
        train.least_squares(probe, x, y, weight, 1e-6)
        assert torch.allclose(probe.weight.view(3, 5), true, atol=1e-2) and torch.allclose(probe.bias, torch.full((3,), 2.), atol=1e-2)


# ---- the U-Net under training ------------------------------------------------------------------------------------

@EMBEDDED
@torch.no_grad()
def test_finished_tokens_are_what_a_pipeline_makes(pipe):
    "Same prediction as diffusers with raw embeddings, with and without the training processors; without tokens the branch is off."
    pixels = world.references(torch.tensor([3, 50]), torch.zeros(2), model.REFERENCE)*2-1
    z, t, said = torch.randn(2, 12, 16, 16, generator=torch.Generator().manual_seed(0)), torch.tensor([700, 200]), ["a fox on the beach", ""]
    context, pooled = train.encode_captions(pipe, said)
    embeds = pipe.image_encoder(pixels, output_hidden_states=True).hidden_states[-2][:, None]
    added = dict(text_embeds=pooled, time_ids=torch.tensor([[train.SIDE, train.SIDE, 0, 0, train.SIDE, train.SIDE]]).float().expand(2, 6), image_embeds=[embeds])
    tokens = train.encode_references(pipe, pixels)
    pipe.set_ip_adapter_scale(1.)
    usual, mine = pipe.unet(z, t, context, added_cond_kwargs=added).sample, train.predict(pipe, z, t, said, tokens)
    assert torch.allclose(mine, usual, atol=1e-4)
    with train.taught(pipe.unet) as lesson:
        assert torch.allclose(train.predict(pipe, z, t, said, tokens), usual, atol=1e-4)
        silent = {n: torch.zeros(2, 1, n, 1) for n in (256, 64, 16)}
        lesson.begin(silent)
        assert torch.allclose(train.predict(pipe, z, t, said, tokens), train.predict(pipe, z, t, said), atol=1e-5)
    pipe.set_ip_adapter_scale(0.)
    off = pipe.unet(z, t, context, added_cond_kwargs=added).sample
    pipe.set_ip_adapter_scale(1.)
    assert torch.allclose(train.predict(pipe, z, t, said), off, atol=1e-4) and not torch.allclose(off, usual, atol=1e-2)

@EMBEDDED
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_training_processors_leave_no_trace(pipe, error):
    unet = pipe.unet
    before, names, projection = dict(unet.attn_processors), list(unet.state_dict()), unet.encoder_hid_proj
    hooks = lambda: sum(len(m._forward_hooks) for m in unet.modules())
    had = hooks()
    with pytest.raises(error):
        with train.taught(unet):
            assert list(unet.state_dict()) == names                      # the same weights under the same names
            with train.finished_tokens(unet): raise error
    assert dict(unet.attn_processors) == before and unet.encoder_hid_proj is projection and hooks() == had

@EMBEDDED
def test_taught_twice_is_refused(pipe):
    with train.taught(pipe.unet):
        with pytest.raises(RuntimeError, match="taught already"):
            with train.taught(pipe.unet): pass
        assert any(isinstance(p, train.TaughtAttention) for p in pipe.unet.attn_processors.values())

@EMBEDDED
@pytest.mark.parametrize("make", [*BATCHES, lambda step: train.words_only(step, 4)], ids=[*NAMES, "words"])
def test_every_part_can_be_learned(make):
    "The loss of one batch falls within a few steps, and every net that is trained gets a gradient."
    pipe = model.load()
    heads = train.make_heads(pipe)
    pupils = torch.nn.ModuleDict(dict(train.parts(pipe), heads=heads))
    pipe.vae.requires_grad_(False)
    adam, seen, batch, recipe = torch.optim.Adam([p for p in pupils.parameters() if p.requires_grad], 3e-4), [], make(1), train.Recipe()
    with train.taught(pipe.unet) as lesson:
        train.fit_probes(pipe, heads, lesson, 4)
        for _ in range(5):
            loss = train.total(train.losses(pipe, heads, lesson, batch, 0, recipe), recipe)
            seen.append(loss.item())
            adam.zero_grad()
            loss.backward()
            adam.step()
    assert seen[-1] < .9*seen[0], seen
    taught = ["unet", "text_encoder", "text_encoder_2", "heads"]+["image_encoder"]*(batch.pixels is not None)
    for name in taught: assert any(p.grad is not None and p.grad.abs().max() > 0 for p in pupils[name].parameters()), name

@EMBEDDED
def test_reading_is_taught_to_the_adapter(pipe):
    "The lesson's gradient reaches the image keys of the asked layers, and of no others."
    heads, batch = train.make_heads(pipe), train.close_ups(1, 4)
    pipe.unet.zero_grad()
    with train.taught(pipe.unet) as lesson: train.losses(pipe, heads, lesson, batch, 0)["attention"].backward()
    for name, processor in train.find_processors(pipe.unet).items():
        if name.startswith("up_blocks.2"): assert processor.to_k_ip[0].weight.grad.abs().max() > 0, name
        assert processor.to_v_ip[0].weight.grad is None or not name.startswith("up_blocks.2.attentions.1")
    pipe.unet.zero_grad()

@EMBEDDED
def test_a_new_adapter_learns_its_cells():
    "Tokens of an untrained adapter do not know their cells, and a few steps teach them something; those of trained weights know."
    pipe = model.load()
    heads = train.make_heads(pipe)
    known = train.fit_cells(pipe, heads, 16)
    train.new_adapter(pipe)
    new = train.fit_cells(pipe, heads, 16)
    train.teach_tokens(pipe, heads, minutes=10, steps=25, batch=12, **SILENT)
    assert train.fit_cells(pipe, heads, 16) < .9*new and known < .1 < new

@EMBEDDED
def test_resumed_run_is_bitwise_the_uninterrupted_one(tmp_path):
    "Weights, average, optimiser state, batches and noises come back exactly: four steps are two and two."
    def steps(run, pipe, heads, n):
        with train.taught(pipe.unet) as lesson:
            for _ in range(n):
                batch = train.make_batch(run.step, 3, train.Recipe(mix="sc"))
                train.total(train.losses(pipe, heads, lesson, batch, run.step), train.Recipe()).backward()
                run.update(0., len(batch))
    def begin(folder):
        torch.manual_seed(0)
        pipe = model.load()
        pipe.vae.requires_grad_(False)
        heads = train.make_heads(pipe)
        return train.Run(folder, dict(train.parts(pipe), heads=heads), 6e-4, 2e-3), pipe, heads
    whole = begin(tmp_path/"whole")
    steps(*whole, 2)
    whole[0].since = 0                       # a later call warms up again
    steps(*whole, 2)
    first = begin(tmp_path/"halves")
    steps(*first, 2)
    first[0].save()
    second = begin(tmp_path/"halves")
    assert second[0].resumed and second[0].step == 2
    steps(*second, 2)
    one, two = whole[0].modules.state_dict(), second[0].modules.state_dict()
    assert all(torch.equal(v, two[k]) for k, v in one.items())
    assert all(torch.equal(v, second[0].average[k]) for k, v in whole[0].average.items())


# ---- runs --------------------------------------------------------------------------------------------------------

@EMBEDDED
def test_joint_run_tells_resumes_and_publishes(tmp_path):
    "Progress in words, pictures by kind, core-hours; the second call goes on; what is published opens and can be trained on."
    lines = []
    tell = lambda line, **kw: lines.append(line)
    first = train.train_joint(tmp_path, minutes=.02, batch=2, report=tell)
    assert first.step > 0 and lines[0].startswith("joint: starts in") and "pictures seen" in lines[-1] and "core-hours" in lines[-1]
    step, seen = first.step, first.seen
    moments = load_file(tmp_path/"joint"/"optimiser.safetensors")
    assert any(float(v) == step for k, v in moments.items() if k.endswith(".step"))
    again = train.train_joint(tmp_path, minutes=.02, batch=2, report=tell)
    assert again.step > step and any(line.startswith("joint: goes on with") and f"step {step:,}" in line for line in lines)
    state = json.loads((tmp_path/"joint"/"state.json").read_text())
    assert state["step"] == again.step and state["core_hours"] > 0 and not list(tmp_path.rglob("*.part"))
    known = json.loads((model.WEIGHTS/"training.json").read_text())["stages"].get("joint", {})
    assert sum(state["pictures"].values())-sum(known.get("pictures", {}).values()) == again.seen-known.get("seen", 0)
    assert seen < again.seen
    train.publish(tmp_path, tmp_path/"weights")
    assert set(model.check_weights(tmp_path/"weights").values()) == {"ok"}
    card = json.loads((tmp_path/"weights"/"training.json").read_text())
    assert card["stages"]["joint"]["seen"] == again.seen and set(card["stages"]["joint"]["pictures"]) <= {"region", "window", "close-up", "words"}
    point = card["curve"][-1]
    assert point["seen"] == again.seen and len(point["inside"]["drawing"]) == 4 and len(point["words"]) == 3 and point["core_hours"] > 0
    pipe, stages = train.begin(tmp_path/"weights")
    assert stages["joint"]["seen"] == again.seen and pipe.unet.encoder_hid_proj is not None

@EMBEDDED
def test_training_goes_on_from_weights_of_another_making(tmp_path, monkeypatch):
    "A folder of `model.save` with an empty card, as a trial leaves it: it opens, counts from nothing, and is published with what is known."
    monkeypatch.setattr(train, "clean_error", lambda pipe: dict(words=[0.]*3, reference=[0.]*3))   # measured for real in the test above
    monkeypatch.setattr(train, "unseen_error", lambda pipe, split: [0.]*4)
    monkeypatch.setattr(train, "psnr", lambda vae: 30.)
    pipe = model.load()
    model.save(pipe, tmp_path/"trial", dict(stages={}, curve=[], note="a trial"))
    run = train.train_joint(tmp_path/"run", minutes=.001, batch=2, start=tmp_path/"trial", **SILENT)
    assert run.step >= 1 and sum(run.pictures.values()) == run.seen
    known = dict(stages={"joint": dict(step=7, seen=1234, pictures={"words": 1234}, core_hours=1.5, log=[dict(seen=1234, minutes=1., loss=.3)])}, curve=[])
    train.publish(tmp_path/"nothing", tmp_path/"weights", tmp_path/"trial", known)
    card = json.loads((tmp_path/"weights"/"training.json").read_text())
    assert card["stages"] == known["stages"] and card["curve"][0]["seen"] == 1234 and card["curve"][0]["pictures"] == {"words": 1234}

def test_interrupted_run_is_saved(tmp_path):
    "Ctrl-C in the middle of a step: the run says so, keeps the steps before, and goes on later."
    lines, net = [], torch.nn.Linear(2, 2)
    run = train.Run(tmp_path/"net", dict(net=net), 1e-3)
    def body(step):
        if step == 3: raise KeyboardInterrupt
        net(torch.ones(1, 2)).sum().backward()
        return 1., 5
    train.timed(run, 1., body, report=lambda line, **kw: lines.append(line))
    assert "interrupted" in lines[-1] and json.loads((tmp_path/"net"/"state.json").read_text())["seen"] == 15
    assert train.Run(tmp_path/"net", dict(net=net), 1e-3).step == 3

def test_training_says_how_far_it_is(tmp_path):
    "The opening, time left and pictures and loss on the way, and the end; never a silent call."
    lines, net = [], torch.nn.Linear(2, 2)
    def body(step):
        net(torch.ones(1, 2)).sum().backward()
        return .25, 4
    run = train.Run(tmp_path/"net", dict(net=net), 1e-3)
    train.timed(run, .06, body, report=lambda line, **kw: lines.append(line))
    assert lines[0].startswith("net: starts in") and "saved in" in lines[-1]
    assert any("s left" in line and "pictures seen" in line and "loss 0.25" in line for line in lines[1:-1]), lines

def test_mix_of_parts():
    recipe = train.Recipe()
    assert [train.make_batch(step, 3, recipe).kind for step in range(4)] == ["region", "words", "window", "words"]
    with pytest.raises(ValueError, match="mix='rx'.*letters"): train.make_batch(1, 3, train.Recipe(mix="rx"))

@EMBEDDED
def test_an_arm_of_the_ablation(tmp_path):
    "Two arms from one start, equal processor time, three measures each; a second call trains nothing."
    ablation = pytest.importorskip("anyms.stickers.ablation")
    arms = {name: ablation.ARMS[name] for name in ("everything", "nothing of it")}
    how = dict(core_minutes=.01, arms=arms, batch=2, n=2, steps=2, **SILENT)
    rows = ablation.ablation(tmp_path/"ablation.csv", **how)
    assert len(rows) == 6 and set(rows.measure) == set(ablation.MEASURES) and (rows.pictures > 0).all()
    assert rows[[f"step_{t}" for t in ablation.STEPS]].notna().all().all()
    assert len(ablation.ablation(tmp_path/"ablation.csv", **how)) == 6
