"""What a set of images is compared with: the run's own sources, a folder of images, or a file that others wrote."""

from dis_lightning.metrics.references.base import Known, Looker, Reference, digest_of, digest_of_set
from dis_lightning.metrics.references.image_folder import ImageFolder
from dis_lightning.metrics.references.own_sources import OwnSources
from dis_lightning.metrics.references.statistics import Statistics

__all__ = ["ImageFolder", "Known", "Looker", "OwnSources", "Reference", "Statistics", "digest_of", "digest_of_set"]
