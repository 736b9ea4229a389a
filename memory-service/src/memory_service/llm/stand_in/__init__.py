"""A language model's server for tests and for trying the service without one: it speaks the wire formats, not the language.

`python -m memory_service.llm.stand_in --port 11434` answers like Ollama, OpenAI and Azure OpenAI at once; a test uses

    with StandIn() as server:
        server.say("*suspiro* Hola, mortal.")        # the next answer; more calls queue more
        server.fail("status", status=500)            # the next request goes wrong
        ...
        assert "likes: rain" in server.requests[-1].prompt

Read in this order: `script` (what a test may order), `server` (start and stop), `wires` (the formats), `speech` (what it says
when nothing is ordered).
"""

from memory_service.llm.stand_in.script import Asked, Failure, Script
from memory_service.llm.stand_in.server import StandIn

__all__ = ["Asked", "Failure", "Script", "StandIn"]
