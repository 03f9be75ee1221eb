"""Features of Inception v3, on which FID and KID are defined.

The network is that of torch-fidelity, with the weights of 2015-12-05 converted from TensorFlow. It resizes 8-bit images
to 299 x 299 as TensorFlow 1 did, bilinearly and without antialiasing, and scales them by `(x - 128) / 128`. Heusel et
al., "GANs Trained by a Two Time-Scale Update Rule", 2017.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from dis_lightning.errors import MissingPackageError
from dis_lightning.metrics.networks.base import StoredFeatures
from dis_lightning.weights import read_tensors

__all__ = ["InceptionFeatures"]


class InceptionFeatures(StoredFeatures):
    """The 2048 pooled features of Inception v3; see the module.

    Args:
        weights: a file, or a card of `dis_lightning/metrics/networks/cards.yaml`.
    """

    name: ClassVar[str] = "inception"

    def __init__(self, weights: str = "weights-inception-2015-12-05-6726825d") -> None:
        super().__init__(weights)

    def build(self, file: Path) -> nn.Module:
        """See `StoredFeatures.build`.

        Raises:
            ModuleNotFoundError: if torch-fidelity is not installed.
        """
        try:
            from torch_fidelity import feature_extractor_inceptionv3  # type: ignore[import-untyped] # on request
        except ModuleNotFoundError as error:
            raise MissingPackageError("Inception features need: pip install torch-fidelity") from error
        read_tensors(file)  # torch-fidelity would execute what a file of its own kind says; this one holds tensors
        network: nn.Module = feature_extractor_inceptionv3.FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(file)
        )
        return network

    def features(self, images: Tensor) -> Tensor:
        """See `FeatureNetwork.features`."""
        vectors: Tensor = self.network(images)[0]
        return vectors

    def define(self) -> dict[str, Any]:
        """See `FeatureNetwork.define`."""
        return {
            "network": "Inception v3 (2015-12-05), pool of 2048, torch-fidelity " + version("torch-fidelity"),
            **self.hashes(),
            "resize": "299 x 299, bilinear as in TensorFlow 1, no antialiasing, (x - 128) / 128",
        }
