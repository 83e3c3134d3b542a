"""What a layout costs, at full size and without weights.

nets: the architectures, and one step in seven ways. steps: a fair clock. layers: the cross-attention layers alone. memory: to the byte.
pictures: whole pictures, compiled, two at once. report: everything on record, `anyms bench speed`.
"""
from anyms import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, dict(
    NETS="nets", OURS="nets", REFERENCE_TOKENS="nets", WAYS="nets", Stage="nets", fill_random="nets", random_unet="nets", strips="nets",
    way="nets",
    make_ready="steps", measure="steps", ratios="steps", time_making="steps", time_steps="steps",
    Operations="layers", all_layers="layers", slope="layers", speed_figure="layers", time_layers="layers", time_watching="layers",
    measure_bytes="memory", predict_bytes="memory",
    LIBGOMP="pictures", picture_layout="pictures", profile_picture="pictures", time_picture="pictures", time_run="pictures",
    time_together="pictures", together_ratio="pictures",
    FILES="report", about="report", run_benchmarks="report",
))
