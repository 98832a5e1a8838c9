"""Matrix products in panels: weights that are read from end to end, and rows that do not mix.

A product of C inputs and O outputs, of B rows, is worked out like this (here B = 8, O = 3 panels):

    weights (C, O)                panels (P, 1, C, 64)           places (P, B / 4, 4, 64)

    ┌────────┬────────┬──────┐    ┌────────┐                     ┌────────┐ 4 rows ┐ first
    │        │        │    :0│    │        │ panel 0, in one     ├────────┤        │ panel of
    │   64   │   64   │ < 64 │ →  │ C x 64 │ piece of memory     │ 4 rows │        ┘ all rows
    │        │        │    :0│    │        │                     ├────────┤ ...
    └────────┴────────┴──────┘    ├────────┤ panel 1 ...         │        │ second panel ...

    rows (B, C) as chunks (B / 4, 4, C)  @  panels (P, 1, C, 64)  →  (P, B / 4, 4, 64)

The places are a view of the result (B, O), so that nothing is copied.
"""

from typing import Final

import numpy as np

from drumigen.model.stepper import Floats

CHUNK_ROWS: Final = 4
"""Rows of a matrix product.  BLAS libraries choose their way by the number of rows, and each sums
in an order of its own; four are as quick as one for a product that waits for its weights."""
PANEL_COLUMNS: Final = 64
"""Columns of a matrix product.  In one piece the rows of weights are too far apart for a processor
to fetch them ahead."""


def padded_to(count: int, part: int) -> int:
    """Return the least multiple of ``part`` that holds ``count``."""
    return -(-count // part) * part


def panels_of(weights: Floats) -> Floats:
    """Return weights (C, O) as panels (P, 1, C, PANEL); columns beyond O are 0."""
    inner, outer = weights.shape
    padded = np.zeros((inner, padded_to(outer, PANEL_COLUMNS)), np.float32)
    padded[:, :outer] = weights
    split = padded.reshape(inner, -1, 1, PANEL_COLUMNS)  # (C, O) -> (C, P, 1, PANEL)
    return split.transpose(1, 2, 0, 3).copy()  # -> (P, 1, C, PANEL)


def places_of(result: Floats) -> Floats:
    """Return the places in ``result`` (B, O) of panels and chunks, (P, B / CHUNK, CHUNK, PANEL)."""
    rows, outer = result.shape
    split = result.reshape(rows // CHUNK_ROWS, CHUNK_ROWS, outer // PANEL_COLUMNS, PANEL_COLUMNS)
    return split.transpose(2, 0, 1, 3)  # (B / CHUNK, CHUNK, P, PANEL) -> (P, B / CHUNK, ...)


def linear(x: Floats, panels: Floats, bias: Floats) -> Floats:
    """Return x (B, C) @ weights + bias, (B, O), for any number of rows."""
    rows, inner = x.shape
    padded = np.zeros((padded_to(rows, CHUNK_ROWS), inner), np.float32)
    padded[:rows] = x
    found = np.empty((len(padded), len(panels) * PANEL_COLUMNS), np.float32)
    chunks = padded.reshape(-1, CHUNK_ROWS, inner)  # (B, C) -> (B / CHUNK, CHUNK, C)
    np.matmul(chunks, panels, out=places_of(found))
    return found[:rows, : len(bias)] + bias  # (B, P * PANEL) -> (B, O)
