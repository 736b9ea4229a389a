"""/users: list viewers; change a viewer's consent."""

from fastapi import APIRouter

from memory_service.models import User
from memory_service.paging import Page, Paging, fetch_page
from memory_service.unit_of_work import Transaction, TransactionalRoute
from memory_service.users import repository, service
from memory_service.users.schemas import UserItem, UserUpdate

router = APIRouter(prefix="/users", tags=["users"], route_class=TransactionalRoute)


@router.get("")
async def list_users(connection: Transaction, paging: Paging) -> Page[UserItem]:
    """Every viewer, by id, with what is stored of them."""
    rows, total, cursor = await fetch_page(connection, repository.users(), [User.__table__.c.id], paging)
    return Page(items=[UserItem.model_validate(row) for row in rows], total=total, next_cursor=cursor)


@router.patch("/{user_id:path}")
async def update_user(user_id: str, update: UserUpdate, connection: Transaction) -> UserItem:
    """Opt a viewer out of training, or in again; it covers everything stored of them."""
    return await service.change(connection, user_id, update)
