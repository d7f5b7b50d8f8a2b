import { parseImageReference } from "../../../common/validation/container/image-reference.ts";

/** The form of a reference that people know: without docker.io/ and library/. An image id, or any other text, stays as it is. */
export function familiarReference(text: string): string {
  const parsed = parseImageReference(text);
  if (parsed.kind === "invalid") return text;
  const { registry, repository, tag, digest } = parsed.image;
  const shortRepository = repository.startsWith("library/") ? repository.slice("library/".length) : repository;
  const name = registry === "docker.io" ? shortRepository : `${registry}/${repository}`;
  return `${name}${digest === undefined ? `:${tag}` : `@${digest}`}`;
}
