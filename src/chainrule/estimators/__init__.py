"""Estimators in scikit-learn's contract; this package is imported on first use."""

from chainrule.estimators.classifier import MLPClassifier as MLPClassifier
from chainrule.estimators.regressor import MLPRegressor as MLPRegressor
