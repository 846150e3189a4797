"""Samples of several lengths side by side: what is padding says so, and nothing else changes."""

from __future__ import annotations

import torch
from torch import Tensor

from src.data.batch import GroundTruth, Labelled, Sample, collate, collate_inputs
from src.data.records import Moment, Window


def sample(length: int, words: int, rewordings: Tensor | None = None, video: bool = True) -> Sample:
    return Sample(
        sentence="a " * words,
        duration=2.0 * length,
        video=torch.full((length, 3), 1.5, dtype=torch.float16) if video else None,
        narrative=torch.full((length, 2), 2.0) if video else None,
        length=length,
        query=torch.full((words, 2), 3.0),
        unknown=torch.arange(words) == 0,
        rewordings=rewordings,
    )


def asked(name: str, windows: tuple[Window, ...], duration: float = 10.0) -> Moment:
    return Moment(name, "v", "a query", windows, duration)


def test_padding_is_zero_and_masked() -> None:
    inputs = collate_inputs([sample(2, 3), sample(4, 1)])
    assert inputs.snippet_mask.tolist() == [[True, True, False, False], [True] * 4]
    assert inputs.query_mask.tolist() == [[True] * 3, [True, False, False]]
    assert inputs.length.tolist() == [2, 4]
    assert inputs.duration.tolist() == [4.0, 8.0]
    assert inputs.unknown.tolist() == [[True, False, False]] * 2
    assert inputs.query.tolist() == [[[3, 3]] * 3, [[3, 3], [0, 0], [0, 0]]]
    assert inputs.video is not None
    assert inputs.narrative is not None
    assert inputs.video.tolist() == [[[1.5] * 3] * 2 + [[0] * 3] * 2, [[1.5] * 3] * 4]
    assert inputs.narrative[:, :, 0].tolist() == [[2, 2, 0, 0], [2] * 4]


def test_video_is_in_half_precision_until_it_is_wanted_in_full() -> None:
    inputs = collate_inputs([sample(2, 1)])
    assert inputs.video is not None
    assert inputs.video.dtype == torch.float16
    full = inputs.full()
    assert full.video is not None
    assert full.video.dtype == torch.float32
    assert full.video.tolist() == inputs.video.tolist()
    without = collate_inputs([sample(2, 1, video=False)])
    assert without.full() is without
    assert without.video is without.narrative is None


def test_rewordings_are_there_where_one_of_the_queries_has_some() -> None:
    none = collate_inputs([sample(2, 1), sample(2, 2, torch.zeros(0, 2))])
    assert none.rewordings is none.reworded is None
    some = collate_inputs([sample(2, 3), sample(2, 1, torch.tensor([[1.0, 2.0], [3.0, 4.0]])), sample(2, 2)])
    assert some.rewordings is not None
    assert some.reworded is not None
    assert some.rewordings.tolist() == [[[0, 0]] * 2, [[1, 2], [3, 4]], [[0, 0]] * 2]
    assert some.reworded.tolist() == [[False] * 2, [True] * 2, [False] * 2]


def test_a_query_with_fewer_windows_has_rows_that_are_no_numbers() -> None:
    truth = GroundTruth.of([asked("a", ((1.0, 2.0),)), asked("b", ((0.0, 1.0), (3.0, 4.5)), 5.0)])
    assert truth.windows.dtype == torch.float64
    assert truth.windows[0, 1].isnan().all()
    assert truth.windows[1].tolist() == [[0, 1], [3, 4.5]]
    assert truth.duration.tolist() == [10, 5]
    # Nothing is to be learned of them: the whole of a video of one snippet.
    assert truth.target.tolist() == [[0, 0]] * 2
    second = truth.of_queries(torch.tensor([False, True]))
    assert ([moment.query_id for moment in second.moments], second.duration.tolist()) == (["b"], [5])
    assert second.windows.tolist() == [[[0, 1], [3, 4.5]]]


def test_what_is_taught_is_the_window_that_the_target_is_of() -> None:
    # Snippets of two seconds; the target of each query is the snippets of its second window, where it has two.
    moments = [asked("a", ((0.0, 3.0), (5.0, 9.0))), asked("b", ((6.0, 8.0),)), asked("c", ((1.0, 9.0), (7.0, 8.0)))]
    targets = [(2, 4), (3, 3), (3, 3)]
    batch = collate([Labelled(sample(5, 1), moment, target) for moment, target in zip(moments, targets, strict=True)])
    assert batch.truth.taught(batch.inputs.length).tolist() == [[5, 9], [6, 8], [7, 8]]
    assert batch.truth.taught(batch.inputs.length).dtype == torch.float32
    # One that its target, a whole snippet of another second, does not overlap is still its only window.
    (alone,) = collate([Labelled(sample(5, 1), moments[1], (0, 0))] * 1).truth.taught(torch.tensor([5])).tolist()
    assert alone == [6, 8]
    both = collate([Labelled(sample(5, 1), moments[1], (0, 0)), Labelled(sample(5, 1), moments[0], (2, 4))])
    assert both.truth.taught(both.inputs.length).tolist() == [[6, 8], [5, 9]]
