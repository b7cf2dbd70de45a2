/**
 * Where in sotto.toml a file is named that cannot be used.
 * @module
 */
import type { Config } from "../config/config.ts";
import { SiteFileError } from "../control/certificates/site-files.ts";

/**
 * What `use` makes of the configuration.
 *
 * @throws {ConfigError} in place of a SiteFileError. It says where the site stands and not how it is called: a reload
 *   writes it to the log, where ECH may hide the name
 */
export async function withPlaces<T>(config: Config, use: () => Promise<T>): Promise<T> {
  try {
    return await use();
  } catch (error) {
    if (!(error instanceof SiteFileError) || config.file === undefined) throw error;
    const index = config.sites.indexOf(error.site);
    if (index === -1) throw error;
    const { errorAt } = await import("../config/place.ts");
    throw await errorAt(config.file, ["site", index, ...error.path], error);
  }
}
