"""The recipe: from a table and the name of a target to a trained model, every part settable."""

from chainrule.recipe.config import BY_KEY as BY_KEY
from chainrule.recipe.config import KEYS as KEYS
from chainrule.recipe.config import SETTINGS as SETTINGS
from chainrule.recipe.config import Config as Config
from chainrule.recipe.config import config as config
from chainrule.recipe.config import losses as losses
from chainrule.recipe.config import resolve as resolve
from chainrule.recipe.fit import build_optimizer as build_optimizer
from chainrule.recipe.fit import keeps_best as keeps_best
from chainrule.recipe.fit import step_settings as step_settings
from chainrule.recipe.fit import step_settings_here as step_settings_here
from chainrule.recipe.length import LENGTHS as LENGTHS
from chainrule.recipe.length import default_length as default_length
from chainrule.recipe.network import build as build
from chainrule.recipe.setting import Setting as Setting
from chainrule.recipe.trained import train as train
from chainrule.recipe.training import Training as Training
