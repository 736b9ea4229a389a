"""A registry of clients for Casiopy's chat: the agents `crear` and `consultar`."""

from casiopy_client_registry.agents import Consultar, Crear

__all__ = ["Consultar", "Crear"]
