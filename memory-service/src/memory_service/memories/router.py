"""Routes of memories."""

from fastapi import APIRouter

from memory_service.unit_of_work import TransactionalRoute

router = APIRouter(tags=["memories"], route_class=TransactionalRoute)
