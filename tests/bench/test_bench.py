"The speed bench: the nets are the published ones, all ways do the same job and leave the U-Net as it was, the memory model is exact, the tables add up."
import json

import pandas as pd
import pytest
import torch
from anyms.attention.variants import KV
from anyms.attention.statistics import AttentionRecord
from anyms.bench import pictures, report
from anyms.bench import (NETS, OURS, WAYS, Operations, Stage, run_benchmarks, measure_bytes, predict_bytes, random_unet,
    ratios, slope, speed_figure, strips, time_layers, time_making,
                               time_run, time_steps, time_watching, way)
from anyms.maps.record import capture, estimate
from anyms.attention.selection import layer_grids
from anyms.attention.adapter import find_processors


@pytest.fixture(scope="module")
def unet(): return random_unet()


def weights(unet):
    return sum(p.numel() for name, p in unet.named_parameters() if "encoder_hid_proj" not in name and "processor" not in name)


@pytest.mark.parametrize("net, billions, layers, keys_millions", [("sdxl", 2.567, 70, 341), ("sd15", .860, 16, 20)])
def test_nets_are_the_published_ones(net, billions, layers, keys_millions):
    "By their numbers of weights: the U-Net's, and those of the adapter's keys and values."
    unet = random_unet(net, device="meta")
    found = find_processors(unet)
    assert weights(unet)/1e9 == pytest.approx(billions, abs=.001) and len(found) == layers
    assert sum(p.to_k_ip[0].weight.numel() + p.to_v_ip[0].weight.numel()
        for p in found.values())/1e6 == pytest.approx(keys_millions, rel=.05)


@pytest.mark.parametrize("net, width", [("sdxl", 1280), ("sd15", 768)])
def test_the_plus_projection_is_the_published_one(net, width):
    projection = random_unet(net, "plus", device="meta").encoder_hid_proj.image_projection_layers[0]
    assert projection.latents.shape == (1, 16, width) and len(projection.layers) == 4 and projection.proj_in.in_features == 1280


@pytest.mark.parametrize("adapter", ["plain", "plus"])
@torch.no_grad()
def test_ways_do_the_same_job_and_leave_nothing_behind(adapter):
    unet = random_unet(adapter=adapter)
    stage, before, projection, keys = Stage(unet, 4, (16, 16)), dict(unet.attn_processors), unet.encoder_hid_proj, list(unet.state_dict())
    drawn = {}
    for name in WAYS:
        with way(stage, name) as step: drawn[name] = step()
        assert all(unet.attn_processors[k] is p for k, p in before.items()) and unet.encoder_hid_proj is projection
        assert not unet._forward_pre_hooks and list(unet.state_dict()) == keys and unet.config.encoder_hid_dim_type == "ip_image_proj"
    assert torch.equal(drawn["masks"], drawn["masks_shipped"]) and torch.equal(drawn["masked"], drawn["crop_merge"])
    for name in ("fused", "crop_merge"): assert (drawn[name] - drawn["masks"]).abs().max() <= 1e-5
    assert (drawn["text"] - drawn["fused"]).abs().max() > 1e-2


def test_the_same_seed_the_same_net(unet):
    again = random_unet()
    assert all(torch.equal(a, b) for a, b in zip(unet.parameters(), again.parameters()))


@pytest.mark.parametrize("adapter", ["plain", "plus"])
@pytest.mark.parametrize("latent", [(16, 16), (16, 24)])
def test_the_memory_model_is_exact(adapter, latent):
    unet = random_unet(adapter=adapter)
    for n in (1, 2, 3, 7, 20): assert measure_bytes(unet, latent, n) == predict_bytes(unet, latent, n)


def test_full_size_stays_within_the_promised_memory():
    "SDXL at 1024 px in bfloat16: at most 0.2 GB on top, up to 7 subjects with the Plus adapter and 20 with the plain one."
    for adapter, n in (("plus", 7), ("plain", 20)):
        assert predict_bytes(random_unet("sdxl", adapter, "meta", torch.bfloat16), (128, 128), n) <= .2e9


@torch.no_grad()
def test_operations_are_counted():
    with Operations() as seen:
        x = torch.ones(2, 3)
        x.t().reshape(3, 2)[1:] + 1
    assert seen.count in (2, 3)       # ones (with or without fill), add; looking at memory in another way is free


def test_fused_needs_the_same_few_operations_for_any_number(unet):
    table = time_layers(unet, (16, 16), (1, 5, 20), rounds=1)
    counts = table.pivot_table(index="subjects", columns="way", values="operations")
    assert counts.fused.nunique() == 1 and counts.masked.nunique() == 1 and counts.full.nunique() == 1          # no loop over subjects
    assert counts.masks[20] > 5*counts.masks[1] and counts.fused[1] - counts.text[1] <= 3*len(find_processors(unet))
    assert set(table.way) == {"text", "masks", *OURS} and (table.cpu > 0).all() and len(table) == 3*6
    assert len(speed_figure(table, step=1.).axes) == 2


def test_steps_are_timed_in_rounds(unet):
    seen = []
    table = time_steps(unet, (16, 16), (1, 3), rounds=2, warm=False, report=seen.append)
    assert [(r["way"], r["subjects"]) for r in seen[:5]] == [("text", 0), ("masks", 1), ("fused", 1), ("masks", 3), ("fused", 3)]
    assert len(table) == len(seen) == 10
    assert (time_making(unet, (16, 16), (2,), 1).wall > 0).all()


def test_watching_is_measure(unet):
    table = time_watching(unet, (16, 16), 2, ("mass", "norm"), rounds=1)
    assert list(table.stat) == ["-", "mass", "norm"] and (table.wall > 0).all() and getattr(unet, "attn_recorder", None) is None


def test_a_whole_run(unet, monkeypatch):
    run = time_run(unet, (16, 16), 2, steps=3, decode=False)
    assert run["steps"] == 3 and run["wall"] > 0 and run["peak"] is None


def test_ratios_are_of_pairs():
    steps = pd.DataFrame([dict(round=i, way=w, subjects=n, wall=t*s, cpu=t*s) for i, s in enumerate((1, 2, 10))
        for w, n, t in (("text", 0, 10), ("fused", 7, 10.1), ("masks", 7, 12))])
    over_text, over_masks = ratios(steps).set_index("way"), ratios(steps, to="masks").set_index("way")
    assert over_text.ratio["fused"] == pytest.approx(1.01) and over_text.ratio["masks"] == pytest.approx(1.2)
    assert over_masks.ratio["fused"] == pytest.approx(10.1/12)
    layers = pd.DataFrame([dict(way="fused", subjects=n, cpu=1 + .02*n) for n in (1, 7, 20)])
    assert slope(layers, step=20.) == pytest.approx(.001)


def test_everything_in_seconds(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "time_picture", lambda *a: pd.DataFrame([dict(round=0, way="fused", wall=1.)]))
    monkeypatch.setattr(report, "time_together", lambda *a: pd.DataFrame([dict(round=0, spins=1000, processes=1, wall=1.)]))
    told = []
    out = run_benchmarks(tmp_path/"b", quick=True, echo=told.append)
    assert sorted(p.name for p in out.iterdir()) == ["about.json", "layers.csv", "making.csv", "memory.csv",
        "picture.csv", "steps.csv", "together.csv", "watching.csv"]
    facts = json.loads((out/"about.json").read_text())
    assert facts["weights"] == "random"
    assert {"date", "cpu", "cores", "threads", "gpu", "torch", "diffusers", "anyms", "size", "dtype"} <= set(facts)
    memory = pd.read_csv(out/"memory.csv")
    assert (memory.predicted == memory.measured).all() and told


def test_only_pictures_of_the_embedded_model(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "time_together", lambda *a: pd.DataFrame([dict(round=0, spins=1000, processes=1, wall=1.)]))
    compiler, compiled = torch.compile, []
    monkeypatch.setattr(torch, "compile", lambda net: compiled.append(net) or compiler(net, backend="eager"))
    out = run_benchmarks(tmp_path/"b", quick=True, net="stickers", compiled=True, echo=lambda line: None)
    table = pd.read_csv(out/"picture.csv")
    assert sorted(p.name for p in out.iterdir()) == ["about.json", "picture.csv", "together.csv"]
    assert json.loads((out/"about.json").read_text())["net"] == "stickers"
    assert list(zip(table.net, table.way)) == [("eager", "text_only"), ("eager", "fused"), ("compiled", "text_only"), ("compiled", "fused")]
    assert len(compiled) == 1 and (table.pipeline <= table.wall).all()


BAD = [
    (lambda: random_unet("flux"), r"net='flux' is not known; use 'sdxl' or 'sd15' or 'tiny'"),
    (lambda: random_unet(adapter="faceid"), r"adapter='faceid' is not known; use 'plain' or 'plus'"),
    (lambda: strips(0), r"subjects=0 must be a whole number of at least 1"),
    (lambda: way(Stage(random_unet(), 1, (16, 16)), "fast").__enter__(), r"way='fast' is not known; use text, masks"),
    (lambda: run_benchmarks(size=500), r"size=500 must be a multiple of 64 pixels"),
]


@pytest.mark.parametrize("call, says", BAD)
def test_bad_input(call, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=says): call()
    assert not list(tmp_path.iterdir())


# --- capture at full size ------------------------------------------------------------------------------------------------------------
def test_a_50_step_sdxl_run_stays_under_200_mb():
    unet = random_unet("sdxl", device="meta")
    grids = layer_grids(unet, (128, 128))
    assert sorted(set(grids.values())) == [(32, 32), (64, 64)] and sum(g == (64, 64) for g in grids.values()) == 10
    for n in range(1, 10): assert estimate(unet, (128, 128), n, 50) <= 200e6
    assert estimate(unet, (128, 128), 10, 50) > 200e6


def test_a_run_of_these_shapes_takes_what_was_estimated():
    "All 70 layers and 50 steps with stand-ins for the tensors: what `capture` keeps is the estimate, to the byte."
    unet, n = random_unet("sdxl", device="meta"), 5
    grids = layer_grids(unet, (128, 128))
    def look(layer, step):
        tokens = grids[layer][0]*grids[layer][1]
        q = torch.zeros(1, 1, tokens, 1)
        return AttentionRecord(layer, step, 1000. - step, grids[layer], [f"s{j}" for j in range(n)], q, q[:, :, :1], q,
            KV(*[torch.zeros(1, n, 1, 1, 1)]*2), lambda: torch.zeros(1, n, 1, tokens, 1), torch.arange(1))
    with capture(unet) as maps:
        for step in range(50):
            for layer in grids: unet.attn_recorder(look(layer, step))
    assert len(maps.layers) == 70 and len(maps.steps) == 50 and maps.nbytes == estimate(unet, (128, 128), n, 50) <= 200e6


def test_nets_are_not_shared_between_tests(unet): assert set(NETS) == {"sdxl", "sd15",
    "tiny"} and unet.config.block_out_channels == (32, 64)


def test_two_processes_at_once(monkeypatch):
    "Each setting alone and with a neighbour, in turn, by processes that got the setting; the ratio is of medians."
    class Drawer:
        def __init__(self, spins): self.spins, self.stdin, self.stdout, self.ended = spins, self, self, False
        def write(self, text): self.steps = int(text)
        def flush(self): pass
        def readline(self): return f"{self.spins*len(asked[-1])/1000}" if asked else "ready"
        def kill(self): self.ended = True
        def communicate(self): pass
    made, asked = [], []
    monkeypatch.setattr(pictures, "_drawer", lambda spins: made.append(Drawer(spins)) or made[-1])
    drawn = pictures._drawn_by
    monkeypatch.setattr(pictures, "_drawn_by", lambda processes, steps: asked.append(processes) or drawn(processes, steps))
    table = pictures.time_together(3, rounds=2, spins=(5000, 1000))
    assert list(table.processes) == [1, 2]*4 and list(table.spins) == [5000, 5000, 1000, 1000]*2 and {p.steps for p in asked[-1]} == {3}
    assert all(p.ended for p in made) and len(made) == 4
    found = pictures.together_ratio(table)
    assert found.alone.to_dict() == {1000: 1., 5000: 5.} and found.ratio.to_dict() == {1000: 2., 5000: 2.}


def test_a_drawer_gets_the_setting(monkeypatch):
    monkeypatch.setattr(pictures, "_DRAWER",
        "import os; print(os.environ['GOMP_SPINCOUNT'], os.environ.get('OMP_WAIT_POLICY'), flush=True)")
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    process = pictures._drawer(77)
    assert process.communicate()[0].split() == ["77", "None"]
