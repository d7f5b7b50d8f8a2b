import type { JsonObject } from "@bufbuild/protobuf";
import { constant, listOf, named, objectOf, TEXT, TEXTS } from "./openapi/schemas.ts";
import type { DescribedAnswer, HttpMethod, Operation, V2Call } from "./operation.ts";
import { inWords, type Noun, refuseNothing } from "./v2-answers.ts";

type Call = V2Call["call"];

/** One page of a list. */
export type NamePage = Readonly<{ names: readonly string[]; nextPageToken: string }>;

/** The operations of one kind of objects, where kinds differ. Each function calls the managers, and returns the object in v2's shape. */
export type EntityCalls = Readonly<{
  noun: Noun;
  list(call: Call, page: Readonly<{ pageSize: number; pageToken: string }>): Promise<NamePage>;
  get(call: Call, name: string): Promise<JsonObject>;
  create(call: Call, name: string, body: JsonObject): Promise<JsonObject>;
  remove(call: Call, name: string): Promise<unknown>;
  /** PUT and PATCH: changes the given fields. */
  change(call: Call, name: string, body: JsonObject): Promise<JsonObject>;
  /** POST: absent fields get their defaults; undefined: v2 has no such update. */
  replace?(call: Call, name: string, body: JsonObject): Promise<JsonObject>;
  updated: Readonly<{
    status: 200 | 202;
    /** The bodies of a PUT or PATCH, and of a POST, if the object does not exist. */
    missing: Readonly<{ change: JsonObject; replace: JsonObject }>;
  }>;
  /** Of a device_group: the body for members that do not exist. */
  members?: Readonly<Record<string, JsonObject>>;
  /** Answers that only this kind gives: to any body, to a create or a POST update besides, to a POST update in place of those. */
  refusals: Readonly<{ given: readonly DescribedAnswer[]; whole: readonly DescribedAnswer[]; replace?: readonly DescribedAnswer[] }>;
}>;

/** Names on one page of the managers' lists, which bring whole objects, of up to 64 KiB each. v2 answers all names at once. */
const PAGE_SIZE = 200;

/** List, create, read, delete and update of one kind. */
export function entityOperations(kind: EntityCalls): Operation[] {
  const { noun, updated, members = {} } = kind;
  const { plural, singular, nameField, existsField, schema } = noun;
  const path = `/${plural}/{${nameField}}`;
  const [missing, exists] = [{ [existsField]: false }, { [existsField]: true }];
  const object = (status: number, description: string): DescribedAnswer => ({ status, description, schema: named(schema) });

  const update = (method: HttpMethod, verb: "change" | "replace", act: NonNullable<EntityCalls["replace"]>): Operation => ({
    method,
    path: `${path}/update`,
    id: `${method.toLowerCase()}${schema}Update`,
    summary:
      verb === "change" ? `Changes what is given of ${article(singular)}.` : `Replaces ${article(singular)}: what is not given gets its default.`,
    request: named(`${schema}Input`),
    answers: [
      object(updated.status, `The ${singular} as it is now.`),
      refusal(403, `There is no such ${singular}.`, updated.missing[verb]),
      ...kind.refusals.given,
      ...(verb === "replace" ? (kind.refusals.replace ?? kind.refusals.whole) : [NOTHING_GIVEN]),
    ],
    handle: ({ call, parameter, body }) =>
      inWords({ nameField, members, missing: updated.missing[verb] }, async () => {
        return { status: updated.status, body: await act(call, parameter(nameField), await body()) };
      }),
  });

  const change: NonNullable<EntityCalls["replace"]> = (call, name, body) => {
    refuseNothing(body);
    return kind.change(call, name, body);
  };

  return [
    {
      method: "GET",
      path: `/${plural}`,
      id: `list${schema}s`,
      summary: `The names of all ${plural} that the caller may see.`,
      answers: [{ status: 200, description: "Their names.", schema: objectOf({ [plural]: TEXTS }) }],
      handle: async ({ call }) => ({ status: 200, body: { [plural]: await allNames(kind, call) } }),
    },
    {
      method: "POST",
      path,
      id: `create${schema}`,
      summary: `Creates ${article(singular)}. A name that was deleted goes on from its last id.`,
      request: named(`${schema}Input`),
      answers: [
        object(200, `The ${singular} as it is stored.`),
        refusal(403, `There is ${article(singular)} of that name already.`, exists),
        ...kind.refusals.given,
        ...kind.refusals.whole,
      ],
      handle: ({ call, parameter, body }) =>
        inWords({ nameField, members, exists }, async () => ({ status: 200, body: await kind.create(call, parameter(nameField), await body()) })),
    },
    {
      method: "GET",
      path,
      id: `get${schema}`,
      summary: `Reads ${article(singular)}.`,
      answers: [object(200, `The ${singular}.`), refusal(403, `There is no such ${singular}.`, missing)],
      handle: ({ call, parameter }) =>
        inWords({ nameField, missing }, async () => ({ status: 200, body: await kind.get(call, parameter(nameField)) })),
    },
    {
      method: "DELETE",
      path,
      id: `delete${schema}`,
      summary: `Deletes ${article(singular)}.`,
      answers: [
        { status: 200, description: "It is deleted.", schema: { type: "object", maxProperties: 0 } },
        refusal(403, `There is no such ${singular}.`, missing),
      ],
      handle: ({ call, parameter }) =>
        inWords({ nameField, missing }, async () => {
          await kind.remove(call, parameter(nameField));
          return { status: 200, body: {} };
        }),
    },
    update("PUT", "change", change),
    update("PATCH", "change", change),
    ...(kind.replace === undefined ? [] : [update("POST", "replace", kind.replace)]),
  ];
}

/** A refusal that is answered with exactly this body. */
export function refusal(status: number, description: string, body: JsonObject): DescribedAnswer {
  return { status, description, schema: objectOf(Object.fromEntries(Object.entries(body).map(([name, value]) => [name, constant(value)]))) };
}

/** The refusal of a create or a POST update in which required fields are missing. */
export const MISSING_PARAMETERS: DescribedAnswer = {
  status: 400,
  description: "Fields that are required are missing.",
  schema: objectOf({ missing_parameters: listOf(TEXT) }),
};

/** The refusal of an update without fields. */
export const NOTHING_GIVEN: DescribedAnswer = refusal(400, "Nothing is given that could be changed.", { missing_parameters: true });

/** The whole list, read page by page: v2 has no pages. */
async function allNames({ list }: EntityCalls, call: Call): Promise<string[]> {
  const names: string[] = [];
  let pageToken = "";
  do {
    const page = await list(call, { pageSize: PAGE_SIZE, pageToken });
    names.push(...page.names);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return names;
}

function article(singular: string): string {
  return /^[aeio]/.test(singular) ? `an ${singular}` : `a ${singular}`;
}
