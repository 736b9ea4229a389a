"""Every page by the name of its context, as an address of the example data."""

from __future__ import annotations

RUNNING = "episodic-2026-w05-20260202T090000"
TRAINED = "episodic-2026-w04-20260126T110000"
DATASET = "episodic-2026-w04-0a1b2c3d"

LISTS = {
    "OverviewPage": "/",
    "CoreMemoryPage": "/core-memory",
    "InteractionsPage": "/interactions",
    "RecallPage": "/recall",
    "TopicsPage": "/topics",
    "ExportsPage": "/exports",
    "RunsPage": "/runs",
    "ReportsPage": "/gate",
    "AdaptersPage": "/adapters",
    "DeploymentsPage": "/deployments",
    "PatternsPage": "/patterns",
}
DETAILS = {
    "InteractionPage": "/interactions/int-3",
    "ExportPage": f"/exports/{DATASET}",
    "RunPage": f"/runs/{RUNNING}",
    "ReportPage": f"/gate/{TRAINED}",
    "AdapterPage": f"/adapters/{TRAINED}",
}
ALL = {**LISTS, **DETAILS}
