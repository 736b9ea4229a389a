"""What a viewer may decide."""

from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.errors import NotFound
from memory_service.users import repository
from memory_service.users.schemas import UserItem, UserUpdate


async def change(connection: AsyncConnection, user_id: str, update: UserUpdate) -> UserItem:
    """Record the viewer's consent.

    Raises:
        NotFound: no session was ever opened for this viewer.
    """
    if not await repository.set_opt_out(connection, user_id, update.opt_out_training):
        raise NotFound(f"No viewer is called {user_id!r}. A viewer comes into being with its first session.")
    return UserItem.model_validate(await repository.find(connection, user_id))
