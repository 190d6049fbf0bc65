"""One function for all that a page can show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from chainrule.errors import ChainruleError, SettingError, short
from chainrule.explain.run import run
from chainrule.explain.trace import Trace
from chainrule.graph.graph import Graph
from chainrule.graph.node import Node
from chainrule.inspector.document import document, graph_form
from chainrule.inspector.failure import failed_form
from chainrule.inspector.page import Page
from chainrule.model.model import Model
from chainrule.model.state import Data

SHOWN = "a node, several nodes, a Graph, a Trace, a Model, or an error of building a graph"


def show(
    x: object,
    data: Data | None = None,
    *,
    rows: int | Sequence[int] | None = None,
    title: str | None = None,
) -> Page:
    """The page to look inside: one HTML file with the graph, every number explained.

    `cr.show(model, "penguins").open()` opens it in the browser, `.write("page.html")` saves it; a
    notebook shows it. After an error in a notebook, `cr.show(sys.last_value)` draws the graph as
    far as it was built, with the call that failed.

    Args:
        x: a node, several nodes or a Graph: without `data` its structure; with arrays the values
            and, where the last output is a floating-point scalar, its gradients. A Trace. A
            Model: as `Model.show`. An error that was raised while a graph was built.
        data: of nodes and graphs, the array of each input by name; of a model, as `Model.show`.
        rows: of a model, as `Model.show`.
        title: of the page.

    Raises:
        FeedError, DataError: the data does not fit. SettingError: `x` is something else, or `data`
            or `rows` is given with what takes none.
    """
    if isinstance(x, Model):
        return x.show(data, rows=rows, title=title)
    if rows is not None:
        raise SettingError("show", "rows are chosen for a model alone", got=f"rows={short(rows)}",
                           fix="give the rows themselves as data")  # fmt: skip
    outputs = _outputs(x)
    if outputs is not None and data is not None:
        return _run(outputs, x, data).show(title or "A graph")
    if data is not None:
        raise SettingError("show", f"a page of a {type(x).__name__} takes no data",
                           fix="leave it out")  # fmt: skip
    if isinstance(x, Trace):
        return x.show(title or "A trace")
    if isinstance(x, BaseException):
        return _of_error(x, title)
    if outputs is not None:
        graph = x if isinstance(x, Graph) else Graph(outputs)
        return _structure(graph_form(graph, {}), title or "A graph")
    loads = isinstance(x, str) and "of a file: cr.show(cr.load(path))"
    raise SettingError("show", f"no page shows a value of type {type(x).__name__}",
                       expected=SHOWN, got=short(x), fix=loads or None)  # fmt: skip


def _outputs(x: object) -> tuple[Node, ...] | None:
    """The nodes of a graph, or of several nodes; None for anything else."""
    if isinstance(x, Graph):
        return x.outputs
    listed = tuple(x) if isinstance(x, list | tuple | set | frozenset) else (x,)
    nodes = tuple(y for y in listed if isinstance(y, Node))
    return nodes if nodes and len(nodes) == len(listed) else None


def _run(outputs: tuple[Node, ...], x: object, data: Data) -> Trace:
    if not isinstance(data, Mapping):
        raise SettingError("show", "a graph is run on arrays", expected="a dict by input name",
                           got=short(data))  # fmt: skip
    feeds: Mapping[str, npt.ArrayLike] = data
    trace = run(outputs, feeds, like=x if isinstance(x, Graph) else None)
    if outputs[-1].shape == () and outputs[-1].type.floating:
        trace.backward(outputs[-1])
    return trace


def _structure(form: Mapping[str, Any], title: str) -> Page:
    return Page(document(form, title=title, python="graph", rows=[], batch=[],
                         holds="no rows: the structure of the graph alone"))  # fmt: skip


def _of_error(error: BaseException, title: str | None) -> Page:
    if not isinstance(error, ChainruleError) or not error.calls:
        raise SettingError(
            "show", "this error has no graph: it was not raised by a call with nodes",
            got=f"{type(error).__name__}: {short(str(error))}", expected=SHOWN,
        ) from None  # fmt: skip
    return _structure(failed_form(error), title or f"{type(error).__name__} in {error.where}")
