"Runs of `anyms train joint`: they tell, resume, survive an interrupt and are published; an arm of the ablation."
import json
import pytest, torch
from safetensors.torch import load_file
from anyms.stickers import ablation
from anyms.pipeline.loading import check_weights
from anyms.stickers.model.weights import WEIGHTS, load, save_weights
from anyms.stickers.training import export
from anyms.stickers.training.conditioning import load_or_init
from anyms.stickers.training.export import export_weights
from anyms.stickers.training.loop import fit, TrainState
from anyms.stickers.training.recipe import Recipe
from anyms.stickers.training.stages import make_batch, train_joint

EMBEDDED = pytest.mark.skipif(not (WEIGHTS/"checksums.json").exists(), reason="no embedded weights in this tree")
SILENT = dict(report=lambda *args, **kw: None)

@EMBEDDED
def test_joint_run_tells_resumes_and_publishes(tmp_path):
    "Progress in words, pictures by kind, core-hours; the second call goes on; what is published opens and can be trained on."
    lines = []
    def tell(line, **kw): lines.append(line)
    first = train_joint(tmp_path, minutes=.02, batch=2, report=tell)
    assert first.step > 0 and lines[0].startswith("joint: starts in") and "pictures seen" in lines[-1] and "core-hours" in lines[-1]
    step, seen = first.step, first.seen
    moments = load_file(tmp_path/"joint"/"optimiser.safetensors")
    assert any(float(v) == step for k, v in moments.items() if k.endswith(".step"))
    again = train_joint(tmp_path, minutes=.02, batch=2, report=tell)
    assert again.step > step and any(line.startswith("joint: goes on with") and f"step {step:,}" in line for line in lines)
    state = json.loads((tmp_path/"joint"/"state.json").read_text())
    assert state["step"] == again.step and state["core_hours"] > 0 and not list(tmp_path.rglob("*.part*"))
    known = json.loads((WEIGHTS/"training.json").read_text())["stages"].get("joint", {})
    assert sum(state["pictures"].values())-sum(known.get("pictures", {}).values()) == again.seen-known.get("seen", 0)
    assert seen < again.seen
    export_weights(tmp_path, tmp_path/"weights")
    assert set(check_weights(tmp_path/"weights").values()) == {"ok"}
    card = json.loads((tmp_path/"weights"/"training.json").read_text())
    joint = card["stages"]["joint"]
    assert joint["seen"] == again.seen and set(joint["pictures"]) <= {"region", "window", "close-up", "words"}
    point = card["curve"][-1]
    assert point["seen"] == again.seen and len(point["inside"]["drawing"]) == 4 and len(point["words"]) == 3 and point["core_hours"] > 0
    pipe, stages = load_or_init(tmp_path/"weights")
    assert stages["joint"]["seen"] == again.seen and pipe.unet.encoder_hid_proj is not None

@EMBEDDED
def test_training_goes_on_from_weights_of_another_making(tmp_path, monkeypatch):
    "A folder of `save_weights` with an empty card, as a trial leaves it, opens, counts from nothing and is published with what is known."
    monkeypatch.setattr(export, "x0_error", lambda pipe: dict(words=[0.]*3, reference=[0.]*3))   # measured for real in the test above
    monkeypatch.setattr(export, "unseen_x0_error", lambda pipe, split: [0.]*4)
    monkeypatch.setattr(export, "psnr", lambda vae: 30.)
    pipe = load()
    save_weights(pipe, tmp_path/"trial", dict(stages={}, curve=[], note="a trial"))
    run = train_joint(tmp_path/"run", minutes=.001, batch=2, start=tmp_path/"trial", **SILENT)
    assert run.step >= 1 and sum(run.pictures.values()) == run.seen
    log = [dict(seen=1234, minutes=1., loss=.3)]
    joint = dict(step=7, seen=1234, pictures={"words": 1234}, core_hours=1.5, log=log)
    known = dict(stages=dict(joint=joint), curve=[])
    export_weights(tmp_path/"nothing", tmp_path/"weights", tmp_path/"trial", known)
    card = json.loads((tmp_path/"weights"/"training.json").read_text())
    assert card["stages"] == known["stages"] and card["curve"][0]["seen"] == 1234 and card["curve"][0]["pictures"] == {"words": 1234}

def test_interrupted_run_is_saved(tmp_path):
    "Ctrl-C in the middle of a step: the run says so, keeps the steps before, and goes on later."
    lines, net = [], torch.nn.Linear(2, 2)
    run = TrainState(tmp_path/"net", dict(net=net), 1e-3)
    def body(step):
        if step == 3: raise KeyboardInterrupt
        net(torch.ones(1, 2)).sum().backward()
        return 1., 5
    fit(run, 1., body, report=lambda line, **kw: lines.append(line))
    assert "interrupted" in lines[-1] and json.loads((tmp_path/"net"/"state.json").read_text())["seen"] == 15
    assert TrainState(tmp_path/"net", dict(net=net), 1e-3).step == 3

def test_training_says_how_far_it_is(tmp_path):
    "The opening, time left and pictures and loss on the way, and the end; never a silent call."
    lines, net = [], torch.nn.Linear(2, 2)
    def body(step):
        net(torch.ones(1, 2)).sum().backward()
        return .25, 4
    run = TrainState(tmp_path/"net", dict(net=net), 1e-3)
    fit(run, .06, body, report=lambda line, **kw: lines.append(line))
    assert lines[0].startswith("net: starts in") and "saved in" in lines[-1]
    assert any("s left" in line and "pictures seen" in line and "loss 0.25" in line for line in lines[1:-1]), lines

def test_mix_of_parts():
    recipe = Recipe()
    assert [make_batch(step, 3, recipe).kind for step in range(4)] == ["region", "words", "window", "words"]
    with pytest.raises(ValueError, match="mix='rx'.*letters"): make_batch(1, 3, Recipe(mix="rx"))

@EMBEDDED
def test_an_arm_of_the_ablation(tmp_path):
    "Two arms from one start, equal processor time, three measures each; a second call trains nothing."
    arms = {name: ablation.ARMS[name] for name in ("everything", "nothing of it")}
    how = dict(core_minutes=.01, arms=arms, batch=2, n=2, steps=2, **SILENT)
    rows = ablation.run_ablation(tmp_path/"ablation.csv", **how)
    assert len(rows) == 6 and set(rows.measure) == set(ablation.MEASURES) and (rows.pictures > 0).all()
    assert rows[[f"step_{t}" for t in ablation.STEPS]].notna().all().all()
    assert len(ablation.run_ablation(tmp_path/"ablation.csv", **how)) == 6
