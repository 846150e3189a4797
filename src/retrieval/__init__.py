"""Moments in any video: `Retriever`."""

from src.retrieval.retriever import Answer, EncodedVideo, FoundMoment, Retriever

__all__ = ["Answer", "EncodedVideo", "FoundMoment", "Retriever"]
