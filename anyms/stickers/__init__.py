"""The world whose truth is known, the small SDXL trained on it, and the judge that says what its pictures show.

world      scenes whose every box, noun, drawing and colour is known
model      SDXL in small, with an IP-Adapter Plus: networks, weights, decoder
judge      what stands where in a picture, and how far that is what was asked
training   how the model was taught, and can be taught on
protocol   all measurements of given weights by one command
language   what captions can say, and whether the model listens
ablation   what each ingredient of the training is worth
card       what the model is, can and cannot do, from the files beside its weights
"""

# SHIM: removed by the lead. Old names of `anyms.stickers.language` and `anyms.stickers.card`, added when these modules are loaded.
import sys as _sys
from importlib.machinery import PathFinder as _PathFinder

_OLD = {
    "anyms.stickers.language": dict(boxes_of="noun_boxes", colour_there="color_inside", holds="claim_holds", hear="check_claims", plainly="plain_caption",
        draw_sentences="texts_to_images", draw_told="text_to_image", listen="evaluate_captions", roll_call="noun_recall"),
    "anyms.stickers.card": dict(figures="metrics_table", stages="training_stages", STAGE="STAGE_TITLES", SAID="INTROS", _size="model_size"),
}

def _old_keywords(fn):
    def call(*args, steps=None, guidance=None, **kw):
        if steps is not None: kw["num_inference_steps"] = steps
        if guidance is not None: kw["guidance_scale"] = guidance
        return fn(*args, **kw)
    return call

class _Shim:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name not in _OLD: return None
        spec = _PathFinder.find_spec(name, path, target)
        run = spec.loader.exec_module
        def exec_module(module):
            run(module)
            for old, new in _OLD[name].items():
                fn = getattr(module, new)
                setattr(module, old, _old_keywords(fn) if old in ("draw_sentences", "draw_told", "listen", "roll_call") else fn)
        spec.loader.exec_module = exec_module
        return spec

_sys.meta_path.insert(0, _Shim)
