"Studies for the tests: flat pictures, so that nothing has to be drawn, and names of methods that occur nowhere else."
from functools import cache

from PIL import Image

from anyms.paper.study.making import held_out_cases, make_study, true_picture

METHODS = {"qalpha": "Title Qalpha", "qbeta": "Title Qbeta", "qgamma": "Title Qgamma", "qdelta": "Title Qdelta", "qepsilon": "Title Qepsilon"}
COLORS = ["#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#D55E00"]
PICKS = dict(concept=[0], text=[0, 1], layout=[2], quality=[1])


@cache
def cases(n): return held_out_cases(n, seed=5)

def flat_pictures(n, seeds=(0,), methods=METHODS):
    "A picture per method, case and seed, all different."
    def flat(k, c, seed): return Image.new("RGB", (64, 64), COLORS[k]).point(lambda v: max(0, v - 9*c - seed))
    return {(name, case.id, seed): flat(k, c, seed) for c, case in enumerate(cases(n)) for k, name in enumerate(methods) for seed in seeds}

def flat_study(folder, n=9, seeds=(0,), obvious=True, **options):
    "A study of n cases and five methods."
    options = dict(fixed_seed=seeds[0], titles=METHODS) | options
    extra = cases(n + 1)[n]
    return make_study(folder, cases(n), flat_pictures(n, seeds), obvious=(extra, true_picture(extra)) if obvious else None, **options)

def names_of(study):
    "All that must not reach a voter."
    return [*study.methods, *study.methods.values()]
