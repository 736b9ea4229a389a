"""A merged model folder into one GGUF file, with the `gguf` package only: no compiler, no download, no other program.

Read in this order: `architecture` (which models this can carry, and their tensors), `vocabulary` and `sentencepiece` (the
tokenizer), `template` (the chat template and stop tokens), `quantisation` (F32, F16, Q8_0), `writing` (the file), `adapter`
(layers alone, as a LoRA file for a base that is served already), `k_quants` (smaller still, where llama.cpp is at hand).
Llama, Mistral, Qwen2 and Qwen3 are carried; anything else is refused by name, because a file that loads and answers
nonsense is worse than none.
"""
