"""Chainrule: neural networks as explicit computation graphs."""

import typing as _typing
from types import ModuleType as _Module

from chainrule.system import startup as _startup  # noqa: F401

# isort: split
from chainrule import data as data
from chainrule import errors as errors
from chainrule.autodiff import gradients as gradients
from chainrule.explain.gradcheck import check_gradients as check_gradients
from chainrule.explain.picture import picture as picture
from chainrule.explain.trace import Trace as Trace
from chainrule.explain.trace import run as run
from chainrule.graph import Graph as Graph
from chainrule.graph import Node as Node
from chainrule.graph import check as check
from chainrule.graph import listing as listing
from chainrule.graph.leaves import input as input
from chainrule.graph.leaves import parameter as parameter
from chainrule.live.notebook import watch as watch
from chainrule.model.compare import Comparison as Comparison
from chainrule.model.compare import compare as compare
from chainrule.model.crossvalidate import cross_validate as cross_validate
from chainrule.model.exercise import Exercise as Exercise
from chainrule.model.exercise import exercise as exercise
from chainrule.model.many import fit_many as fit_many
from chainrule.model.model import Model as Model
from chainrule.model.model import load as load
from chainrule.model.predictor import Predictor as Predictor
from chainrule.model.show import show as show
from chainrule.nn import init as init
from chainrule.nn import layer as layer
from chainrule.nn.classes import cross_entropy as cross_entropy
from chainrule.nn.classes import hinge as hinge
from chainrule.nn.classes import kl_divergence as kl_divergence
from chainrule.nn.compose import mlp as mlp
from chainrule.nn.compose import residual as residual
from chainrule.nn.compose import sequential as sequential
from chainrule.nn.layers import dense as dense
from chainrule.nn.layers import dropout as dropout
from chainrule.nn.layers import embedding as embedding
from chainrule.nn.layers import flatten as flatten
from chainrule.nn.losses import absolute_error as absolute_error
from chainrule.nn.losses import binary_cross_entropy as binary_cross_entropy
from chainrule.nn.losses import cosine as cosine
from chainrule.nn.losses import huber as huber
from chainrule.nn.losses import poisson as poisson
from chainrule.nn.losses import quantile as quantile
from chainrule.nn.losses import squared_error as squared_error
from chainrule.nn.normalise import batch_norm as batch_norm
from chainrule.nn.normalise import layer_norm as layer_norm
from chainrule.nn.normalise import rms_norm as rms_norm
from chainrule.nn.numeric import periodic as periodic
from chainrule.nn.numeric import piecewise as piecewise
from chainrule.nn.penalties import l1 as l1
from chainrule.nn.penalties import l2 as l2
from chainrule.nn.penalties import weights_of as weights_of
from chainrule.nn.summary import summary as summary
from chainrule.ops import abs as abs
from chainrule.ops import add as add
from chainrule.ops import argmax as argmax
from chainrule.ops import argmin as argmin
from chainrule.ops import broadcast_to as broadcast_to
from chainrule.ops import cast as cast
from chainrule.ops import clip as clip
from chainrule.ops import concat as concat
from chainrule.ops import constant as constant
from chainrule.ops import cos as cos
from chainrule.ops import cumsum as cumsum
from chainrule.ops import data_total as data_total
from chainrule.ops import divide as divide
from chainrule.ops import einsum as einsum
from chainrule.ops import elu as elu
from chainrule.ops import equal as equal
from chainrule.ops import erf as erf
from chainrule.ops import exp as exp
from chainrule.ops import expand_dims as expand_dims
from chainrule.ops import expm1 as expm1
from chainrule.ops import flip as flip
from chainrule.ops import floor as floor
from chainrule.ops import gather as gather
from chainrule.ops import gelu as gelu
from chainrule.ops import greater as greater
from chainrule.ops import greater_equal as greater_equal
from chainrule.ops import hard_sigmoid as hard_sigmoid
from chainrule.ops import hard_tanh as hard_tanh
from chainrule.ops import isfinite as isfinite
from chainrule.ops import isnan as isnan
from chainrule.ops import leaky_relu as leaky_relu
from chainrule.ops import less as less
from chainrule.ops import less_equal as less_equal
from chainrule.ops import log as log
from chainrule.ops import log1p as log1p
from chainrule.ops import log_softmax as log_softmax
from chainrule.ops import logical_and as logical_and
from chainrule.ops import logical_not as logical_not
from chainrule.ops import logical_or as logical_or
from chainrule.ops import logical_xor as logical_xor
from chainrule.ops import logsumexp as logsumexp
from chainrule.ops import matmul as matmul
from chainrule.ops import max as max
from chainrule.ops import maximum as maximum
from chainrule.ops import mean as mean
from chainrule.ops import min as min
from chainrule.ops import minimum as minimum
from chainrule.ops import mish as mish
from chainrule.ops import multiply as multiply
from chainrule.ops import negative as negative
from chainrule.ops import norm as norm
from chainrule.ops import not_equal as not_equal
from chainrule.ops import one_hot as one_hot
from chainrule.ops import pad as pad
from chainrule.ops import pairs as pairs
from chainrule.ops import power as power
from chainrule.ops import prod as prod
from chainrule.ops import reciprocal as reciprocal
from chainrule.ops import relu as relu
from chainrule.ops import repeat as repeat
from chainrule.ops import reshape as reshape
from chainrule.ops import round as round
from chainrule.ops import rsqrt as rsqrt
from chainrule.ops import selu as selu
from chainrule.ops import sigmoid as sigmoid
from chainrule.ops import sign as sign
from chainrule.ops import silu as silu
from chainrule.ops import sin as sin
from chainrule.ops import slice as slice
from chainrule.ops import softmax as softmax
from chainrule.ops import softplus as softplus
from chainrule.ops import softsign as softsign
from chainrule.ops import split as split
from chainrule.ops import sqrt as sqrt
from chainrule.ops import square as square
from chainrule.ops import squeeze as squeeze
from chainrule.ops import stack as stack
from chainrule.ops import std as std
from chainrule.ops import stop_gradient as stop_gradient
from chainrule.ops import subtract as subtract
from chainrule.ops import sum as sum
from chainrule.ops import swapaxes as swapaxes
from chainrule.ops import take as take
from chainrule.ops import tanh as tanh
from chainrule.ops import tracked as tracked
from chainrule.ops import transpose as transpose
from chainrule.ops import uniform as uniform
from chainrule.ops import var as var
from chainrule.ops import when_training as when_training
from chainrule.ops import where as where
from chainrule.ops.custom import op as op
from chainrule.recipe import Config as Config
from chainrule.recipe import train as train
from chainrule.recipe.search import search as search
from chainrule.system import calls as _calls
from chainrule.train import metrics as metrics
from chainrule.train import schedules as schedules
from chainrule.train.callbacks import Callback as Callback
from chainrule.train.callbacks import EarlyStopping as EarlyStopping
from chainrule.train.history import History as History
from chainrule.train.lbfgs import LBFGS as LBFGS
from chainrule.train.optim import LAMB as LAMB
from chainrule.train.optim import SGD as SGD
from chainrule.train.optim import Adadelta as Adadelta
from chainrule.train.optim import Adagrad as Adagrad
from chainrule.train.optim import Adam as Adam
from chainrule.train.optim import Adamax as Adamax
from chainrule.train.optim import AdamW as AdamW
from chainrule.train.optim import AMSGrad as AMSGrad
from chainrule.train.optim import Lion as Lion
from chainrule.train.optim import NAdam as NAdam
from chainrule.train.optim import Optimizer as Optimizer
from chainrule.train.optim import RAdam as RAdam
from chainrule.train.optim import RMSprop as RMSprop
from chainrule.train.record import Record as Record
from chainrule.train.record import Recording as Recording
from chainrule.types import N as N
from chainrule.types import TensorType as TensorType
from chainrule.version import __version__ as __version__

if _typing.TYPE_CHECKING:
    from chainrule.estimators import MLPClassifier as MLPClassifier
    from chainrule.estimators import MLPRegressor as MLPRegressor

_ESTIMATORS = ("MLPClassifier", "MLPRegressor")
_MODULES = ("data", "errors", "init", "layer", "metrics", "schedules")

__all__ = sorted(
    [
        *(x for x, value in globals().items() if x[0] != "_" and not isinstance(value, _Module)),
        *_MODULES,
        *_ESTIMATORS,
    ]
)
_calls.tell_calls(globals(), (_x for _x in __all__ if _x not in _ESTIMATORS))


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def _attribute(name: str) -> _typing.Any:
    """The estimators, which need scikit-learn, are imported when they are asked for."""
    if name not in _ESTIMATORS:
        raise _calls.unknown_name("chainrule", name, __all__)
    try:
        from chainrule import estimators  # noqa: PLC0415  (scikit-learn takes a second)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "sklearn":
            raise
        raise errors.MissingExtra(
            name, "scikit-learn is not installed", fix='pip install "chainrule[sklearn]"'
        ) from None
    _calls.tell_calls(vars(estimators), _ESTIMATORS)
    return getattr(estimators, name)


if not _typing.TYPE_CHECKING:  # checkers know all names
    __getattr__ = _attribute
