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
    comparison_figure="figure", metrics_table="comparison", find_token_positions="words", picture_size="canvas",
    check_numbers="checks", HUB="loading", check_weights="loading", quiet="loading",
))
