import type { DescMethod, Message } from "@bufbuild/protobuf";
import { isMessage } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";

/** Whether a call changes nothing: only such a call may be sent twice. */
export function isRead(method: Pick<DescMethod, "idempotency">): boolean {
  return method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
}

/**
 * The calls that keep to one manager: the writes of one entity, which then meet in one queue in place of conflicts, and all other calls of one login, whose
 * password is then checked once. undefined: the call goes to any manager.
 */
export function callKey(
  method: DescMethod,
  request: Message,
  headers: Readonly<Record<string, string>> & { authorization?: string },
): string | undefined {
  const entity = isRead(method) ? undefined : entityOf(request);
  if (entity !== undefined) return `${method.parent.typeName}/${entity}`;
  const login = textField(request, "authorization") || headers.authorization;
  return login === undefined || login === "" ? undefined : `login ${login}`;
}

/** The name of the entity that a request is about: its own `name`, or that of the one entity in it. */
function entityOf(request: Message): string | undefined {
  const own = textField(request, "name");
  if (own !== undefined) return own;
  for (const value of Object.values(request)) {
    if (!isMessage(value)) continue;
    const name = textField(value, "name");
    if (name !== undefined) return name;
  }
  return undefined;
}

function textField(message: Message, field: string): string | undefined {
  const value: unknown = Reflect.get(message, field);
  return typeof value === "string" && value !== "" ? value : undefined;
}
