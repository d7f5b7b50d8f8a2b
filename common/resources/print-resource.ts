import { isCollection, Document as YamlDocument } from "yaml";
import type { Resource } from "./resource.ts";
import { resourceFields } from "./resource-fields.ts";
import { documentText } from "./yaml-text.ts";

/** Returns a resource as a YAML document that parseResources takes. Fields that only the server sets, or that equal their default, are left out. */
export function printResource(resource: Resource): string {
  const document = new YamlDocument(resourceFields(resource));
  for (const field of ["starting_ports", "containers_per"]) {
    const node = document.get(field, true);
    if (isCollection(node)) node.flow = true;
  }
  return documentText(document);
}
