"""The auxiliary ranking branch (the paper's appendix): a score for each proposal."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.models.attention import AttentionLayer
from src.models.span.encoder import VideoStates
from src.models.span.fusion import Fusion
from src.models.span.guided import GuidedAttentionLayer
from src.models.span.proposals import Proposals, cells, proposal_features, propose


class Ranking(NamedTuple):
    """Proposals, their scores as logits (B, P), and the encoded proposals (B, P, d) and query (B, Q, d) behind them."""

    proposals: Proposals
    logits: Tensor
    features: Tensor
    query: Tensor


class MapScorer(nn.Module):
    """Convolutions over the proposal map (Eq. A.2); each cell is divided by the valid cells under its kernel."""

    def __init__(self, dim: int, layers: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv2d(dim, dim, 3, padding=1) for _ in range(layers))
        self.score = nn.Conv2d(dim, 1, 1)

    def forward(self, x: Tensor, proposals: Proposals) -> Tensor:
        """x (B, P, d) to logits (B, P)."""
        first, last, count = proposals.first, proposals.last, proposals.cells
        grid = x.new_zeros(len(x), x.shape[2], count, count)
        grid[:, :, first, last] = x.mT
        mask = x.new_zeros(len(x), 1, count, count)
        mask[:, 0, first, last] = proposals.mask.to(x.dtype)
        neighbours = F.conv2d(mask, mask.new_ones(1, 1, 3, 3), padding=1)
        share = torch.where(neighbours > 0, 1 / neighbours.clamp(min=1), torch.zeros_like(neighbours))
        for convolution in self.convolutions:
            grid = convolution(grid * mask).relu() * share
        return self.score(grid)[:, 0, first, last]


class RankingBranch(nn.Module):
    """Proposals and query attend to each other step by step with the snippets' encoder, whose states guide them."""

    def __init__(self, dim: int, heads: int, dropout: float, similarity: nn.Module, layers: int) -> None:
        super().__init__()
        self.self_attention = GuidedAttentionLayer(dim, heads, 1, dropout)  # p2p
        self.query_to_proposals = GuidedAttentionLayer(dim, heads, 1, dropout)  # p2w
        self.proposals_to_query = AttentionLayer(dim, heads, dropout)  # w2p
        self.context = GuidedAttentionLayer(dim, heads, 1, dropout)  # s2s
        self.query_context = AttentionLayer(dim, heads, dropout)  # pq2q
        self.fusion = Fusion(dim, similarity, nn.ReLU())
        self.scorer = MapScorer(dim, layers)

    def forward(self, video: VideoStates, mask: Tensor, query: Tensor, query_mask: Tensor) -> Ranking:
        """Rank the proposals of a video.

        Args:
            video: its snippets' states as they enter the encoder and after each of its steps.
            mask: (B, L).
            query: (B, Q, d), after its self-attention in the encoder.
            query_mask: (B, Q).
        """
        proposals = propose(mask)

        def boundary_guides(snippets: Tensor) -> tuple[Tensor, Tensor]:
            """The cells of a proposal's first and last snippet (Eq. A.1)."""
            cell, valid = cells(snippets, mask), proposals.mask[..., None]
            return cell[:, proposals.first] * valid, cell[:, proposals.last] * valid

        valid = proposals.mask
        p0 = proposal_features(cells(video.entered, mask), proposals)
        p1 = self.self_attention.attend_self(p0, valid, boundary_guides(video.entered))
        p2 = self.query_to_proposals.attend_cross(p1, valid, boundary_guides(video.explored), query, query_mask)
        q1 = self.proposals_to_query(query, p1, valid)
        p3 = self.context.attend_self(p2, valid, boundary_guides(video.attended))
        q2 = self.query_context(q1, q1, query_mask)
        logits = self.scorer(self.fusion(p3, valid, q2, query_mask), proposals)
        return Ranking(proposals, logits, p3, q2)
