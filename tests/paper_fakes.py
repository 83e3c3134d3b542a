"A method, a model and a judge that need no weights, for tests of everything around them."
from types import SimpleNamespace
import time

import numpy as np
import pandas as pd
import torch
from PIL import Image

from anyms import Box
from anyms.paper.cases.case import Case, CaseSubject
from anyms.paper.methods.method import Method, keep
from anyms.paper.methods.sampling import Sampling
from anyms.paper.run.drawing import ALONE, draw
from anyms.paper.run.judging import judge_all, plan_tables
from anyms.paper.run.store import Store
from anyms.paper.run.units import World, plan


class Plain:
    "A reference of one color."
    def __init__(self, key, color): self.key, self.color = key, color
    def picture(self): return Image.new("RGB", (8, 8), self.color)
    def cutout(self): return self.picture().convert("RGBA")
    def photos(self, n=5): return [(self.picture(), self.key)]*n
    def to_json(self): return dict(key=self.key)


def case_of(id, n=2, **options):
    ones = tuple(CaseSubject(f"thing {j}", Plain(f"{id}{j}", (40*j, 90, 200)), Box(j/n, .1, (j + 1)/n, .9)) for j in range(n))
    return Case(id, f"{n} things", ones, "snow", **options)


class Dots(Method):
    "Noise of its own for every seed; evaluates the net twice a picture."
    name, title = "dots", "dots (ours)"

    def __init__(self, name="dots", seconds=0.):
        self.__dict__.update(name=name, title=f"{name} (ours)", seconds=seconds)

    def draw(self, pipe, case, seeds, kept, sampling):
        images = []
        for seed in seeds:
            pipe.unet(torch.zeros(2, 1))
            time.sleep(self.seconds)
            rng = np.random.default_rng([seed, len(case), len(self.name)])
            images.append(Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8)))
        return images


class Trains(Dots):
    "A file for each subject, or each case, or one."
    settings = dict(stickers=dict(training=dict(steps=40, lr=.1), scale=2.), sdxl={})

    def __init__(self, name="trains", trained="subject"):
        super().__init__(name)
        self.__dict__.update(trained=trained)

    def prepare(self, pipe, case, folder):
        names = dict(subject=[one.reference.key for one in case.subjects], case=[case.id], adapter=["adapter"])[self.trained]
        steps = self.options(pipe)["training"]["steps"]
        return {name: keep(folder/f"{name}.safetensors", lambda: dict(w=torch.full((steps,), 1.)))["w"] for name in names}


def fake_pipe(value=0.):
    "As much of a pipeline as the run asks for: one net, a scheduler, a device."
    unet = torch.nn.Linear(1, 1)
    for part in unet.parameters(): torch.nn.init.constant_(part, value)
    unet.config = SimpleNamespace(cross_attention_dim=192)
    return SimpleNamespace(unet=unet, components=dict(unet=unet), device=torch.device("cpu"), set_progress_bar_config=lambda **k: None,
                           scheduler=SimpleNamespace(config=dict(steps=1000)))


class Eye:
    "Judges by the mean of the picture: reproducible, and different for every picture."
    name = "eye 1"

    def __call__(self, case, images):
        brightness = [float(np.asarray(image).mean()/255) for image in images]
        rows = [dict(picture=i, subject=j, name=one.name, noun=one.name, found=1., score=b, iou=b*(j + 1)/len(case), iou_any=b,
                     hit=float(b*(j + 1)/len(case) > .3)) for i, b in enumerate(brightness) for j, one in enumerate(case.subjects)]
        subjects = pd.DataFrame(rows)
        seen = subjects[["picture", "noun", "score", "hit"]].assign(strength=subjects.score, hit_any=1., x0=0., y0=0., x1=1., y1=1.)
        scores = pd.DataFrame([dict(picture=i, metric="scene", value=float(b > .5)) for i, b in enumerate(brightness)])
        return dict(subjects=subjects, detections=seen, scores=scores)


WORLD = World("stickers", "fake weights")

def plan_of(*methods, cases=None, **options):
    "A plan of made-up methods."
    methods = methods or (Dots(), Dots("speckles"))
    cases = cases or [case_of("2a"), case_of("3a", 3)]
    return plan(options.pop("world", WORLD), {method.name: method for method in methods}, cases, sampling=Sampling(4), **options)


QUIET = dict(progress=False)
TIMES = ["seconds", "peak_bytes"]   # what is measured, not drawn

def rows_of(store, plan):
    "All that a table is made of, in one order, without what a clock said."
    tables = plan_tables(store, plan)
    keys = dict(pictures=["method", "case", "seed"], subjects=["method", "case", "seed", "subject"],
                detections=["method", "case", "seed", "noun"], scores=["method", "case", "seed", "metric"])
    return {name: rows.drop(columns=TIMES, errors="ignore").sort_values(keys[name], ignore_index=True) for name, rows in tables.items()}

def same(one, other):
    for name in one: pd.testing.assert_frame_equal(one[name], other[name])

def run(folder, plan, *workers):
    "Draw and judge, a share after another."
    store = Store(folder)
    for worker in workers or (ALONE,): draw(store, fake_pipe(), plan, worker, **QUIET)
    judge_all(store, plan, Eye(), **QUIET)
    return store
