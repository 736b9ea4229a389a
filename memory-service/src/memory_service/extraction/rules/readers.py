"""The readers that the rows of the pattern tables name in `read`. Pure."""

from memory_service.extraction.rules import names, values
from memory_service.extraction.rules.values import Reader

READERS: dict[str, Reader] = {
    "items": values.items, "phrase": values.phrase, "whole": values.whole, "exact": values.exact, "age": values.age,
    "words": values.words, "hobbies": values.hobbies, "counted": values.counted, "skills": values.skills,
    "name": names.name, "known_name": names.known_name, "capital_name": names.capital_name, "names": names.names,
    "place": names.place, "company": names.company, "pet_name": names.pet_name,
}  # fmt: skip
