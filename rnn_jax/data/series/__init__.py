"""Numeric series: tables and datasets → series on a grid of time → parts in time → scaled windows."""
