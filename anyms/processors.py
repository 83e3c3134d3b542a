# SHIM: removed by the lead
"Old names of anyms.attention.selection, inputs, state, processors and install; old keywords; `unet.anyms_tap`."
from types import SimpleNamespace

from anyms.attention.install import exclusive, installed as _installed
from anyms.attention.inputs import null_embedding, unconditional_rows as unconditional
from anyms.attention.processors import SubjectAttnProcessor as SubjectAttention
from anyms.attention.adapter import AdapterError, adapter_tokens, find_processors
from anyms.attention.selection import ALL_STEPS, select_layers as choose_layers, select_steps
from anyms.attention.state import AttentionState as Installed, CachedProjection as Projected, LevelMasks as View, References as Made

EVER = ALL_STEPS.stop


def step_window(steps=None): return select_steps(steps, "steps")


class installed(_installed):
    "With the old names of two keywords."
    def __init__(self, unet, layout, variant=None, *, steps=None, negative=None, **options):
        if steps is not None: options["active_steps"] = steps
        if negative is not None: options["uncond_image"] = "zeros" if negative == "zero_image" else negative
        super().__init__(unet, layout, variant, **options)


class _Counter:
    def __init__(self, count): self.count = count
    step = property(lambda self: self.count()[0])


_prepare = Installed.prepare
def prepare(self, *args, **kwargs):
    _prepare(self, *args, **kwargs)
    if self.recorder is None: self.recorder = getattr(self.unet, "anyms_tap", None)


Installed.prepare = prepare
Installed._count = property(lambda self: self.clock.read, lambda self, count: self.clock.follow(_Counter(count)))
Installed.times = property(lambda self: self.clock.unread, lambda self, times: setattr(self.clock, "unread", times))
Installed.made = property(lambda self: SimpleNamespace(tokens=self.references.tokens, off=self.references.uncond_rows, refs=self.references.subject_kv))
Installed.members = property(lambda self: [SimpleNamespace(text=layer.text_kv, name=layer.name) for layer in self.layers])
Installed.views = property(lambda self: self.level_masks)
Installed.view = Installed.masks
Projected.now = property(lambda self: self.state)
