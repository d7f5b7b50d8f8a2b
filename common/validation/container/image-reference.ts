import { quote } from "../../text/wording.ts";

/** A reference to an image with everything filled in that Docker fills in. */
export type ImageReference = Readonly<{
  /** docker.io, registry.example.com:5000 */
  registry: string;
  /** library/redis, shop/web */
  repository: string;
  /** undefined only beside a digest. */
  tag: string | undefined;
  /** sha256:<64 hexadecimal digits> */
  digest: string | undefined;
}>;

export type ParsedImage = Readonly<{ kind: "image"; image: ImageReference } | { kind: "invalid"; reason: string }>;

const DEFAULT_REGISTRY = "docker.io";
/** The longest registry/repository that Docker takes. */
const LONGEST_NAME = 255;
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}$/;
/** Labels of a host name, or an IPv6 address in brackets, and a port. */
const REGISTRY = /^(?:[a-zA-Z0-9]+(?:-+[a-zA-Z0-9]+)*(?:\.[a-zA-Z0-9]+(?:-+[a-zA-Z0-9]+)*)*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?$/;
const PATH_COMPONENT = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$/;
const IMAGE_ID = /^(?:sha256:)?[a-f0-9]{64}$/;
const DIGEST_LENGTHS: Readonly<Record<string, number>> = { sha256: 64, sha384: 96, sha512: 128 };

/** Reads an image reference as Docker does: `redis` is docker.io/library/redis:latest. */
export function parseImageReference(text: string): ParsedImage {
  if (IMAGE_ID.test(text))
    return invalid(`${quote(text)} is the id of an image on one machine; name it as a registry does: shop:1.5, shop@sha256:...`);
  const at = text.indexOf("@");
  const named = at < 0 ? text : text.slice(0, at);
  const digest = at < 0 ? undefined : text.slice(at + 1);
  const colon = named.indexOf(":", named.lastIndexOf("/") + 1);
  const name = colon < 0 ? named : named.slice(0, colon);
  const tag = colon < 0 ? undefined : named.slice(colon + 1);
  const { registry, repository } = splitName(name);
  const fault = faultOf(text, registry, repository) ?? faultOfTag(text, tag) ?? faultOfDigest(text, digest);
  if (fault !== undefined) return invalid(fault);
  return { kind: "image", image: { registry, repository, tag: tag ?? (digest === undefined ? "latest" : undefined), digest } };
}

/**
 * A reference in the one form that equal images share: `redis` is docker.io/library/redis:latest, and of a tag beside a digest only the digest is kept (Docker
 * ignores the tag). Returns a text that is not a reference unchanged, so that anything an engine shows can be compared.
 */
export function normaliseImageReference(text: string): string {
  const parsed = parseImageReference(text);
  if (parsed.kind === "invalid") return text;
  const { registry, repository, tag, digest } = parsed.image;
  return `${registry}/${repository}${digest === undefined ? `:${tag}` : `@${digest}`}`;
}

/** The first component is a registry when it looks like a host; Docker Hub's images without a user are its library's. */
function splitName(name: string): { registry: string; repository: string } {
  const slash = name.indexOf("/");
  const first = name.slice(0, Math.max(0, slash));
  const isRegistry = /[.:]/.test(first) || first === "localhost";
  const registry = isRegistry ? first : DEFAULT_REGISTRY;
  const repository = isRegistry ? name.slice(slash + 1) : name;
  if (registry !== DEFAULT_REGISTRY && registry !== "index.docker.io") return { registry, repository };
  return { registry: DEFAULT_REGISTRY, repository: repository.includes("/") ? repository : `library/${repository}` };
}

function faultOf(text: string, registry: string, repository: string): string | undefined {
  const example = "an image looks like shop:1.5 or registry.example.com:5000/team/shop@sha256:...";
  if (text === "") return `an image is required; ${example}`;
  if (/\s/.test(text)) return `${quote(text)} contains white space; ${example}`;
  if (text.includes("://")) return `${quote(text)} starts with a protocol; leave it out: ${example}`;
  if (!REGISTRY.test(registry)) return `invalid image ${quote(text)}: ${quote(registry)} is not a registry; use a host name, with or without a port`;
  if (/[A-Z]/.test(repository)) return `${quote(text)}: the name of a repository is lower case; use ${quote(repository.toLowerCase())}`;
  if (!repository.split("/").every((component) => PATH_COMPONENT.test(component))) return `invalid image ${quote(text)}; ${example}`;
  if (registry.length + 1 + repository.length > LONGEST_NAME)
    return `${quote(text)} is too long; registry and repository are at most ${LONGEST_NAME} characters`;
  return undefined;
}

function faultOfTag(text: string, tag: string | undefined): string | undefined {
  if (tag === undefined || TAG.test(tag)) return undefined;
  return `invalid image ${quote(text)}: ${quote(tag)} is not a tag; a tag is 1 to 128 letters, digits, '_', '.', '-', and does not start with '.' or '-'`;
}

function faultOfDigest(text: string, digest: string | undefined): string | undefined {
  if (digest === undefined) return undefined;
  const [algorithm = "", hex = ""] = digest.split(":", 2);
  const known = Object.hasOwn(DIGEST_LENGTHS, algorithm) && digest === `${algorithm}:${hex}`;
  if (known && /^[a-f0-9]+$/.test(hex) && hex.length === DIGEST_LENGTHS[algorithm]) return undefined;
  return `invalid image ${quote(text)}: ${quote(digest)} is not a digest; use sha256: and 64 hexadecimal digits in lower case`;
}

function invalid(reason: string): ParsedImage {
  return { kind: "invalid", reason };
}
