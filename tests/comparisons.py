"What the tests of the widgets share: comparisons that no model drew, what a widget answers to its page, what stands on a page."
import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
from PIL import Image

from anyms.maps import AttentionMaps
from anyms.layout.layout import Layout
from anyms.layout.subject import Subject
from anyms.pipeline.result import Result
from anyms.pipeline import Comparison
from conftest import picture

LAYERS = {"down_blocks.0.attentions.0.transformer_blocks.0.attn2": (8, 8), "mid_block.attentions.0.transformer_blocks.0.attn2": (4, 4),
          "up_blocks.0.attentions.0.transformer_blocks.0.attn2": (4, 4), "up_blocks.1.attentions.0.transformer_blocks.0.attn2": (8, 8)}

NASTY = ['<img src=x onerror="alert(1)">', "</script><script>alert(2)</script>", "O'Neill & \"Söhne\" <b>", "a"*400, "\u2028 line", "雪"]

def a_layout(names=("fox", "crown"), **kw):
    n = len(names)
    return Layout([Subject(name, image=picture(i), box=(i/n, .1, (i + 1)/n, .9), **kw) for i, name in enumerate(names)])

def a_result(layout, variant="full", seed=0, steps=4, stats=("mass", "norm"), film=True, layers=LAYERS):
    "A result that no model drew, different for every variant, seed and step."
    rng = np.random.default_rng([seed, *variant.encode()])
    keys = [(stat, layer, step) for stat in stats or () for layer in layers for step in range(steps)]
    cells = {key: rng.random((len(layout), *layers[key[1]])).astype(np.float16) for key in keys}
    maps = AttentionMaps(layout.names, stats, cells, {t: 1000. - t for t in range(steps)}) if stats else None
    frames = [Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)) for _ in range(steps)]
    settings = dict(prompt="a fox and a crown", variant=variant, seed=seed, num_inference_steps=steps)
    return Result(frames[-1], layout, settings, 1.5, maps, frames if film else None)

def slowly(layout, variant="full", steps=10, peak=4):
    "AttentionMaps that are flat at first, full of contrast from step `peak` on."
    r = a_result(layout, variant, steps=steps)
    for (stat, layer, t), cell in r.maps.maps.items(): r.maps.maps[stat, layer, t] = (.5 + (cell - .5)*min(t/peak, 1)).astype(np.float16)
    return r

def some_runs(names=("fox", "crown"), variants=("full", "masked", "crop_merge"), seeds=(0, 7), **kw):
    layout = a_layout(names)
    return Comparison(a_result(layout, v, s, **kw) for v in variants for s in seeds)

def talk(widget, message, buffers=()):
    "What the widget answers to a message of its page."
    said = []
    widget.send = lambda content, buffers=None: said.append(content)
    for handle in widget._msg_callbacks.callbacks: handle(widget, message, list(buffers))
    return said

def decoded(uri): return base64.b64decode(uri.split(",", 1)[1])

def image_of(uri): return Image.open(io.BytesIO(decoded(uri)))

class Elements(HTMLParser):
    "All tags with their attributes, and all text outside of scripts and styles."
    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self.now = [], "", None
        self.feed(page)
    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.now = tag
    def handle_endtag(self, tag): self.now = None
    def handle_data(self, data): self.text += data if self.now not in ("script", "style") else ""

def asks_nothing_outside(page):
    "No address of another machine: the one `http` is the name of the SVG format, and names are not fetched."
    outside = set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", page)) - {"http://www.w3.org"}
    assert not outside and "@import" not in page
    for tag, a in Elements(page).tags:
        for k in ("src", "href", "action"): assert a.get(k, "data:").startswith("data:"), (tag, k)

def same(a, b): return np.array_equal(np.asarray(a), np.asarray(b))

# a new box takes the sticker of its name (newcomer, A2)

def added(editor, name, i=9, box=(.7, .1, .9, .3)):
    editor.boxes = [*editor.boxes, dict(id=i, name=name, box=list(box), priority=0, scale=1)]

def renamed(editor, old, new): editor.boxes = [dict(b, name=new) if b["name"] == old else b for b in editor.boxes]
