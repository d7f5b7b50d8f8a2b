import { createHash } from "node:crypto";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import type { ObservedImage } from "../container-runtime.ts";

type Image = { id: string; references: Set<string>; createdAt: number; labels: Readonly<Record<string, string>> };

/** The images on a simulated device, and how often each tag has moved in the registry. References are normalised. */
export class SimulatedImages {
  readonly #byId = new Map<string, Image>();
  readonly #unlisted = new Set<string>();
  readonly #generations = new Map<string, number>();

  list(): ObservedImage[] {
    const listed = [...this.#byId.values()].filter(({ id }) => !this.#unlisted.has(id));
    return listed.map((image) => ({ ...image, references: [...image.references], sizeBytes: 1_000_000 }));
  }

  /** By reference or id. */
  find(reference: string): Image | undefined {
    return this.#byId.get(reference) ?? [...this.#byId.values()].find((image) => image.references.has(reference));
  }

  /** The tag now names another image in the registry; devices learn of it by their next pull. */
  moveTag(reference: string): void {
    this.#generations.set(reference, (this.#generations.get(reference) ?? 0) + 1);
  }

  add(reference: string, now: number, labels: Readonly<Record<string, string>> = {}): void {
    const id = imageId(reference, this.#generations.get(reference) ?? 0);
    for (const image of this.#byId.values()) if (image.id !== id) image.references.delete(reference);
    const image = this.#byId.get(id) ?? { id, references: new Set(), createdAt: now, labels };
    image.references.add(reference);
    this.#byId.set(id, image);
  }

  /** Somebody gives an image another name. For tests. */
  tag(idOrReference: string, reference: string): void {
    this.find(idOrReference)?.references.add(reference);
  }

  /** An image loses its name under a container, and no list shows it any more, though it can be inspected. For tests. */
  unlist(reference: string): void {
    const image = this.find(reference);
    if (image !== undefined) this.#unlisted.add(image.id);
  }

  /** Removes by id or reference; an image with other references only loses the named one. */
  remove(idOrReference: string): void {
    const image = this.find(idOrReference);
    if (image === undefined) throw new NebulaError("not_found", `No such image: ${idOrReference}`);
    image.references.delete(idOrReference);
    if (idOrReference === image.id && image.references.size > 1) {
      throw new NebulaError("failed_precondition", `unable to delete ${image.id}: image is referenced in multiple repositories`);
    }
    if (idOrReference === image.id || image.references.size === 0) this.#byId.delete(image.id);
  }
}

function imageId(reference: string, generation: number): string {
  return `sha256:${createHash("sha256").update(`${reference} ${generation}`).digest("hex")}`;
}
