"""Text-Enhanced Alignment: streams embedded, narratives merged into the video, a predictor, the paragraph branch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import MetricCollection

from src.data.batch import Batch
from src.errors import UserError
from src.metrics.highlights import HighlightDetection
from src.metrics.suite import rows_of
from src.models.match import NarrativeEmbedding
from src.models.mergers import Merger
from src.models.paragraph import ParagraphQuery
from src.models.predictor import Predictor, RankedMoments


class Network(nn.Module):
    """What is learned: (video, narrative, query) → the predictor's output.

    Args:
        predictor: also says how a stream is embedded.
        merger: of the embedded video and narratives.
        paragraph: the parallel branch over (narrative, query), or None.
        match: tells how narratives match the query, or None.
        video_dim: D_v; None where the merger reads no video.
        text_dim: D_t, of the narrative and word vectors.
    """

    def __init__(
        self,
        predictor: Predictor,
        merger: Merger,
        paragraph: ParagraphQuery | None,
        match: nn.Module | None,
        video_dim: int | None,
        text_dim: int,
    ) -> None:
        super().__init__()
        self.unknown_word = nn.Parameter(nn.init.xavier_uniform_(torch.empty(1, text_dim)).squeeze(0))
        self.embed_video = predictor.embedding(video_dim, "video") if video_dim is not None else None
        self.embed_narrative = (
            NarrativeEmbedding(predictor.embedding(text_dim, "narrative"), match) if merger.uses_narrative else None
        )
        self.embed_query = predictor.embedding(text_dim, "query")
        self.merger = merger
        self.predictor = predictor
        self.paragraph = paragraph

    def forward(self, batch: Batch) -> Any:
        mask, query_mask = batch.snippet_mask, batch.query_mask
        words = torch.where(batch.unknown[..., None], self.unknown_word, batch.query)
        video = self.embed_video(batch.video, mask) if self.embed_video is not None else None
        narrative = None
        if self.embed_narrative is not None:
            narrative = self.embed_narrative(batch.narrative, mask, words, query_mask)
        merged = self.merger(video, narrative, mask)
        output = self.predictor(merged, mask, self.embed_query(words, query_mask), query_mask)
        if self.paragraph is not None:
            output = self.paragraph(output, batch.narrative, mask, words, query_mask)
        return output


class TEA(lightning.LightningModule):
    """Trains and tests a `Network`.

    Args:
        network: see there.
        optimizer: makes the optimizer of parameter groups.
        scheduler: makes the schedule of the optimizer and the number of steps.
        metrics: makes the metrics of one split.
        test_rows: for each test split, in the order of the test dataloaders, the rows of its result: see `rows_of`.
        top: moments decoded for each query.
        config: the resolved configuration, kept in the checkpoint: with it a checkpoint stands alone.
    """

    def __init__(
        self,
        network: Network,
        optimizer: Callable[[Iterable[dict[str, Any]]], Optimizer],
        scheduler: Callable[[Optimizer, int], LRScheduler],
        metrics: Callable[[], MetricCollection],
        test_rows: Mapping[str, Sequence[str]],
        top: int,
        config: dict[str, Any],
    ) -> None:
        super().__init__()
        self.network = network
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.val_metrics = metrics()
        self.test_metrics = nn.ModuleDict({row: metrics() for rows in test_rows.values() for row in rows})
        self.test_splits = list(test_rows)
        self.highlights = nn.ModuleDict(
            {prefix: HighlightDetection() for prefix in ("val", *(f"test/{split}" for split in test_rows))}
        )
        self.top = top
        self.config = config

    def forward(self, batch: Batch) -> RankedMoments:
        """The ranked moments of a batch."""
        return self.network.predictor.decode(self.network(batch), batch, self.top)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        progress = self.current_epoch / max(self.trainer.max_epochs or 1, 1)
        terms = self.network.predictor.losses(self.network(batch), batch, progress)
        loss = torch.stack(list(terms.values())).sum()
        if not loss.isfinite():
            ids = ", ".join(moment.query_id for moment in batch.moments)
            values = ", ".join(f"{name} {float(term.detach()):.4g}" for name, term in terms.items())
            raise UserError(f"the loss is not finite in epoch {self.current_epoch} ({values}); queries: {ids}")
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch))
        for name, term in terms.items():
            self.log(f"train/{name}", term.detach(), on_step=False, on_epoch=True, batch_size=len(batch))
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        ranked: RankedMoments = self(batch)
        self.val_metrics.update(ranked.windows, batch.windows, batch.duration)
        self.highlights["val"].update(ranked.saliency, batch.snippet_mask, batch.moments)  # type: ignore[operator]

    def on_validation_epoch_end(self) -> None:
        self._report("val", self.val_metrics)

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, RankedMoments]:
        ranked: RankedMoments = self(batch)
        split = self.test_splits[dataloader_idx]
        rows = [rows_of(split, moment) for moment in batch.moments]
        for row in {row for each in rows for row in each}:
            members = torch.tensor([row in each for each in rows], device=self.device)
            update = self.test_metrics[row].update
            update(ranked.windows[members], batch.windows[members], batch.duration[members])  # type: ignore[operator]
        highlights = self.highlights[f"test/{split}"]
        highlights.update(ranked.saliency, batch.snippet_mask, batch.moments)  # type: ignore[operator]
        return {"ranked": ranked}

    def on_test_epoch_end(self) -> None:
        for row, metrics in self.test_metrics.items():
            self._report(f"test/{row}", metrics)  # type: ignore[arg-type]

    def _report(self, prefix: str, metrics: MetricCollection) -> None:
        values = {f"{prefix}/{name}": value for name, value in metrics.compute().items()}
        metrics.reset()
        if prefix in self.highlights:
            highlights = self.highlights[prefix]
            values |= {f"{prefix}/{name}": value for name, value in highlights.compute().items()}  # type: ignore[operator]
            highlights.reset()  # type: ignore[operator]
        # Every process has the reduced value already.
        self.log_dict(values, prog_bar=False, rank_zero_only=False, sync_dist=False, add_dataloader_idx=False)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = self.optimizer(parameter_groups(self.network))
        scheduler = self.scheduler(optimizer, int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["config"] = self.config


def parameter_groups(network: nn.Module) -> list[dict[str, Any]]:
    """Parameters with and without weight decay: vectors (biases, normalisations, word vectors) are not decayed."""
    matrices = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    return [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]
