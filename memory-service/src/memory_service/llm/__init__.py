"""The language model that chats and extracts, whichever server it lives on."""
