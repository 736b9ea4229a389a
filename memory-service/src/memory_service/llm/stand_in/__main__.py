"""`python -m memory_service.llm.stand_in --port 11434`: the stand-in in a process of its own."""

import click
import uvicorn

from memory_service.llm.stand_in.script import Script
from memory_service.llm.stand_in.server import stand_in_app
from memory_service.llm.stand_in.speech import speak


@click.command()
@click.option("--port", default=11434, show_default=True, help="Where it listens, on loopback.")
@click.option("--model", "models", multiple=True, help="A model it serves; may be given several times.")
@click.option("--say", help="Answer every chat with this instead of an echo.")
def main(port: int, models: tuple[str, ...], say: str | None) -> None:
    """Answer like Ollama, OpenAI and Azure OpenAI on one port, without any model."""
    script = Script()
    if models:
        script.models = list(models)
    if say is not None:
        script.always = lambda asked: say if asked.schema is None else speak(asked)
    uvicorn.run(stand_in_app(script), host="127.0.0.1", port=port)


if __name__ == "__main__":
    main()
