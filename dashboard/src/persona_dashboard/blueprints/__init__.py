"""One module per page of the navigation."""

from __future__ import annotations

from flask import Blueprint

from persona_dashboard.blueprints import (
    adapters,
    core_memory,
    deployments,
    exports,
    gate,
    healthz,
    interactions,
    overview,
    patterns,
    recall,
    runs,
    topics,
)

ALL: tuple[Blueprint, ...] = tuple(
    module.blueprint
    for module in (
        overview,
        core_memory,
        interactions,
        recall,
        topics,
        exports,
        runs,
        gate,
        adapters,
        deployments,
        patterns,
        healthz,
    )
)
