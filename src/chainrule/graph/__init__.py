"""The representation of networks: ops, nodes, graphs."""

from chainrule.graph.check import check as check
from chainrule.graph.graph import Graph as Graph
from chainrule.graph.listing import listing as listing
from chainrule.graph.node import Initializer as Initializer
from chainrule.graph.node import Input as Input
from chainrule.graph.node import Node as Node
from chainrule.graph.node import Operation as Operation
from chainrule.graph.node import Parameter as Parameter
from chainrule.graph.node import Scope as Scope
from chainrule.graph.op import REGISTRY as REGISTRY
from chainrule.graph.op import Op as Op
