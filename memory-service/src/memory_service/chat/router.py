"""Routes of chat."""

from fastapi import APIRouter

from memory_service.unit_of_work import TransactionalRoute

router = APIRouter(tags=["chat"], route_class=TransactionalRoute)
