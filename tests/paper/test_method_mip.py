"MIP-Adapter: shares of words, its limits (one subject, silence, twins), and what it leaves behind."
from dataclasses import replace

import pytest
import torch
from method_cases import QUICK, SEEDS, apart, one, same, two

from anyms.attention.adapter import find_processors
from anyms.paper.methods.method import get_method
from anyms.paper.methods.mip import encode_nouns, merged_by_text, noun_weights
from anyms.paper.methods.sampling import count_calls, sample


@pytest.fixture(params=["embedded", "sdxl-plus", "sdxl-plain"])
def pipe(request, pipes): return pipes(request.param)


def merged(pipe, case, scale, names=None):
    def around(seeds): return merged_by_text(pipe, names or case.names, scale)
    return sample(pipe, case, SEEDS, QUICK, variant=None, around=around)


def test_shares_add_up_to_one():
    rng = torch.Generator().manual_seed(0)
    q, nouns = torch.randn(3, 2, 10, 8, generator=rng), [torch.randn(2, t, 8, generator=rng) for t in (1, 3, 2)]
    shares = noun_weights(q, nouns)
    assert shares.shape == (3, 3, 10) and torch.allclose(shares.sum(1), torch.ones(3, 10)) and shares.min() > 0


def test_shares_are_the_equation():
    "Softmax over positions, mean over heads and tokens, then a share: in loops."
    rng = torch.Generator().manual_seed(1)
    q, nouns = torch.randn(1, 2, 5, 4, generator=rng), [torch.randn(2, t, 4, generator=rng) for t in (2, 1)]
    maps = []
    for k in nouns:
        rows = [((q[0, h] @ k[h, i])/4**.5).softmax(0) for h in range(2) for i in range(k.shape[1])]
        maps.append(torch.stack(rows).mean(0))
    for j in (0, 1): assert torch.allclose(noun_weights(q, nouns)[0, j], maps[j]/(maps[0] + maps[1]), atol=1e-6)


def test_one_subject_is_the_plain_adapter(pipe):
    case = one()
    full = sample(pipe, case, SEEDS, QUICK, variant="full", attention=dict(scale=.8))
    assert apart(merged(pipe, case, .8), full) <= 2


def test_silent_is_text_only(pipe): assert same(merged(pipe, two(), 0.), sample(pipe, two(), SEEDS, QUICK))


def test_twins_are_an_average(pipe):
    "Nouns that nobody can tell apart share equally: `full` at scale / n."
    half = sample(pipe, two(), SEEDS, QUICK, variant="full", attention=dict(scale=.5))
    assert apart(merged(pipe, two(), 1., ["fox", "fox"]), half) <= 2


def test_order_of_priority_means_nothing(pipe):
    "A merge without layout."
    case = two()
    fox, hat = case.subjects
    other = replace(case, subjects=(replace(fox, priority=5), hat))
    assert same(merged(pipe, case, 1.), merged(pipe, other, 1.))


def test_no_row_is_added(pipe):
    with count_calls(pipe.unet) as calls: pictures = get_method("mip").draw(pipe, two(), SEEDS, {}, QUICK)
    assert calls.rows == 2*3*2 and len(pictures) == 2


def test_the_very_processors_come_back(pipe):
    before = find_processors(pipe.unet)
    with pytest.raises(RuntimeError), merged_by_text(pipe, ["fox", "hat"]): raise RuntimeError
    assert all(find_processors(pipe.unet)[name] is p for name, p in before.items())


def test_a_number_behind_a_name_is_no_word(pipe):
    plain, numbered, spelled = encode_nouns(pipe, ["fox", "fox 2", "top-hat"])
    assert torch.equal(plain.states, numbered.states) and plain.positions == numbered.positions
    assert spelled.positions == list(range(1, 1 + len(spelled.positions)))
