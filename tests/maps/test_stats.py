"stats: the statistics against plain loops on hand-made records."
import math
from dataclasses import replace

import numpy as np
import torch

from anyms.attention.statistics import AttentionRecord
from anyms.attention.variants import KV
from anyms.maps.stats import STATS


def hand_made(b=3, s=2, h=2, grid=(3, 5), r=4, d=8, t=6, seed=0, **changes):
    g = torch.Generator().manual_seed(seed)
    def randn(*shape):
        return torch.randn(shape, generator=g)
    n = math.prod(grid)
    z = randn(b, s, h, n, d)
    return replace(AttentionRecord(layer="mid_block.attn2", step=0, timestep=999., grid=grid,
        names=["fox", "hat", "cat"][:s], q=randn(b, h, n, d), text_k=randn(b, h, t, d),
                        text_out=randn(b, h, n, d), refs=KV(randn(b, s, h, r, d), randn(b, s, h, r, d)),
                        parts=lambda: z, cond=torch.tensor([1, 2]),
                        words={"fox": [1, 2], "hat": []}), **changes)


def test_statistics_equal_plain_loops():
    look = hand_made()
    got = {name: f(look) for name, f in STATS.items()}
    def dot(a, b):
        return float(a.double() @ b.double())/look.q.shape[-1]**.5
    b, h, n, d = look.q.shape
    for row, at in [(0, 0), (2, 7), (1, 14)]:
        q = look.q[row, :, at]
        logits = [[[dot(q[i], k) for k in look.refs.k[row, j, i]] for j in range(2)] for i in range(h)]
        words = [[dot(q[i], k) for k in look.text_k[row, i]] for i in range(h)]
        for j in range(2):
            def total(rows):
                return sum(math.exp(x) for x in rows)
            mass = np.mean([total(logits[i][j])/sum(total(one) for one in logits[i]) for i in range(h)])
            energy = np.mean([math.log(total(logits[i][j])) for i in range(h)])
            text = np.mean([sum(math.exp(words[i][p]) for p in look.words[look.names[j]])/total(words[i]) for i in range(h)])
            norm = look.parts()[row, j, :, at].norm()/look.text_out[row, :, at].norm()
            np.testing.assert_allclose([got[k][row, j, at].item() for k in ("mass", "energy", "text", "norm")],
                [mass, energy, text, norm], rtol=1e-5, atol=1e-7)


def test_mass_is_a_probability_and_an_unnamed_subject_reads_nothing():
    look = hand_made(s=3)
    torch.testing.assert_close(STATS["mass"](look).sum(1), torch.ones(3, 15))
    text = STATS["text"](look)
    assert text[:, 0].min() > 0 and text[:, 1:].abs().max() == 0          # 'hat' has no words here, 'cat' is not even listed


def test_the_mean_over_own_tokens_is_one_over_r_whatever_the_network_does():
    for r in (4, 16):
        look = hand_made(r=r)
        own = torch.einsum("bhnd,bshrd->bshnr", 5*look.q, look.refs.k).softmax(-1).mean(-1)
        assert (own - 1/r).abs().max() < 1e-7
        assert STATS["mass"](look).std() > .01
