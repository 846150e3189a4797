"""Words embedded with what their letters say, as VSLNet's released code has them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.data.batch import Inputs
from src.data.letters import spell
from src.errors import UserError
from src.models.dropout import Dropout
from src.models.span.base import Embedding

CHANNELS = (10, 20, 30, 40)
"""Of the convolutions over one, two, three and four letters."""


class LetterFeatures(nn.Module):
    """The largest response of each convolution over the letters of a word (Kim, EMNLP 2014).

    Windows begin inside the word; what they reach beyond its end is zero.

    Args:
        letters: How many there are, without the two for an unknown one and for none.
        dim: The size of a letter's vector.
        dropout: Of the vectors.
    """

    def __init__(self, letters: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.vectors = nn.Embedding(letters + 2, dim, padding_idx=0)
        self.dropout = Dropout(dropout)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(dim, channels, width) for width, channels in enumerate(CHANNELS, start=1)
        )

    def forward(self, letters: Tensor) -> Tensor:
        """letters (B, Q, W), 0 where there is none, to (B, Q, 100)."""
        words = letters.flatten(0, 1)
        vectors = F.pad(self.dropout(self.vectors(words)).mT, (0, len(CHANNELS) - 1))
        begins = (words != 0)[:, None]
        found = [convolution(vectors)[..., : words.shape[1]].relu() * begins for convolution in self.convolutions]
        return torch.cat([each.amax(dim=-1) for each in found], dim=-1).unflatten(0, letters.shape[:2])


class SpeltEmbedding(Embedding):
    """Dropout and a fully connected layer over a word's vector beside the features of its letters."""

    def __init__(self, dim: int, hidden: int, dropout: float, alphabet: str, letter_dim: int) -> None:
        super().__init__(dim + sum(CHANNELS), hidden, dropout)
        self.alphabet = alphabet
        self.letters = LetterFeatures(len(alphabet), letter_dim, dropout)

    def forward(self, features: Tensor, mask: Tensor, inputs: Inputs) -> Tensor:
        """Word vectors (B, Q, dim) of the sentences of `inputs` to (B, Q, hidden).

        Raises:
            UserError: the vectors are not of the sentences' words.
        """
        letters = spell(inputs.sentences, self.alphabet).to(features.device)
        if letters.shape[1] != features.shape[1]:
            raise UserError(
                "predictor.network.letters: this text encoder has vectors of other pieces than words, which cannot be "
                "spelt: set predictor.network.letters=0, or choose text=glove"
            )
        return self.linear(torch.cat((self.dropout(features), self.letters(letters)), dim=-1))
