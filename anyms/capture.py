# SHIM: removed by the lead
"What `anyms.capture` was, under its old names."
from anyms.attention.selection import layer_grids, select_layers, select_steps  # noqa: F401
from anyms.maps.attention_maps import AttentionMaps as Maps
from anyms.maps.named_axes import DIMS, HeatMaps as Heat  # noqa: F401
from anyms.maps.record import Recorder as _Tap, capture as _capture, estimate  # noqa: F401
from anyms.maps.stats import STATS, check_stats, energy_map, mass_map, norm_map, text_map  # noqa: F401

OLD = {"row": "batch_index", "steps": "active_steps"}
for kind in (Maps, Heat): kind.cells = property(lambda self: self.maps)
Maps.one, Heat.behind = property(lambda self: self.single), property(lambda self: self.source_grids)



def _how(method):
    def call(*args, **kw): return method(*args, **{"color_range" if key == "how" else key: value for key, value in kw.items()})
    return call


Heat.show, Heat.overlay = _how(Heat.show), _how(Heat.overlay)


def capture(*args, **kw): return _capture(*args, **{OLD.get(key, key): value for key, value in kw.items()})


def pick_layers(layers, known): return select_layers(known, layers)


def pick_steps(steps): return select_steps(steps).__contains__
