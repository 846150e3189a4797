"""The contract of a training method: what goes around a network while it learns, whatever its parts are."""

from __future__ import annotations

from torch import Tensor, nn

from src.data.batch import Batch
from src.models.network import Network


class Method(nn.Module):
    """How a batch teaches a network. This one shows the batch as it is; others change its samples and add losses.

    A method may make further versions of a batch with `dataclasses.replace` on its inputs and ground truth (the moment
    moved through the video, words or clips masked, another query or video), run the network on more than one of them,
    and add terms to the loss. It may have weights of its own, which are trained and kept with the network's; the
    network is complete without them. It is of training only: nothing of it takes part in retrieval.

    Random draws come from torch's generators, so that training continues exactly from a checkpoint.
    """

    def require(self, network: Network) -> None:
        """Raise a UserError if it cannot teach such a network, with the reason."""

    def losses(self, network: Network, batch: Batch) -> dict[str, Tensor]:
        """The terms of the training loss, weighted, under the names they are logged by; their sum is minimised.

        Args:
            network: In training mode; `network(inputs)` gives its predictor's output, `network.progress` is the share
                of training that is done.
            batch: Inputs and ground truth, on the network's device.
        """
        output = network(batch.inputs)
        return network.predictor.losses(output, batch.inputs, batch.truth, network.progress)
