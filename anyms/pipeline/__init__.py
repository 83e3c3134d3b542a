"""Using it: open a pipeline, draw a layout, compare the variants from the same noise, keep what came out.

- `memory`: does a model fit this machine, and in which number format?
- `adapters`: the adapter's file, whether it belongs to a U-Net, and loading it.
- `loading`: `load`, from the package, a folder or the Hub.
- `words`: which tokens of a prompt are whose.
- `canvas`: what the U-Net is called on: sizes, and cut-outs of inpainting.
- `checks`: every other wrong argument, refused before a model runs.
- `references`: the subjects' pictures as the adapter reads them.
- `steps`: one clock for a run, the picture after each step, a progress bar.
- `figure`: references, boxes, pictures and heatmaps on one sheet.
- `result`: `Result`, a picture with all that led to it, and its bundle on disk.
- `generation`: `generate`, one picture.
- `comparison`: `compare`, `Comparison`, its table, and its folder on disk.
"""
from anyms import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, dict(
    load="loading", generate="generation", compare="comparison", Result="result", Comparison="comparison",
    comparison_figure="figure", metrics_table="comparison", find_token_positions="words", picture_size="canvas", check_numbers="checks", HUB="loading",
))

# SHIM: removed by the lead (everything below)
import functools as _functools
import importlib as _importlib

_OLD = {
    "ADAPTERS": "anyms.pipeline.loading:ADAPTERS", "ENCODER": "anyms.pipeline.loading:ENCODER", "find_words": "anyms.pipeline.words:find_token_positions",
    "RANGES": "anyms.pipeline.checks:RANGES", "FILM": "anyms.pipeline.steps:STEP_SIDE", "LABELS": "anyms.pipeline.figure:STAT_LABELS",
    "sheet": "anyms.pipeline.figure:comparison_figure", "check_folder": "anyms.storage:check_folder", "check_writable": "anyms.storage:check_writable",
    "LEAST": "anyms.pipeline.result:MIN_SIDE", "Runs": "anyms.pipeline.comparison:Comparison", "figures": "anyms.pipeline.comparison:metrics_table",
    "_check_network": "anyms.pipeline.loading:check_network", "_quiet": "anyms.pipeline.loading:errors_only",
}
_WORDS = dict(steps="num_inference_steps", guidance="guidance_scale", window="active_steps", negative="uncond_image", film="step_images")
_new = __getattr__


def _translated(function):
    @_functools.wraps(function)
    def call(*args, **kw):
        kw = {_WORDS.get(k, k): v for k, v in kw.items()}
        if kw.get("uncond_image") == "zero_image": kw["uncond_image"] = "zeros"
        return function(*args, **kw)
    return call


def _aliases():
    "Old names of attributes, and of keywords of functions."
    from anyms.pipeline.comparison import Comparison
    from anyms.pipeline.result import Result

    def explore(self):
        from anyms.widgets import explore
        return explore(self)

    Result.film = property(lambda self: self.step_images, lambda self, frames: setattr(self, "step_images", frames))
    Comparison.explore, Comparison._by = explore, property(lambda self: self.by_key)
    init = Result.__init__
    if not hasattr(init, "__wrapped__"): Result.__init__ = _translated(init)


def __getattr__(name):
    if name in ("Result", "Runs", "Comparison", "generate", "compare"): _aliases()
    if name == "check_numbers" or name in ("generate", "compare"): return _translated(_new(name))
    if name not in _OLD: return _new(name)
    module, new = _OLD[name].split(":")
    return getattr(_importlib.import_module(module), new)
