"Bad input to the variants of attention: one sentence each, naming the argument, the value and the remedy."
import re

import pytest
import torch

from anyms.attention.variants import KV, VARIANTS, crop_merge, full, fused, masked, variant
from anyms.attention.selection import get_variant

Q, K = torch.randn(1, 2, 12, 8), torch.randn(1, 3, 2, 5, 8)
REFS, COVER = KV(K, K), torch.ones(3, 12, dtype=torch.bool)


def two(q, refs): return q


CASES = {
    "refs a plain tuple": (lambda: full(Q, (K, K), COVER), TypeError, r"refs of type tuple.*KV\(k, v\)"),
    "q of three axes": (lambda: full(Q[0], REFS, COVER), ValueError, r"q has shape \[2, 12, 8\].*\[b h n d\]"),
    "refs of four axes": (lambda: masked(Q, KV(K[0], K[0]), COVER), ValueError, r"refs have keys \[3, 2, 5, 8\].*\[b s h r d\]"),
    "keys and values differ": (lambda: masked(Q, KV(K, K[..., :3, :]), COVER), ValueError, r"equal shape"),
    "another batch": (lambda: crop_merge(Q.repeat(2, 1, 1, 1), REFS, COVER), ValueError, r"\[2, 2, 12, 8\].*disagree.*repeat refs"),
    "other heads": (lambda: crop_merge(Q[:, :1], REFS, COVER), ValueError, r"disagree"),
    "another width": (lambda: fused(Q[..., :4], REFS, COVER), ValueError, r"disagree"),
    "another dtype": (lambda: fused(Q.half(), REFS, COVER), ValueError,
                      r"q is torch\.float16 and refs are torch\.float32.*\.to\(q\.dtype\)"),
    "no reference token": (lambda: full(Q, KV(K[..., :0, :], K[..., :0, :]), COVER), ValueError, r"r=0 tokens.*at least one"),
    "cover of floats": (lambda: masked(Q, REFS, COVER.float()), ValueError, r"cover has dtype torch\.float32: give bool"),
    "cover of another grid": (lambda: masked(Q, REFS, COVER[:, :9]), ValueError,
                              r"cover has shape \[3, 9\].*need \[3, 12\].*layout\.cover\(grid\)"),
    "cover of fewer subjects": (lambda: fused(Q, REFS, COVER[:2]), ValueError, r"cover has shape \[2, 12\], and 3 subjects"),
    "cover as a grid": (lambda: masked(Q, REFS, COVER.reshape(3, 3, 4)), ValueError, r"cover has shape \[3, 3, 4\]"),
    "background unknown": (lambda: crop_merge(Q, REFS, COVER, background="black"), ValueError,
                           r"background='black' is not available: use 'zero' or 'query'"),
    "overlap unknown": (lambda: masked(Q, REFS, COVER, overlap="max"), ValueError, r"overlap='max'.*'priority' or 'sum' or 'mean'"),
    "fused with a query background": (lambda: fused(Q, REFS, COVER, background="query"), ValueError,
                                      r"background='query' is not available: use 'zero'"),
    "fused with sums": (lambda: fused(Q, REFS, COVER, overlap="sum"), ValueError, r"overlap='sum' is not available: use 'priority'"),
    "variant unknown": (lambda: get_variant("crop"), ValueError,
                        r"variant='crop' is not known: use one of full, masked, crop_merge, fused.*@variant"),
    "variant a list": (lambda: get_variant(["full"]), ValueError, r"variant=\['full'\] is not known"),
    "variant 3": (lambda: get_variant(3), ValueError, r"variant=3 is not known"),
    "an option it does not take": (lambda: get_variant("full", overlap="sum"), ValueError,
                                   r"variant 'full' takes no option overlap='sum': leave it out, it takes none"),
    "an option nobody takes": (lambda: get_variant("masked", radius=3), ValueError, r"no option radius=3.*background, overlap"),
    "a value it does not offer": (lambda: get_variant("fused", overlap="mean"), ValueError,
                                  r"variant 'fused' does not offer overlap='mean': use 'priority'"),
    "a value nobody offers": (lambda: get_variant("masked", background="white"), ValueError,
                              r"'masked' does not offer background='white': use 'zero' or 'query'"),
    "a variant of two arguments": (lambda: variant("two")(two), TypeError,
                                   r"variant 'two' must take three arguments.*def two\(q, refs, cover\)"),
    "a decorator without its name": (lambda: variant(two), TypeError, r"variant name=<function.*@variant\(\"soft\"\)"),
    "one of the package's names": (lambda: variant("full")(lambda q, refs, cover: q), ValueError,
                                   r"variant 'full' is one of the package's own: choose another"),
    "a variant that returns another shape": (lambda: get_variant(lambda q, refs, cover: q[..., :1])(Q, REFS, COVER), ValueError,
                                             r"returned \[1, 2, 12, 1\] for queries \[1, 2, 12, 8\]"),
    "a variant that returns nothing": (lambda: get_variant(lambda q, refs, cover: None)(Q, REFS, COVER), ValueError,
                                       r"returned NoneType.*\[b h n d\]"),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_to_attention(name):
    act, kind, says = CASES[name]
    registered = dict(VARIANTS)
    with pytest.raises(kind) as caught: act()
    message = str(caught.value.args[0])
    assert re.search(says, message) and "\n" not in message and ":" in message and 30 < len(message) < 400
    assert VARIANTS == registered
