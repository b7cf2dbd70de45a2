/** `edge.ts version` @module */
import packageJson from "../../package.json" with { type: "json" };

export const VERSION = packageJson.version;

export function version(): void {
  console.log(`sotto ${VERSION}`);
}
