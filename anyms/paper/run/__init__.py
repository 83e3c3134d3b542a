"""All of it by one command: what is drawn, by whom, where it is kept, and what is concluded.

store: a folder in which a file that exists is done. units: the plan, and its digests. costs: seconds, evaluations, memory, training.
drawing: a worker's share of the plan. judging: the same for whoever looks. intervals: redrawn cases and noises. summaries: the tables.
commands: what stands behind `anyms paper`.
"""
from anyms import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, dict(
    Store="store", Unit="store",
    Plan="units", World="units", all_methods="units", pick_methods="units", plan="units", world_of="units",
    Worker="drawing", find_worker="drawing", draw="drawing", prepare="drawing",
))
