"""The objectives of a loss that is a sum: one for each prediction, scored under its own name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from chainrule.graph.graph import Graph
from chainrule.graph.node import Array, Node, Operation
from chainrule.train.metrics import Metric, Scores, find_metric, find_metrics
from chainrule.train.metrics.registry import Function, plain_name, several
from chainrule.train.objective import Objective

Requested = Iterable[str | Metric | Function]


class Objectives:
    """The scoring of a model, from the records of the losses that its loss is made of.

    One objective has the plain names of its metrics. Of several, each has the name of its output:
    `price_rmse` and `kind_accuracy`, and its loss is `price_loss`. The order in which losses are
    added changes nothing.

    Args:
        graph: of the model.
        loss: that is minimised, or None.
        outputs: of the model; an objective has the name of the one that it compares, or that is
            made of what it compares, else the name of its prediction.

    Attributes:
        each: the objectives in the order of the outputs; at least one.
        several: whether there are several that metrics fit.
    """

    def __init__(self, graph: Graph, loss: Node | None, outputs: Sequence[Node]) -> None:
        found = [Objective(x) for x in _records(loss)]
        fixed = _fixed(graph)
        places = {x: _place(x, outputs, fixed) for x in found}
        names = {x: _name(x, graph, outputs, places[x]) for x in found}

        def order(x: Objective) -> tuple[int, str, str, str]:
            target = "" if x.target is None else graph.name(x.target)
            return places[x], names[x], target, str(x.kind)

        found.sort(key=order)
        scored = _unlike(x for x in found if x.task is not None)
        self.several = len(scored) > 1
        self.each: tuple[Objective, ...] = tuple(scored or found[:1] or [Objective()])
        self._names = [""] * len(self.each)
        if self.several:
            self._names = _unique([(names[x], order(x)[2], str(x.kind)) for x in scored])

    @property
    def first(self) -> Objective:
        """The objective of the first output; that of the loss where there is one."""
        return self.each[0]

    @property
    def nodes(self) -> list[Node]:
        """The nodes whose values `score` takes, in its order."""
        return [x for one in self.each for x in self._nodes(one)]

    def _nodes(self, one: Objective) -> list[Node]:
        losses = [one.record] if self.several and one.record is not None else []
        return [*losses, *one.nodes]

    @property
    def each_epoch(self) -> list[str]:
        """The default metrics of every epoch."""
        return [
            _joined(name, metric)
            for name, one in zip(self._names, self.each, strict=True)
            for metric in one.each_epoch
        ]

    def metrics(self, requested: Requested) -> list[Metric]:
        """The metrics that are requested, and the losses of several objectives, by full names.

        Raises:
            SettingError: a metric does not exist, or fits none of the objectives.
        """
        asked = list(several(requested))
        if not self.several:
            return [] if self.first.task is None else find_metrics(asked, self.first.task)
        found = [Metric(_joined(name, "loss"), {}, "min") for name in self._names]
        for name, one, metrics in self._shared(asked):
            assert one.task is not None
            found += [replace(x, name=_joined(name, x.name)) for x in metrics]
        return found

    def score(
        self,
        values: Sequence[Array],
        requested: Requested | None = None,
        decided: Callable[[Array], Array] | None = None,
    ) -> Scores:
        """The scores over a data set.

        Args:
            values: of `nodes`, for all rows.
            requested: metrics by name, also by full name, or functions; each is that of all
                objectives that it fits. None takes the defaults of the tasks.
            decided: as in `Objective.score`, of a single objective: that of a table's target.

        Raises:
            SettingError: a metric does not exist, or fits none of the objectives.
        """
        if not self.several:
            return self.first.score(list(values), requested, decided)
        asked = [requested] if isinstance(requested, str) else requested
        shared = None if asked is None else self._shared(list(asked))
        left, scores, notes = iter(values), Scores(), list[str]()
        for k, (name, one) in enumerate(zip(self._names, self.each, strict=True)):
            loss, *own = (next(left) for _ in self._nodes(one))
            made = one.score(own, None if shared is None else shared[k][2])
            scores[_joined(name, "loss")] = float(loss)
            scores |= {_joined(name, metric): x for metric, x in made.items()}
            notes += [f"{name}: {note}" for note in made.notes]
        return Scores(scores, notes)

    def _shared(
        self, requested: Sequence[str | Metric | Function]
    ) -> list[tuple[str, Objective, list[Metric]]]:
        """Each objective with its name and those of the metrics that fit it."""
        chosen: list[list[str | Metric | Function]] = [[] for _ in self.each]
        for item in requested:
            for k, own in self._fitting(item):
                chosen[k].append(own)
        return [
            (name, one, find_metrics(items, one.task or "regression"))
            for name, one, items in zip(self._names, self.each, chosen, strict=True)
        ]

    def _fitting(
        self, item: str | Metric | Function
    ) -> Iterator[tuple[int, str | Metric | Function]]:
        """The positions of the objectives that a metric fits, with its name there."""
        metric: str | Metric | Function = item
        places = range(len(self.each))
        if isinstance(item, str):
            plain = plain_name(item)
            own = [k for k in places if plain.startswith(f"{self._names[k]}_")]
            if own:
                k = max(own, key=lambda k: len(self._names[k]))
                rest = plain.removeprefix(f"{self._names[k]}_")
                yield k, find_metric(rest, self.each[k].task)
                return
            metric = find_metric(item)
        if not isinstance(metric, Metric):
            yield from ((k, item) for k in places)
            return
        fits = [k for k in places if metric.function(self.each[k].task or "regression")]
        if not fits:
            find_metric(metric.name, self.first.task)  # which raises
        yield from ((k, metric) for k in fits)


def _joined(name: str, metric: str) -> str:
    return f"{name}_{metric}" if name else metric


# ---------------------------------------------------------------- records and their names


def _records(loss: Node | None) -> list[Operation]:
    """The records of losses nearest to the loss: those that no other record contains."""
    found: dict[Operation, None] = {}
    todo, seen = [] if loss is None else [loss], set[Node]()
    while todo:
        node = todo.pop()
        if node in seen or not isinstance(node, Operation):
            continue
        seen.add(node)
        if node.op.name == "objective":
            found[node] = None
        else:
            todo += node.operands
    return list(found)


def _unlike(found: Iterable[Objective]) -> list[Objective]:
    """The objectives that do not compare the same by the same task as an earlier one."""
    kept: dict[object, Objective] = {}
    for x in found:
        kept.setdefault((x.prediction, x.target, x.weights, x.task), x)
    return list(kept.values())


def _chain(node: Node, fixed: Collection[Node]) -> list[Node]:
    """The node, and what it is made of by operations of one operand, such as a softmax."""
    found = [node]
    while isinstance(node, Operation):
        operands = [x for x in node.operands if x not in fixed]
        if len(operands) != 1 or node.shape[:1] != operands[0].shape[:1]:
            break
        node = operands[0]
        found.append(node)
    return found


def _fixed(graph: Graph) -> set[Node]:
    """The constants, and what is made of them alone, such as a broadcast one."""
    found: set[Node] = set()
    for x in graph.operations:
        if x.op.name == "constant" or (x.operands and found.issuperset(x.operands)):
            found.add(x)
    return found


def _place(objective: Objective, outputs: Sequence[Node], fixed: Collection[Node]) -> int:
    """The position of the output that an objective is about; their number where there is none."""
    prediction = objective.prediction
    assert prediction is not None
    made_of = _chain(prediction, fixed)
    for related in (
        [x is prediction for x in outputs],
        [prediction in _chain(x, fixed) for x in outputs],
        [x in made_of for x in outputs],
    ):
        if True in related:
            return related.index(True)
    return len(outputs)


def _name(objective: Objective, graph: Graph, outputs: Sequence[Node], place: int) -> str:
    assert objective.prediction is not None
    node = outputs[place] if place < len(outputs) else objective.prediction
    return plain_name(graph.name(node))


def _unique(names: Sequence[tuple[str, str, str]]) -> list[str]:
    """Names of outputs, with target or loss, or a number, where two are equal."""
    found = [x[0] for x in names]
    for part in (1, 2):
        longer = [plain_name(f"{name}_{x[part]}") for name, x in zip(found, names, strict=True)]
        found = [b if found.count(a) > 1 else a for a, b in zip(found, longer, strict=True)]
    return [
        f"{x}_{found[:k].count(x) + 1}" if found.count(x) > 1 else x for k, x in enumerate(found)
    ]
