"Which rows carry no picture, and what 'no picture' is."
import pytest
import torch
from conftest import picture

from anyms.attention.adapter import AdapterError
from anyms.attention.inputs import null_embedding, unconditional_rows
from anyms.layout.layout import Layout
from anyms.layout.subject import Subject

PAIR = Layout([Subject("fox", picture(0), (0, 0, .5, 1)), Subject("hat", picture(1), (.5, 0, 1, 1))])


@pytest.mark.parametrize("shape", [(2, 3, 8), (2, 3, 5, 8)])
def test_unconditional_rows(shape):
    g = torch.Generator().manual_seed(0)
    source = torch.randn(shape, generator=g)
    null = torch.randn(shape[2:], generator=g).expand(1, 1, *shape[2:])
    assert unconditional_rows(source).tolist() == [False, False]
    source[1] = 0
    assert unconditional_rows(source).tolist() == [False, True]
    source[1] = null[0] + 1e-5*torch.randn(shape[1:], generator=g)         # another batch size rounds otherwise
    assert unconditional_rows(source, null).tolist() == unconditional_rows(source, null[0]).tolist() == [False, True]
    assert unconditional_rows(source.bfloat16(), null).tolist() == [False, True]


def test_null_embedding_is_what_the_pipeline_uses(pipe):
    null = null_embedding(pipe)
    both = pipe.prepare_ip_adapter_image_embeds([PAIR.images], None, "cpu", 1, True)[0]
    assert unconditional_rows(both, null).tolist() == unconditional_rows(both).tolist() == [True, False]


def test_null_embedding_needs_an_adapter(pipes):
    with pytest.raises(AttributeError): null_embedding(3)
    with pytest.raises(AdapterError, match="null has the shape"): unconditional_rows(torch.zeros(2, 2, 4), torch.zeros(3))
