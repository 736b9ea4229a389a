"""Routes of gdpr."""

from fastapi import APIRouter

from memory_service.unit_of_work import TransactionalRoute

router = APIRouter(tags=["gdpr"], route_class=TransactionalRoute)
