"Several given subjects in one generated picture, each in its own box, by decoupled attention (AnyMS, arXiv 2512.23537)."
import importlib as _importlib
import logging as _logging
import os as _os
import sys as _sys

__version__ = "0.1.0"

# torch's idle threads (GNU OpenMP) spin while they wait. Two processes on one machine then hinder each other: each takes seven times
# as long as alone, where half the machine means twice. A short spin costs one process nothing; `anyms bench speed` measures it.
# The number is read when torch is loaded, so it is set before, and only where nobody has decided otherwise.
SPINS = 1000


def calm_threads(environ):
    "Let idle threads of OpenMP give way soon, in this environment, unless its owner has said how they shall wait."
    if "OMP_WAIT_POLICY" not in environ: environ.setdefault("GOMP_SPINCOUNT", str(SPINS))
    return environ


if "torch" not in _sys.modules: calm_threads(_os.environ)

# Two notices that help nobody here: we name the Pillow image processors ourselves, and an empty list of modules needs no warning.
_logging.getLogger("transformers.utils.import_utils").addFilter(lambda r: "requires torchvision" not in str(r.msg))
_logging.getLogger("diffusers.models.modeling_utils").addFilter(lambda r: "kept in float32: []" not in str(r.msg))


def lazy_names(package, homes):
    "`__getattr__`, `__dir__` and `__all__` of a package that hands on names (name -> module) and loads none before it is asked for."
    def load(name):
        if name not in homes: raise AttributeError(f"{package} has no public name {name!r}; it has {', '.join(sorted(homes))}.")
        return getattr(_importlib.import_module(f"{package}.{homes[name]}"), name)

    return load, lambda: sorted(homes), list(homes)


# Public name -> the module it lives in. Nothing below is imported before it is asked for: `import anyms` takes milliseconds.
HOMES = dict(
    Box="layout.boxes", Subject="layout.subject", Layout="layout.layout",
    VARIANTS="attention.variants", variant="attention.variants",
    installed="attention.install", exclusive="attention.install",
    overlay="maps.heatmap", panel="maps.figures",
    capture="maps.record", AttentionMaps="maps.attention_maps",
    load="pipeline.loading", generate="pipeline.generation", Result="pipeline.result",
    compare="pipeline.comparison", Comparison="pipeline.comparison",
    explore="widgets.explorer", edit="widgets.editor", play="widgets.player",
)
_load, _names, _public = lazy_names(__name__, HOMES)
__all__ = ["__version__", *_public]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name): return _load(name)


def __dir__(): return sorted({*globals(), *_names()})
