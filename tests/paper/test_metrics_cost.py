"What a picture costs, counted on the embedded model and on a tiny SDXL."

import pytest

import anyms
from anyms.layout.boxes import Box
from anyms.paper.cases.case import Case, CaseSubject, StickerReference
from anyms.paper.methods.method import get_method
from anyms.paper.methods.sampling import Sampling
from anyms.paper.methods import variants  # noqa: F401  registers AnyMS
from anyms.paper.metrics.cost import cost_of, device_words, method_cost, peak_bytes, weights_bytes

CASE = Case("c", "a fox on the beach", (CaseSubject("fox", StickerReference("fox", "noto"), Box(.1, .1, .9, .9)),), "beach")

@pytest.fixture(scope="module")
def pipe(): return anyms.load()

def test_a_row_of_the_embedded_model(pipe):
    before, processors = pipe.unet, dict(pipe.unet.attn_processors)
    row = method_cost(get_method("anyms"), pipe, CASE, {}, Sampling(3, 3., 10), repeats=2)
    assert row["evaluations"] == 6 and row["seconds"] > 0 and row["base"] == "stickers" and row["n"] == 1 and row["method"] == "anyms"
    assert 0 < row["model_bytes"] < row["peak_bytes"] and row["device"].startswith("cpu, ")
    assert pipe.unet is before and all(pipe.unet.attn_processors[k] is v for k, v in processors.items()) and not pipe.unet._forward_pre_hooks

def test_without_guidance_it_is_half(pipe):
    assert method_cost(get_method("anyms"), pipe, CASE, {}, Sampling(3, 1.), repeats=1)["evaluations"] == 3

def test_sdxl_shaped(pipes):
    pipe = pipes("sdxl-plus")
    row = method_cost(get_method("anyms"), pipe, CASE, {}, Sampling(2, 5., 1), repeats=1)
    assert row["base"] == "sdxl" and row["evaluations"] == 4
    assert row["model_bytes"] == weights_bytes(pipe) == sum(p.numel()*4 for n in pipe.components.values() if hasattr(n, "parameters") for p in n.parameters())

def test_the_first_picture_is_not_counted_and_what_fails_leaves_no_hook(pipe):
    calls = []
    assert cost_of(pipe, lambda: calls.append(1), repeats=4).evaluations == 0 and len(calls) == 5
    def fail():
        calls.append(1)
        if len(calls) > 6: raise RuntimeError("no")
    with pytest.raises(RuntimeError): cost_of(pipe, fail, repeats=2)
    assert not pipe.unet._forward_pre_hooks
    with pytest.raises(ValueError, match="repeats=0"): cost_of(pipe, fail, repeats=0)

def test_peak_and_device():
    assert peak_bytes("cpu") > 50_000_000 and "threads" in device_words("cpu")
