import { type Document, Scalar, visit, Document as YamlDocument } from "yaml";
import { isUnsafe, printableYaml } from "../printable.ts";

/** A value as a YAML document that is safe on a terminal: one line a value, and parsed, it is the same value. */
export function yamlText(value: unknown): string {
  return documentText(new YamlDocument(value, { aliasDuplicateObjects: false }));
}

/** A document with its layout, printed in the same way. */
export function documentText(document: Document): string {
  visit(document, {
    Scalar(_, node) {
      if (typeof node.value === "string" && (isUnsafe(node.value) || node.value.includes("\n"))) node.type = Scalar.QUOTE_DOUBLE;
    },
  });
  return printableYaml(document.toString({ lineWidth: 0, doubleQuotedAsJSON: true, blockQuote: false }));
}
