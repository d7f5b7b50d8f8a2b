import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseAllDocuments } from "yaml";

/** YAML with the line of everything, and with the text of every scalar beside its value: `1.10` is the number 1.1 and the text 1.10. Lines count from 1. */
export type YamlNode = Readonly<
  | { kind: "scalar"; line: number; text: string; value: string | number | boolean | null }
  | { kind: "list"; line: number; items: readonly YamlNode[] }
  | { kind: "map"; line: number; entries: readonly YamlEntry[] }
>;

export type YamlEntry = Readonly<{ key: string; line: number; value: YamlNode }>;

export type YamlFault = Readonly<{ line: number; description: string }>;

export type YamlDocuments = Readonly<{ kind: "documents"; documents: readonly YamlNode[] } | { kind: "invalid"; faults: readonly YamlFault[] }>;

/** No resource is deeper, nor larger: what is would be a file of another kind, or aliases that multiply. */
const DEEPEST = 8;
const MOST_NODES = 500_000;
const NOTHING: YamlNode = { kind: "scalar", line: 1, text: "", value: null };

/** Reads every document of a YAML (or JSON) text. Empty ones are left out. */
export function readYaml(text: string): YamlDocuments {
  const lines = new LineCounter();
  const parsed = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false, version: "1.2" });
  const documents = "empty" in parsed ? [] : parsed;
  const faults: YamlFault[] = documents.flatMap(({ errors, warnings }) =>
    [...errors, ...warnings].map(({ message, pos }) => ({ line: lines.linePos(pos[0]).line, description: message })),
  );
  let nodes = 0;
  const trees: YamlNode[] = [];
  if (faults.length === 0) for (const document of documents) if (!isEmpty(document)) trees.push(treeOf(document.contents, new Map(), 1, DEEPEST));
  return faults.length > 0 ? { kind: "invalid", faults } : { kind: "documents", documents: trees };

  function treeOf(node: unknown, anchors: Map<string, unknown>, above: number, depth: number): YamlNode {
    const line = lineOf(node, above);
    if (++nodes > MOST_NODES) return faults.length === 0 ? fault(line, "the file holds too much") : NOTHING;
    if (isAlias(node)) {
      const meant = anchors.get(node.source);
      return meant === undefined ? fault(line, `nothing before it is called &${node.source}`) : treeOf(meant, anchors, above, depth);
    }
    if (isNode(node) && node.anchor !== undefined) anchors.set(node.anchor, node);
    if (isScalar(node)) return scalar(node.value, node.source, line);
    if (depth === 0) return fault(line, "this is nested too deep");
    if (isSeq(node)) return { kind: "list", line, items: node.items.map((item) => treeOf(item, anchors, line, depth - 1)) };
    if (!isMap(node)) return scalar(null, "", line);
    const entries = node.items.map(({ key, value }) => {
      const keyTree = treeOf(key, anchors, line, depth - 1);
      if (keyTree.kind !== "scalar") fault(keyTree.line, "a key is a list or a map; use a word");
      return { key: keyTree.kind === "scalar" ? keyTree.text : "", line: keyTree.line, value: treeOf(value, anchors, keyTree.line, depth - 1) };
    });
    return { kind: "map", line, entries };
  }

  function scalar(value: unknown, source: string | undefined, line: number): YamlNode {
    if (typeof value === "string" && !value.isWellFormed()) return fault(line, "this contains half a character (a lone surrogate); text is UTF-8");
    if (typeof value === "string") return { kind: "scalar", line, text: value, value };
    if (typeof value === "number" || typeof value === "boolean") return { kind: "scalar", line, text: source ?? String(value), value };
    if (value === null || value === undefined) return { kind: "scalar", line, text: "", value: null };
    return fault(line, "this is of a type that no field has; use a string, a number, true or false");
  }

  function fault(line: number, description: string): YamlNode {
    faults.push({ line, description });
    return { kind: "scalar", line, text: "", value: null };
  }

  function lineOf(node: unknown, above: number): number {
    const range = isNode(node) ? node.range : undefined;
    return range ? lines.linePos(range[0]).line : above;
  }
}

function isNode(node: unknown): node is Node {
  return isScalar(node) || isMap(node) || isSeq(node) || isAlias(node);
}

function isEmpty({ contents }: Document.Parsed): boolean {
  return contents === null || (isScalar(contents) && contents.value === null);
}

/** The value alone, as JSON would have it. */
export function plainValue(node: YamlNode): unknown {
  switch (node.kind) {
    case "scalar":
      return node.value;
    case "list":
      return node.items.map(plainValue);
    case "map":
      return Object.fromEntries(node.entries.map(({ key, value }) => [key, plainValue(value)]));
  }
}
