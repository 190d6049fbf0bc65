"""Optimizers: how gradients become new values, as nodes of the training step."""

from chainrule.train.optim.adam import LAMB as LAMB
from chainrule.train.optim.adam import Adam as Adam
from chainrule.train.optim.adam import Adamax as Adamax
from chainrule.train.optim.adam import AdamW as AdamW
from chainrule.train.optim.adam import AMSGrad as AMSGrad
from chainrule.train.optim.adam import NAdam as NAdam
from chainrule.train.optim.adam import RAdam as RAdam
from chainrule.train.optim.base import Optimizer as Optimizer
from chainrule.train.optim.plain import SGD as SGD
from chainrule.train.optim.plain import Lion as Lion
