import packageJson from "../package.json" with { type: "json" };

/** The version of every part: that of the package. */
export const VERSION: string = packageJson.version;
