"""A merged model folder into one GGUF file, with the `gguf` package only: no compiler, no download, no other program.

Read in this order: `architecture` (which model this can carry, and its tensors), `vocabulary` (the tokenizer), `template`
(the chat template and stop tokens), `quantisation` (F32, F16, Q8_0), `writing` (the file).
Only the Llama architecture with a byte-level BPE tokenizer is carried; anything else is refused by name, because a file
that loads and answers nonsense is worse than none.
"""
