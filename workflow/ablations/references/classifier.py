"""Trains one reference: counts as features of a logistic regression, all of it scikit-learn's.

No other module imports scikit-learn.
"""

from collections.abc import Callable, Sequence

import numpy as np
import sklearn
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from threadpoolctl import threadpool_limits

from ablations.study.references import Reference

VERSION: str = sklearn.__version__
STEPS = 1000  # of the regression's solver, at most

Answer = Callable[[Sequence[str]], NDArray[np.float64]]


def train(reference: Reference, texts: Sequence[str], labels: NDArray[np.int64]) -> Answer:
    """Trains on these texts, whose labels [texts] name every class from 0 on at least once.

    What is returned gives the logarithm of each class's probability, [texts, classes]. It counts
    only what stands in the texts of training. Where nothing that is counted does, such as a word of
    two letters, every text gets the shares of the classes in training.
    """
    found = pipeline(reference)
    if not any(map(found[0].build_analyzer(), texts)):
        found[0].set_params(vocabulary=[""])  # which no text has; none at all would be refused
    with threadpool_limits(1):  # the order of a sum decides its last bits
        found.fit(texts, labels)

    def answer(texts: Sequence[str]) -> NDArray[np.float64]:
        with threadpool_limits(1):
            scores = np.asarray(found.decision_function(texts), np.float64)
        if scores.ndim == 1:  # of two classes only the second one's
            scores = np.stack([np.zeros_like(scores), scores], axis=1)
        return np.asarray(log_softmax(scores, axis=1))

    return answer


def pipeline(reference: Reference) -> Pipeline:
    """The reference, untrained."""
    counting = {
        "analyzer": reference.analyzer,
        "ngram_range": (reference.fewest, reference.most),
    }
    weighted = TfidfVectorizer(sublinear_tf=True, **counting)
    return make_pipeline(
        weighted if reference.weighted else CountVectorizer(**counting),
        LogisticRegression(C=reference.inverse_penalty, max_iter=STEPS),
    )
