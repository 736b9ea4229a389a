"""Routes of chat."""

from fastapi import APIRouter

from memory_service.chat.history_router import router as history
from memory_service.unit_of_work import OwnedRoute

router = APIRouter(tags=["chat"], route_class=OwnedRoute)
router.include_router(history)
