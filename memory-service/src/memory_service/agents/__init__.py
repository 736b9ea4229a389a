"""Agents: plug-ins that answer a chat message in the persona's place, found by entry point (docs/agents.md).

Read in this order: `agent` (what one is), `routing` (who answers), `installed` (where from), `tables` (what they keep).
"""
