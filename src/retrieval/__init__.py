"""Moments in any video: `Retriever`; in a folder of videos: `Collection`."""

from src.retrieval.collection import Collection
from src.retrieval.results import Hit
from src.retrieval.retriever import Answer, EncodedVideo, FoundMoment, Retriever

__all__ = ["Answer", "Collection", "EncodedVideo", "FoundMoment", "Hit", "Retriever"]
