# SHIM: removed by the lead
"What `anyms.heatmap` was, under its old names."
from functools import wraps

from anyms.images import as_picture as _picture, beside
from anyms.layout import Layout
from anyms.maps import figures as _figures, heatmap as _heatmap, metrics as _metrics
from anyms.maps.metric_figures import leakage_figure, share_figure  # noqa: F401
from anyms.maps.figures import PAGE_WIDTH as PAGE  # noqa: F401
from anyms.maps.heatmap import CMAPS, FLAT, RANGES, as_maps, resize, rounded_box  # noqa: F401
from anyms.maps.heatmap import colorize as paint, range_label as range_words  # noqa: F401
from anyms.maps.metrics import share_in_box  # noqa: F401


def _how(fn):
    "The function with `how=` for `color_range=`."
    @wraps(fn)
    def call(*args, **kw): return fn(*args, **{"color_range" if key == "how" else key: value for key, value in kw.items()})
    return call


limits, normalise, overlay = map(_how, (_heatmap.limits, _heatmap.normalize, _heatmap.overlay))
draw, panel, film = map(_how, (_figures.draw, _figures.panel, _figures.film_strip))


def row(pictures, gap=6): return beside(*pictures, gap=gap)


def leakage(heats, layout):
    "Of a Layout (or what looks like one), or of the owners themselves."
    if not hasattr(layout, "owner"): return _metrics.leakage(heats, layout)
    if isinstance(layout, Layout) and len(layout) != len(heats): raise ValueError(f"heats must be [s gh gw] with a map for each of the layout's {len(layout)} subjects")
    return _metrics.leakage(heats, layout.owner(as_maps(heats).shape[-2:]))
