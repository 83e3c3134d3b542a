"Pictures that tests draw and compare."
import numpy as np
from PIL import Image

PROMPT = "a fox, a hat"


def picture(*rgb): return Image.new("RGB", (40, 40), rgb)


def same(a, b): return np.array_equal(np.asarray(a.image), np.asarray(b.image))
