"""From a judged adapter to a live Ollama tag, and back.

Read in this order: `approval` (may it go live?), `artefacts` (joined weights as GGUF, Modelfile), `server` (Ollama's HTTP
interface), `smoke` (does it speak?), `promotion` (make it live, or leave everything as it was), `ledger` (who was live when),
`deployment` (the steps in order), `tags` and `replier` (how the gate hears a tag), `stand_in` (a server for tests).
Nothing here ever asks Ollama to pull from a registry.
"""
