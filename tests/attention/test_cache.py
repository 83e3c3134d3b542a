"An answer is kept as long as nothing that it was made from has changed (on whole U-Nets: test_install_findings)."
import pytest
import torch
from torch import nn

from anyms.attention.cache import Cache, sample_tensor
from anyms.attention.clock import StepClock


@pytest.mark.parametrize("shape", [(8, 8), (64, 48), (48, 64), (640, 2048), (7, 30), (1, 9), (9, 1), (5,), (), (0, 3), (2, 3, 4)])
def test_a_sample_has_every_row_and_column(shape):
    x = torch.arange(torch.Size(shape).numel(), dtype=torch.float).reshape(shape)
    seen = sample_tensor(x).long()
    if x.ndim < 2 or not x.numel(): return
    columns = shape[-1]
    assert len(set((seen % columns).tolist())) == columns and len(set((seen // columns).tolist())) == x.numel()//columns
    assert len(seen) <= max(64, 9*max(columns, x.numel()//columns))


@torch.no_grad()
def test_two_answers_are_kept_and_none_is_stale():
    net, calls = nn.Linear(6, 3), []
    def project(x, factor=1):
        calls.append(1)
        return factor*net(x)
    cache, (a, b) = Cache(project, lambda: [net]), torch.randn(2, 4, 6)
    for x in (a, b, a, b): assert torch.equal(cache(x), net(x))
    assert len(calls) == 2
    net.weight.data.mul_(2)
    assert torch.equal(cache(a), net(a)) and torch.equal(cache(a, 3), 3*net(a)) and len(calls) == 4
    with torch.enable_grad(): assert cache(a).requires_grad and not cache.entries


def test_a_rise_of_rounding_size_is_no_new_run():
    "Samplers of second order come back to a timestep, give or take rounding (report 13)."
    clock = StepClock()
    for t in (999., 900., 900.0001, 800., 800., 799.9999): clock.add(t)
    assert clock.step == 2
    clock.add(999.)
    assert clock.step == 0, "a real rise is a new run"
