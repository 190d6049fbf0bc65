"""The recipe: from a table and the name of a target to a trained model, every part settable."""

from chainrule.recipe.config import CLASS_WEIGHTS as CLASS_WEIGHTS
from chainrule.recipe.config import EMBEDDINGS as EMBEDDINGS
from chainrule.recipe.config import KEYS as KEYS
from chainrule.recipe.config import NORMS as NORMS
from chainrule.recipe.config import QUALITIES as QUALITIES
from chainrule.recipe.config import REFITS as REFITS
from chainrule.recipe.config import SCHEDULES as SCHEDULES
from chainrule.recipe.config import TARGET_SCALINGS as TARGET_SCALINGS
from chainrule.recipe.config import Config as Config
from chainrule.recipe.config import config as config
from chainrule.recipe.config import losses as losses
from chainrule.recipe.fit import build_optimizer as build_optimizer
from chainrule.recipe.fit import keeps_best as keeps_best
from chainrule.recipe.length import LENGTHS as LENGTHS
from chainrule.recipe.length import usual_length as usual_length
from chainrule.recipe.network import build as build
from chainrule.recipe.settle import settle as settle
from chainrule.recipe.training import learn as learn
from chainrule.recipe.training import refit as refit
from chainrule.recipe.training import run as run
from chainrule.recipe.training import train as train
