"""What a good language model answers when it is asked to read the messages on the client pages."""

import json

from memory_service.llm.stand_in import Asked
from memory_service.llm.stand_in.speech import speak

# (operation, field, value, the words that say so), by message.
_READ = {
    "My name is John and I love Python": [
        ("ADD", "name", "John", "My name is John"),
        ("ADD", "likes", "Python", "I love Python"),
    ],
    "Vivo en Madrid": [("ADD", "location", "Madrid", "Vivo en Madrid")],
    "Ya no vivo en Madrid": [("DELETE", "location", "Madrid", "Ya no vivo en Madrid")],
    "Hola, me llamo Antonio": [("ADD", "name", "Antonio", "me llamo Antonio")],
    "Me llamo Antonio y me gusta la lluvia": [
        ("ADD", "name", "Antonio", "Me llamo Antonio"),
        ("ADD", "likes", "lluvia", "me gusta la lluvia"),
    ],
    "Me llamo Antonio y me gusta el café": [
        ("ADD", "name", "Antonio", "Me llamo Antonio"),
        ("ADD", "likes", "café", "me gusta el café"),
    ],
}


def read_or_speak(asked: Asked) -> str:
    """Operations when a schema asks for them, an echo when somebody chats."""
    if asked.schema is None:
        return speak(asked)
    message = asked.user.rsplit("Message:\n", 1)[-1].strip()
    names = ("operation", "field", "value", "evidence")
    operations = [dict(zip(names, one, strict=True)) | {"memory": 0} for one in _READ.get(message, [])]
    return json.dumps({"operations": operations}, ensure_ascii=False)
