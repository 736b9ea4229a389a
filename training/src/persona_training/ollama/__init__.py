"""From a judged adapter to a live Ollama tag, and back.

Read in this order: `layers` (what is served together), `gate_report`, `approval` and `erasure` (may it go live?), `planning`
(all that is decided before anything is written), `artefacts` (joined weights as GGUF, Modelfile), `server` (Ollama's HTTP
interface), `smoke` (does it speak?), `promotion` (make it live, or leave everything as it was), `ledger` (who was live when),
`deployment` and `rollback` (the steps in order), `watching` and `hearing` (is what is live still well?), `tags` and `replier`
(how the gate hears a tag), `stand_in` (a server for tests).
Nothing here ever asks Ollama to pull from a registry.
"""
