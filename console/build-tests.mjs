// Compiles the tests and the headless player into FOLDER (first argument), one self-contained file each.
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const tests = readdirSync(join(here, "test")).filter((name) => name.endsWith(".ts"));
await build({
  entryPoints: [join(here, "src/headless.ts"), ...tests.map((name) => join(here, "test", name))],
  entryNames: "[name]",
  outdir: process.argv[2],
  outExtension: { ".js": ".mjs" },
  bundle: true,
  platform: "node",
  target: "node18",
  format: "esm",
  // What is bundled from CommonJS asks for Node's own modules by require().
  banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
  logLevel: "warning",
});
