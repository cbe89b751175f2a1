"""Models from the network: shown with their licence, fetched once, checked before anything is opened."""

from napari_medseg.models.download.offer import Offer
from napari_medseg.models.download.zoo import download_zoo_model, zoo_models, zoo_offer

__all__ = ["Offer", "download_zoo_model", "zoo_models", "zoo_offer"]
