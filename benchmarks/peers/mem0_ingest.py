"""mem0 on the other side of the ingestion benchmark: stores turns one by one, as its API does, with `infer=False`.

Runs from a virtual environment of its own (benchmarks/ingestion_peer.py makes it and drives this script). Reads commands from
standard input, a line each: two numbers, first and last turn (excluded) of the file; answers with a line of JSON each: the
seconds those turns took. `ready` comes first, once the model is loaded.

How to run it alone:   python mem0_ingest.py TURNS.json --database "host=… dbname=…" --model FOLDER <<< "0 100"
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

# Read when mem0 is imported: nothing is sent, nothing is looked up, its settings stay out of the home folder.
os.environ["MEM0_TELEMETRY"] = "False"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MEM0_DIR"] = tempfile.mkdtemp(prefix="mem0-")


def main() -> None:
    """Load the model, then store what each line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("turns", type=Path, help="JSON list of {user, text, metadata}")
    parser.add_argument("--database", required=True, help="libpq connection string of an empty database with pgvector")
    parser.add_argument("--model", required=True, help="folder of the sentence-transformers model")
    asked = parser.parse_args()
    turns = json.loads(asked.turns.read_text(encoding="utf-8"))

    from mem0 import Memory

    configuration = {
        "vector_store": {
            "provider": "pgvector",
            "config": {
                "connection_string": asked.database,
                "collection_name": "turns",
                "embedding_model_dims": 384,
            },
        },
        "embedder": {"provider": "huggingface", "config": {"model": asked.model, "embedding_dims": 384}},
        # Never called with infer=False, but mem0 wants one.
        "llm": {"provider": "openai", "config": {"api_key": "unused"}},
        "history_db_path": str(Path(os.environ["MEM0_DIR"]) / "history.db"),
    }
    memory = Memory.from_config(configuration)
    memory.add("The first call makes tables and warms the model.", user_id="warm-up", infer=False)
    print("ready", flush=True)
    for line in sys.stdin:
        first, last = map(int, line.split())
        begun = time.perf_counter()
        for turn in turns[first:last]:
            memory.add(turn["text"], user_id=turn["user"], metadata=turn["metadata"], infer=False)
        print(json.dumps({"seconds": time.perf_counter() - begun}), flush=True)


if __name__ == "__main__":
    main()
