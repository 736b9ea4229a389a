"""Which things a page's chain shows: from the service's lineage where it answers, from the manifests where it does not."""

from __future__ import annotations

from collections.abc import Iterable

from flask import url_for

from persona_dashboard.adapter_shapes import AdapterManifest
from persona_dashboard.contexts import Version
from persona_dashboard.doors import doors, numerals, words
from persona_dashboard.lineage import Constellation, Link, constellation
from persona_dashboard.service_shapes import Deployment, Lineage

INTERACTIONS = "interactions"


def interaction_chain(lineage: Lineage) -> Constellation:
    """Forward: what learned from one interaction."""
    first = Link("interactions", INTERACTIONS, words()("lineage.this_interaction"), bright=True)
    exports = [_export_link(record.export_id) for record in lineage.exports]
    adapters = [_adapter_link(record.adapter_id) for record in lineage.adapters]
    return constellation([first, *exports, *adapters, *_deployment_links(lineage.deployments)])


def adapter_chain(version: Version, lineage: Lineage | None) -> Constellation:
    """Backward to interactions and forward to deployments."""
    stack = doors().runs.stack(version.adapter_id)
    adapter_ids = [layer.adapter_id for layer in stack] or [version.adapter_id]
    export_ids = list(dict.fromkeys(pin for layer in stack for pin in _learned_from(layer)))
    if lineage:
        export_ids += [record.export_id for record in lineage.exports if record.export_id not in export_ids]
        adapter_ids += [record.adapter_id for record in lineage.adapters if record.adapter_id not in adapter_ids]
    deployments = lineage.deployments if lineage else version.deployments or []
    count = _interaction_count(export_ids) or (lineage.interaction_count if lineage else 0)
    counted = words()("lineage.interactions", count=numerals().number(count))
    links = [Link("interactions", INTERACTIONS, counted)] if count else []
    links += [_export_link(export_id) for export_id in export_ids]
    links += [_adapter_link(adapter_id, bright=adapter_id == version.adapter_id) for adapter_id in adapter_ids]
    return constellation([*links, *_deployment_links(deployments, version.adapter_id)])


def _export_link(export_id: str) -> Link:
    bare_file = export_id.endswith(".jsonl")
    url = None if bare_file else url_for("exports.detail", export_id=export_id)
    return Link("exports", export_id, export_id, (INTERACTIONS,), url=url)


def _adapter_link(adapter_id: str, bright: bool = False) -> Link:
    manifest = doors().runs.run(adapter_id).manifest
    sources = tuple(_learned_from(manifest)) if manifest else ()
    if manifest and manifest.parent:
        sources += (manifest.parent.adapter_id,)
    note = words()("lineage.layer", number=manifest.layer) if manifest else ""
    url = url_for("adapters.detail", adapter_id=adapter_id)
    return Link("adapters", adapter_id, adapter_id, sources, note=note, url=url, bright=bright)


def _deployment_links(deployments: Iterable[Deployment], adapter_id: str | None = None) -> list[Link]:
    """The newest deployment of each tag; a tag is live or was."""
    newest: dict[tuple[str, str], Deployment] = {}
    for made in deployments:
        key = (made.tag, made.adapter_id or adapter_id or "")
        newest[key] = made if key not in newest or made.live else newest[key]
    return [
        Link(
            "deployments",
            f"{tag} {source}",
            tag,
            (source,),
            note=words()("lineage.live" if made.live else "lineage.retired"),
        )
        for (tag, source), made in newest.items()
    ]


def _learned_from(manifest: AdapterManifest) -> list[str]:
    own = [manifest.dataset.export_id] if manifest.dataset and manifest.dataset.export_id else []
    return own + [replay.export_id for replay in manifest.replay]


def _interaction_count(export_ids: list[str]) -> int:
    manifests = [doors().exports.manifest(export_id).value for export_id in export_ids]
    return len({row.interaction_id for manifest in manifests if manifest for row in manifest.rows})
