"""A network over similarities looks at the windows of a collection, whatever encoder their vectors are of."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import instantiate

from src.build import Parts, compose
from src.places import CONF
from src.retrieval import Retriever
from src.retrieval.index import Candidate, Question
from src.retrieval.segments import Segments, at_size


def unit(count: int, dim: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    found: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return found


def candidate(question: Question, video: str, count: int, start: float, seed: int) -> Candidate:
    vectors = unit(count, len(question.vector), seed)
    edges = start + 2.0 * np.arange(count + 1)
    spans = np.stack((edges[:-1], edges[1:]), axis=1)
    return Candidate(video, spans, vectors @ question.vector, 0.5, vectors)


@pytest.fixture(scope="module")
def segments() -> Segments:
    torch.manual_seed(0)
    ranker: Segments = instantiate(compose("search", "model=segments").model.ranker, _convert_="all")
    ranker.retriever = Retriever(Parts(compose("evaluate", "+experiment=segments", "reworder=none")))  # type: ignore[misc]
    return ranker


@pytest.mark.parametrize("dim", [16, 384, 512])
def test_moments_lie_in_their_window_with_probabilities(segments: Segments, dim: int) -> None:
    question = Question("a dog runs", unit(1, dim, 9)[0])
    windows = [
        candidate(question, "a", 12, 0, 0),
        candidate(question, "b", 1, 0, 1),
        candidate(question, "a", 40, 80, 2),
    ]
    found = segments(question, windows, None)  # type: ignore[arg-type]
    assert {one.video for one in found} == {"a", "b"}
    for one in found:
        assert 0 <= one.probability <= 1
        assert any(
            each.video == one.video and each.spans[0, 0] <= one.start < one.end <= each.spans[-1, 1] for each in windows
        )
    alone = segments(question, windows[:1], None)  # type: ignore[arg-type]
    together = [(one.start, one.end) for one in found if one.video == "a" and one.end <= 24]
    assert [(one.start, one.end) for one in alone] == together


@pytest.mark.parametrize("dim", [16, 512])
def test_rewordings_are_read_and_the_sentence_itself_is_none(segments: Segments, dim: int) -> None:
    vector = unit(1, dim, 9)[0]
    windows = [candidate(Question("a dog runs", vector), "a", 12, 0, 0)]
    alone, itself, other = (
        segments(Question("a dog runs", vector, rewordings), windows, None)  # type: ignore[arg-type]
        for rewordings in (None, np.stack((vector, vector)), unit(2, dim, 10))
    )
    assert [one[:3] for one in itself] == [one[:3] for one in alone]
    assert [one.probability for one in itself] == pytest.approx([one.probability for one in alone], rel=1e-4)
    assert [one.probability for one in other] != pytest.approx([one.probability for one in alone], rel=1e-3)


def test_a_command_loads_what_comes_with_the_project() -> None:
    # As within a command that Hydra runs.
    with initialize_config_dir(str(CONF), version_base="1.3"):
        around = GlobalHydra.instance().hydra
        ranker: Segments = instantiate(compose("search", "model=segments").model.ranker, _convert_="all")
        assert ranker.retriever.parts.cfg.predictor.name == "segments"
        assert GlobalHydra.instance().hydra is around


@pytest.mark.parametrize("dim", [5, 384, 700])
def test_vectors_of_any_size_keep_their_cosines(dim: int) -> None:
    rows = unit(30, dim, 3)
    kept = at_size(rows, 384)
    assert kept.shape == (30, 384)
    np.testing.assert_allclose(kept @ kept.T, rows @ rows.T, atol=1e-5)
