"""How the stand-in memory service answers from what it knows, in the words of the contract."""

from __future__ import annotations

from example_memory import Json, Store


class Refusal(Exception):
    """An answer with the contract's error body."""

    def __init__(self, status: int, error: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.body = status, {"detail": detail, "error": error}


def find(rows: list[Json], name: str, identifier: str) -> Json:
    for row in rows:
        if row[name] == identifier:
            return row
    raise Refusal(404, "not_found", f"There is no {identifier}.")


def page(rows: list[Json], query: dict[str, str]) -> Json:
    start, limit = int(query.get("cursor", 0)), int(query.get("limit", 50))
    if not 1 <= limit <= 500:
        raise Refusal(400, "bad_input", "limit: 1 to 500.")
    more = start + limit < len(rows)
    return {
        "items": rows[start : start + limit],
        "total": len(rows),
        "next_cursor": str(start + limit) if more else None,
    }


def filtered(rows: list[Json], query: dict[str, str]) -> list[Json]:
    low, high = float(query.get("min_quality", 0)), float(query.get("max_quality", 1))
    wanted = {name: query[name] for name in ("user_id", "session_id") if name in query}
    kept = [row for row in rows if low <= row["quality_score"] <= high]
    kept = [row for row in kept if all(row[name] == value for name, value in wanted.items())]
    if "dropped" in query:
        kept = [row for row in kept if bool(row["quality"]["drops"]) == (query["dropped"] == "true")]
    return kept


def sessions(store: Store) -> list[Json]:
    return [{"id": row["session_id"], "user_id": row["user_id"]} for row in store.interactions[:20]]


def health(store: Store) -> Json:
    fine = {"status": "ok", "detail": ""}
    embedder = {"status": "loading" if not store.interactions else "ok", "model": "all-MiniLM-L6-v2", "dimension": 384}
    names = ("database", "pgvector", "schema", "worker", "core_memory")
    return {"status": "ok", "version": "0.1.0", "checks": {**dict.fromkeys(names, fine), "embedder": embedder}}


def stats(store: Store) -> Json:
    rows = store.interactions
    days: dict[str, int] = {}
    for row in rows:
        days[row["occurred_at"][:10]] = days.get(row["occurred_at"][:10], 0) + 1
    bins = [
        {"from": n / 10, "to": (n + 1) / 10, "count": sum(n <= row["quality_score"] * 10 < n + 1 for row in rows)}
        for n in range(10)
    ]
    dropped = sum(bool(row["quality"]["drops"]) for row in rows)
    pending = sum(row["embedding_status"] == "pending" for row in rows)
    return {
        "persona": "casiopy",
        "core_memory": {
            "total": len(store.core_memory),
            "immutable": sum(not fact["is_mutable"] for fact in store.core_memory),
        },
        "sessions": {"total": len(rows) // 3, "open": 1 if rows else 0, "opted_out": 0},
        "interactions": {
            "total": len(rows),
            "pending_embeddings": pending,
            "dropped": dropped,
            "training_ready": len(rows) - dropped,
            "by_day": [{"day": day, "count": count} for day, count in sorted(days.items())],
            "quality_histogram": bins,
        },
        "users": len({row["user_id"] for row in rows}),
        "feedback": {"total": len(store.feedback), "mean_rating": 4.5 if store.feedback else None},
        "topics": len(store.topics),
        "exports": len(store.exports),
        "adapters": len(store.adapters),
        "deployments": len(store.deployments),
    }


def recollection(store: Store, body: Json) -> Json:
    mine = [row for row in store.interactions if row["user_id"] == body["user_id"]][: body["limit"]]
    memories = [
        {
            "id": row["id"],
            "source": "interaction",
            "content": f"{row['input_text']} → {row['output_text']}",
            "memory_type": "event",
            "created_at": row["occurred_at"],
            "relevance_score": round(0.03 - place / 1000, 4),
            "session_id": row["session_id"],
            "explain": {
                "dense": {"rank": place + 1, "score": 0.71},
                "lexical": {"rank": 2, "score": 3.4} if place == 0 else None,
                "fused": round(0.03 - place / 1000, 4),
                "reason": "Se parece por el significado.",
            },
        }
        for place, row in enumerate(mine)
    ]
    summary = "\n".join(f"- {row['occurred_at'][:10]}: {row['input_text']}" for row in mine)
    return {"memories": memories, "context_summary": summary}
