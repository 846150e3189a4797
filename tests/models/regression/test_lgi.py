"""LGI against the golden numbers of its authors' code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from src.models.published import read_weights
from src.models.regression.lgi import attention_labels
from src.models.regression.published import read_lgi
from src.models.words import sentence
from tests.models.golden import Golden, watched


class LGIGolden(Golden):
    """Its words are vectors of a learned table."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.table = nn.Parameter(self["weight/query_enc.embedding.weight"])

    @property
    def query(self) -> Tensor:
        return self.table[self["input/word_ids"]]

    @property
    def windows(self) -> Tensor:
        return torch.stack((self["input/start"], self["input/end"]), dim=1) * self.duration[:, None]


def test_a_network_of_one_global_block_is_that_of_activitynet(shared: Path) -> None:
    weights = read_weights(shared / "parity" / "lgi.npz")
    assert read_lgi(weights).predictor == "lgi"
    one = {name: weight for name, weight in weights.items() if not re.match(r"vti_fn\.global_fn\.[1-9]", name)}
    of_activitynet = read_lgi(one)
    assert (of_activitynet.predictor, of_activitynet.settings["blocks"]) == ("lgi_anet", 1)


@pytest.fixture(scope="module", params=["lgi", "lgi_padded"])
def loaded(request: pytest.FixtureRequest, shared: Path) -> LGIGolden:
    return LGIGolden(shared / "parity" / f"{request.param}.npz")


@pytest.fixture
def golden(loaded: LGIGolden) -> LGIGolden:
    loaded.begin()
    return loaded


def test_settings_are_those_of_the_file(golden: LGIGolden) -> None:
    settings = golden.predictor.settings
    assert settings.heads == int(golden["input/heads"])
    assert settings.distinct == pytest.approx(float(golden["input/distinct_lambda"]))
    assert settings.output == str(golden.arrays["input/output_activation"])


def test_outputs_agree(golden: LGIGolden) -> None:
    network, predictor = golden.network, golden.predictor
    with watched(
        words=network.embed_query,
        phrases=predictor.phrases,
        weigh=predictor.weigh,
        summary=predictor.summary,
        **{f"fusion_{n}": fusion for n, fusion in enumerate(predictor.fusion)},
        **{f"local_{n}": local for n, local in enumerate(predictor.local)},
        **{f"global_{n}": block for n, block in enumerate(predictor.whole)},
    ) as seen:
        output = golden()
    mask, words = golden.mask, golden.query_mask
    (phrases, attention), count = seen["phrases"][0], len(predictor.fusion)
    each = mask[:, None].expand(-1, count, -1)
    golden.assert_outputs(
        {
            "words": (seen["words"][0], words),
            "sentence": sentence(seen["words"][0], words),
            "phrases": phrases,
            "phrase_attention": (attention, words[:, None].expand(-1, count, -1)),
            "fused": (torch.stack([seen[f"fusion_{n}"][0] for n in range(count)], dim=1), each),
            "local": (torch.stack([seen[f"local_{n}"][0] for n in range(count)], dim=1), each),
            "phrase_weight": seen["weigh"][0].squeeze(1),
            **{f"global_{n}": (seen[f"global_{n}"][0], mask) for n in range(len(predictor.whole))},
            "segments": (output.clips, mask),
            "temporal_attention": (output.attention, mask),
            "summary": seen["summary"][0],
            "location": output.location,
            "windows": output.location * golden.duration[:, None],
        }
    )
    golden.assert_state("after")


def test_outputs_of_evaluation_agree(golden: LGIGolden) -> None:
    golden.network.eval()
    with watched(**{f"local_{n}": local for n, local in enumerate(golden.predictor.local)}) as seen:
        output = golden()
    local = torch.stack([seen[f"local_{n}"][0] for n in range(len(seen))], dim=1)
    golden.assert_outputs(
        {
            "eval_local": (local, golden.mask[:, None].expand(-1, len(seen), -1)),
            "eval_segments": (output.clips, golden.mask),
            "eval_temporal_attention": (output.attention, golden.mask),
            "eval_location": output.location,
        }
    )


def test_labels_losses_and_gradients_agree(golden: LGIGolden) -> None:
    golden.table.grad = None
    target = golden.truth.taught(golden.mask.sum(dim=1)) / golden.duration[:, None]
    assert torch.equal(attention_labels(target, golden.mask), golden["input/attention"])
    terms = golden.losses()
    total = torch.stack(list(terms.values())).sum()
    total.backward()
    golden.assert_losses({**terms, "total": total})
    table = "query_enc.embedding"
    golden.assert_gradients(floor=1e-6, but=(table,))
    assert golden.table.grad is not None
    torch.testing.assert_close(golden.table.grad.norm(), golden[f"grad_norm/{table}.weight"], atol=0.0, rtol=1e-3)


def test_decodes_the_same_moments_within_the_video(golden: LGIGolden) -> None:
    golden.network.eval()
    start, end = golden["output/eval_location"].clamp(0, 1).unbind(dim=-1)
    found = golden.network.rank(golden.inputs, top=5)
    expected = torch.stack((start, end.maximum(start)), dim=-1) * golden.duration[:, None]
    torch.testing.assert_close(found.windows[:, 0], expected, atol=1e-3, rtol=0.0)
    assert found.counts.tolist() == [1] * len(expected)


def test_a_sample_is_the_same_alone_and_in_any_batch(golden: LGIGolden) -> None:
    golden.network.eval()
    together = golden()
    for sample in range(len(golden.mask)):
        alone = golden(golden.alone(sample))
        torch.testing.assert_close(alone.location[0], together.location[sample], atol=1e-5, rtol=0.0)
        count = alone.attention.shape[1]
        torch.testing.assert_close(alone.attention[0], together.attention[sample, :count], atol=1e-5, rtol=0.0)
