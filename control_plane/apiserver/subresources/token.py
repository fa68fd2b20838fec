"""`serviceaccounts/token`: a signed token for the account, bound to what the request says."""

from __future__ import annotations

from control_plane.apiserver.admission.interface import Operation
from control_plane.apiserver.core import Context
from control_plane.apiserver.handlers import body, respond, write
from control_plane.apiserver.handlers.get import not_found
from control_plane.apiserver.handlers.options import write_options
from control_plane.apiserver.messages import Response

TOKEN_REQUEST_GVK = ("authentication.k8s.io", "v1", "TokenRequest")


async def create(ctx: Context) -> Response:
    options = write_options(ctx.request, "CreateOptions")
    wanted = await body.read_object(ctx, TOKEN_REQUEST_GVK, options.field_validation)
    wanted["metadata"]["name"] = ctx.info.name
    wanted["metadata"]["namespace"] = ctx.namespace
    request = write.admission_request(ctx, Operation.CREATE, wanted, None, options.dry_run)
    await ctx.core.admission.mutate(request)
    await ctx.core.admission.validate(request)
    account, _ = await write.current_object(ctx)
    if account is None:
        raise not_found(ctx)
    return respond.plain_object(ctx, await ctx.core.tokens.create(account.object, wanted), 201)
