"Several given subjects in one generated picture, each in its own box, by decoupled attention (AnyMS, arXiv 2512.23537)."
import importlib as _importlib
import logging as _logging
import os as _os
import sys as _sys
from types import ModuleType as _ModuleType

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
    "`__getattr__`, `__dir__` and `__all__` of a package that hands on public names (name -> module below it) and loads none before it is asked for."
    def load(name):
        if name not in homes: raise AttributeError(f"{package} has no public name {name!r}; it has {', '.join(sorted(homes))}.")
        return getattr(_importlib.import_module(f"{package}.{homes[name]}"), name)

    return load, lambda: sorted(homes), list(homes)


# Public name -> the module it lives in. Nothing below is imported before it is asked for: `import anyms` takes milliseconds.
HOMES = dict(
    Box="layout", Subject="layout", Layout="layout",
    VARIANTS="attend", variant="attend",
    installed="processors", exclusive="processors",
    overlay="maps.heatmap", panel="maps.figures",
    capture="maps.record", AttentionMaps="maps.attention_maps",
    Maps="capture",  # SHIM: removed by the lead
    load="pipeline", generate="pipeline", compare="pipeline", Result="pipeline", Runs="pipeline",
)
__all__ = ["__version__", *HOMES]


def __getattr__(name):
    if name not in HOMES: raise AttributeError(f"anyms has no public name {name!r}; it has {', '.join(sorted(HOMES))}.")
    return getattr(_importlib.import_module(f"anyms.{HOMES[name]}"), name)


def __dir__(): return sorted({*globals(), *HOMES})


class _Package(_ModuleType):
    "Keeps `anyms.capture` the function: Python would put the submodule of that name in its place after the first import."
    @property
    def capture(self): return __getattr__("capture")

    @capture.setter
    def capture(self, module): pass  # the import system's own assignment; `from anyms.capture import Maps` works as ever


_sys.modules[__name__].__class__ = _Package
