"""The benchmark's own arithmetic: medians, ratios, shares of the peak, tables, the page."""

from __future__ import annotations

import re

import numpy as np
import pytest

from bench.cells import CELLS, NETWORKS, Network, data, start
from bench.records import Record, disagreement, geometric_mean, rows
from bench.report import BEGIN, END, quantity, rewrite, share, table
from bench.systems import BOUND, OURS, SYSTEMS


def record(system: str, *samples: float, cell: str = "a", **more: float) -> Record:
    return Record("training", cell, system, "s", samples, **more)


def test_a_row_has_medians_and_the_ratio_to_the_fastest_peer() -> None:
    (row,) = rows(
        [record(OURS, 9.0, 1.0, 2.0), record("JAX scan", 6.0, 5.0), record("PyTorch", 7.0)],
        "training",
    )
    assert list(row.values.items()) == [(OURS, 2.0), ("JAX scan", 5.5), ("PyTorch", 7.0)]
    assert row.best == ("JAX scan", 5.5)
    assert row.ratio == 2.75


def test_chainrule_in_another_way_is_shown_and_is_no_peer() -> None:
    found = rows([record(OURS, 3.0), record(BOUND, 1.0), record("PyTorch", 6.0)], "training")
    assert found[0].best == ("PyTorch", 6.0)
    assert found[0].ratio == 2
    assert table(found, {}).startswith(f"|  | {OURS} | {BOUND} | PyTorch |")


def test_rows_keep_their_order_and_their_group() -> None:
    other = Record("memory", "b", OURS, "B", [1.0])
    found = rows([record(OURS, 1.0, cell="z"), other, record(OURS, 1.0, cell="a")], "training")
    assert [row.cell for row in found] == ["z", "a"]


def test_there_is_no_ratio_without_a_peer_or_without_us() -> None:
    alone, peers = rows([record(OURS, 1.0), record("PyTorch", 1.0, cell="b")], "training")
    assert alone.best is None
    assert alone.ratio is None
    assert peers.best == ("PyTorch", 1.0)
    assert peers.ratio is None


def test_losses_disagree_by_the_widest_gap_of_a_cell_but_for_other_start_values() -> None:
    found = rows(
        [
            record(OURS, 1.0, loss=2.0),
            record("PyTorch", 1.0, loss=2.2),
            record("scikit-learn", 1.0, loss=9.0),
            record(OURS, 1.0, cell="b", loss=1.0),
            record("PyTorch", 1.0, cell="b", loss=1.05),
            record(OURS, 1.0, cell="c"),
        ],
        "training",
    )
    assert disagreement(found) == pytest.approx(0.1)
    assert disagreement(found[2:]) == 0


def test_geometric_mean() -> None:
    assert geometric_mean([2.0, 8.0]) == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (7.4321e-6, "s", "7.43 µs"),
        (2.71e-8, "s", "27.1 ns"),
        (1.23e-7, "s", "123 ns"),
        (99.96e-6, "s", "100 µs"),
        (999.4e-6, "s", "999 µs"),
        (999.6e-6, "s", "1.00 ms"),
        (0.0471, "s", "47.1 ms"),
        (61.0, "s", "61.0 s"),
        (126_000_000, "B", "126 MB"),
        (1.8e9, "B", "1.80 GB"),
    ],
)
def test_quantities_have_three_digits(value: float, unit: str, text: str) -> None:
    assert quantity(value, unit) == text


def test_share_of_the_peak_is_that_of_its_number_of_threads() -> None:
    one, two, none = rows(
        [
            record(OURS, 2.0, cell="1", flops=100.0, threads=1),
            record(OURS, 2.0, cell="2", flops=100.0, threads=2),
            record(OURS, 2.0, cell="0"),
        ],
        "training",
    )
    peaks = {"1": 100.0, "2": 200.0}
    assert share(one, peaks) == 0.5
    assert share(two, peaks) == 0.25
    assert share(none, peaks) is None


def test_a_table_of_two_threads_tells_how_far_their_cores_were_apart() -> None:
    found = rows(
        [
            record(OURS, 1.0, cell="1", threads=1),
            record(OURS, 1.0, cell="2", threads=2, handover=[3e-8, 1.6e-7, 2.8e-8]),
        ],
        "training",
    )
    head, _, one, two = table(found, {}).splitlines()
    assert head.endswith("| ratio | cores |")
    assert one.endswith("|  |  |")
    assert two.endswith("| 30.0 ns |")


def test_a_table_has_a_column_for_each_system_that_was_there() -> None:
    found = rows(
        [
            record("JAX scan", 3e-6, flops=10.0, threads=1),
            record(OURS, 1e-6, flops=10.0, threads=1),
            record(OURS, 5e-3, cell="b"),
        ],
        "training",
    )
    assert table(found, {"1": 2e7}).splitlines() == [
        "|  | Chainrule | JAX scan | best peer | ratio | of peak |",
        "| :-- | --: | --: | :-- | --: | --: |",
        "| a | 1.00 µs | 3.00 µs | JAX scan | **3.00** | 50% |",
        "| b | 5.00 ms |  |  |  |  |",
    ]


def test_a_page_is_rewritten_between_its_marks_again_and_again() -> None:
    page = f"# Head\n\n{BEGIN}\nold\n{END}\n\nfoot\n"
    once = rewrite(page, "new\n")
    assert once == f"# Head\n\n{BEGIN}\n\nnew\n\n{END}\n\nfoot\n"
    assert rewrite(once, "new\n") == once
    with pytest.raises(ValueError, match="needs the lines"):
        rewrite("# Head", "new")


def test_operations_of_a_step_by_hand() -> None:
    net = Network("2-3-4", (2, 3, 4), 5, 1)
    forward, weights, inputs = 2 * 3 + 3 * 4, 2 * 3 + 3 * 4, 3 * 4
    assert net.flops == 2 * 5 * (forward + weights + inputs)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda x: x.name)
def test_data_fits_its_network_and_is_the_same_each_time(network: Network) -> None:
    x, t = data(network, 64)
    assert (x.shape, x.dtype) == ((64, network.widths[0]), np.float32)
    assert t.shape == (64,)
    if network.regression:
        assert t.dtype == np.float32
    else:
        assert t.dtype == np.int32
        assert 0 <= t.min() <= t.max() < network.widths[-1]
    np.testing.assert_array_equal(x, data(network, 64)[0])
    weights = [x.shape for name, x in start(network).items() if name.endswith(".w")]
    assert weights == list(zip(network.widths, network.widths[1:], strict=False))


def test_names_of_networks_and_systems_cannot_be_confused() -> None:
    names = [*SYSTEMS, *(x.name for x in CELLS)]
    assert len(set(names)) == len(names)
    assert not [x for x in names if re.search("[|,]", x)]
