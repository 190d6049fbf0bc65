"""Estimators in scikit-learn's contract; this package is imported when one of them is asked for."""

from chainrule.estimators.classifier import MLPClassifier as MLPClassifier
from chainrule.estimators.regressor import MLPRegressor as MLPRegressor
