"""Two owners, two viewers of the same names: nobody recalls what is not theirs."""

import itertools

from .conftest import Service


async def test_recall_stays_within_owner_and_viewer(service: Service, owner: str) -> None:
    owners, viewers = [f"{owner}-1", f"{owner}-2"], ["luna", "sol"]
    async with service(owners[0]) as first, service(owners[1]) as second:
        callers = dict(zip(owners, (first, second), strict=True))
        for tenant, viewer in itertools.product(owners, viewers):
            await callers[tenant].tell(viewer, f"El secreto del gato de {viewer} en {tenant}.")
        for caller in callers.values():
            await caller.embedded()
        for tenant, viewer, arms in itertools.product(owners, viewers, (["dense"], ["lexical"], ["dense", "lexical"])):
            for query in ("¿Cuál es el secreto del gato?", f"secreto de {viewers[0]} en {owners[0]}"):
                hits = (await callers[tenant].recall(viewer, query, arms=arms, limit=100))["hits"]
                assert [hit["input_text"] for hit in hits] == [f"El secreto del gato de {viewer} en {tenant}."]
        foreign_session = callers[owners[0]].sessions["luna", "s"]
        assert (await second.recall("luna", "secreto", session_id=foreign_session))["hits"] == []
        assert (await first.recall("sol", "secreto", session_id=foreign_session))["hits"] == []
