"""Who draws: one interface, and every method of the tables behind it.

sampling: the same noise for everybody, and what a picture costs. method: the interface and the registry. variants: AnyMS and its ablations.
"""
from anyms import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, dict(
    BASES="sampling", Sampling="sampling", base_of="sampling", count_calls="sampling", initial_noise="sampling", sample="sampling",
    METHODS="method", Method="method", get_method="method", register_method="method",
    VariantMethod="variants",
))
