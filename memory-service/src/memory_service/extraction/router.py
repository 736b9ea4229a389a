"""Routes of extraction."""

from fastapi import APIRouter

from memory_service.unit_of_work import TransactionalRoute

router = APIRouter(tags=["extraction"], route_class=TransactionalRoute)
