import { writeFileSync } from "node:fs";
import { settingsReference } from "../common/settings/settings-docs.ts";

// npm run docs:settings
writeFileSync(new URL("../docs/settings.md", import.meta.url), settingsReference());
