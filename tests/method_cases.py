"Cases, quick sampling and ways to compare that the tests of the methods share."
import numpy as np

from anyms.layout.boxes import Box
from anyms.paper.cases.case import Case, CaseSubject, StickerReference
from anyms.paper.methods.sampling import Sampling

QUICK = Sampling(num_inference_steps=3, guidance_scale=3., batch_size=2)
BESIDE = [(0, .25, .5, 1), (.5, 0, 1, .5)]      # on quarters, share no token
ACROSS = [(0, .25, .75, 1), (.5, 0, 1, .75)]    # overlap
SEEDS = [0, 1]


def subject(name, box, **options):
    return CaseSubject(name, StickerReference(name, "noto"), Box(*box), **options)


def two(boxes=ACROSS, aspect=1., **options):
    "A fox, and a hat on top of it."
    fox, hat = subject("fox", boxes[0]), subject("hat", boxes[1], priority=1)
    return Case("two", "fox hat", (fox, hat), "in", aspect=aspect, **options)


def one(box=(0, 0, 1, 1)): return Case("one", "fox", (subject("fox", box),), "in")


def apart(a, b):
    "The largest difference of two lists of pictures, in levels of 255."
    return max(np.abs(np.asarray(x, int) - np.asarray(y, int)).max() for x, y in zip(a, b, strict=True))


def same(a, b): return all(x.tobytes() == y.tobytes() for x, y in zip(a, b, strict=True))
