import { strict as assert } from "node:assert";
import type { Locator, Page } from "playwright-core";

/** Presses of Tab after which all of a page was passed. */
const MOST_STOPS = 200;

type Focus = Readonly<{ what: string; isOutlined: boolean; isInView: boolean; isUncovered: boolean }>;

/** Where the focus is, in the words of a failure, and whether a person sees it there. */
const FOCUS = `(() => {
  const element = document.activeElement;
  const { outlineStyle, outlineWidth } = getComputedStyle(element);
  const { top, bottom, left, right } = element.getBoundingClientRect();
  const above = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
  return {
    what: element.tagName.toLowerCase() + " " + (element.getAttribute("aria-label") ?? element.textContent ?? "").slice(0, 60),
    isOutlined: outlineStyle !== "none" && Number.parseFloat(outlineWidth) > 0,
    isInView: top > -1 && left > -1 && bottom < innerHeight + 1 && right < innerWidth + 1,
    isUncovered: above !== null && (element.contains(above) || above.contains(element) || [...(element.labels ?? [])].some((label) => label.contains(above))),
  };
})()`;

/** Somebody who uses a page without a mouse. */
export class Keyboard {
  readonly #page: Page;
  readonly #mostStops: number;

  /** @param mostStops presses of Tab that lead to each target */
  constructor(page: Page, mostStops = MOST_STOPS) {
    this.#page = page;
    this.#mostStops = mostStops;
  }

  /** Presses Tab until this has the focus, and asserts that each stop on the way is seen. Fails where Tab does not lead there. */
  async reach(target: Locator): Promise<void> {
    await target.first().waitFor();
    const stops: string[] = [];
    for (let stop = 0; stop < this.#mostStops; stop++) {
      if (await this.isAt(target)) return;
      await this.#page.keyboard.press("Tab");
      const { what, isOutlined, isInView, isUncovered } = await this.#focus();
      stops.push(what);
      if (!what.startsWith("body")) assert.ok(isOutlined && isInView && isUncovered, `the focus is not seen: ${JSON.stringify(await this.#focus())}`);
    }
    assert.fail(`Tab does not lead to ${target}, but to:\n${stops.join("\n")}`);
  }

  /** Reaches a link or button, and presses Enter. */
  async activate(role: "link" | "button", name: string | RegExp): Promise<void> {
    await this.reach(this.#page.getByRole(role, typeof name === "string" ? { name, exact: true } : { name }));
    await this.press("Enter");
  }

  /** Reaches a field, and replaces its text. */
  async fill(label: string, text: string): Promise<void> {
    await this.reach(this.#page.getByRole("textbox", { name: label, exact: true }));
    await this.press("Control+A");
    await this.type(text);
  }

  async press(key: string): Promise<void> {
    await this.#page.keyboard.press(key);
  }

  async type(text: string): Promise<void> {
    await this.#page.keyboard.type(text);
  }

  /** Whether this has the focus. */
  async isAt(target: Locator): Promise<boolean> {
    return (await target.and(this.#page.locator(":focus")).count()) > 0;
  }

  #focus(): Promise<Focus> {
    return this.#page.evaluate<Focus>(FOCUS);
  }
}
