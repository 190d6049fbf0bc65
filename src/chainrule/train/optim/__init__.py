"""Optimizers: update rules as nodes of the training step."""

from chainrule.train.lbfgs import LBFGS as LBFGS
from chainrule.train.optim.adam import LAMB as LAMB
from chainrule.train.optim.adam import Adam as Adam
from chainrule.train.optim.adam import Adamax as Adamax
from chainrule.train.optim.adam import AdamW as AdamW
from chainrule.train.optim.adam import AMSGrad as AMSGrad
from chainrule.train.optim.adam import NAdam as NAdam
from chainrule.train.optim.adam import RAdam as RAdam
from chainrule.train.optim.base import OPTIMIZERS as OPTIMIZERS
from chainrule.train.optim.base import Optimizer as Optimizer
from chainrule.train.optim.base import register as register
from chainrule.train.optim.plain import SGD as SGD
from chainrule.train.optim.plain import Lion as Lion
from chainrule.train.optim.registry import optimizer as optimizer
from chainrule.train.optim.registry import optimizer_from_dict as optimizer_from_dict
from chainrule.train.optim.scaled import Adadelta as Adadelta
from chainrule.train.optim.scaled import Adagrad as Adagrad
from chainrule.train.optim.scaled import RMSprop as RMSprop

register(LBFGS)
