"""LOOKING INSIDE: what each subject's attention did, as numbers, pictures and figures, and nothing drawn differs for it.

- `heatmap`: numbers to colors. The range that colors span, tokens on another grid, a map over its picture.
- `metrics`: arrays in, numbers out. The share inside a box, the leakage matrix.
- `figures`: maps to matplotlib. One map, subjects by variants, step by step.
- `metric_figures`: the numbers, drawn. The leakage matrix, shares as bars.
- `stats`: what a map may be a map of. From one layer's record to a number for each subject and token.
- `attention_maps`: a run's maps with named axes, subject, layer and step; on disk and back.
- `record`: `with capture(unet) as maps`, which watches a run and changes nothing.
- `reads`: what a place reads of a reference, cell by cell, and for which adapters that can be drawn.
"""
from anyms import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, dict(
    RANGES="heatmap", CMAPS="heatmap", as_maps="heatmap", limits="heatmap", normalize="heatmap", resize="heatmap", colorize="heatmap",
    overlay="heatmap", rounded_box="heatmap",
    share_in_box="metrics", leakage="metrics",
    draw="figures", panel="figures", film_strip="figures", leakage_figure="metric_figures", share_figure="metric_figures",
    STATS="stats", check_stats="stats",
    HeatMaps="attention_maps", AttentionMaps="attention_maps",
    capture="record", estimate="record",
    ReadMaps="reads", capture_reads="reads", estimate_reads="reads", read_map="reads", read_picture="reads", read_places="reads",
))
