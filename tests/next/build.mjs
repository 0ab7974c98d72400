// Builds the application in `.build`: the files of `app`, the route handler that people read in the client's README, and the client
// as it is published.

import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const run = (program, ...args) => execFileSync(process.execPath, [path(program), ...args], { stdio: "inherit" });

rmSync(path(".build"), { recursive: true, force: true });
cpSync(path("app"), path(".build"), { recursive: true });

const readme = readFileSync(path("../../crates/tidings-client/README.md"), "utf8");
const { file, code } = /`(?<file>app\/\S+\/route\.ts)`:\n+```ts\n(?<code>.*?)^```$/ms.exec(readme).groups;
mkdirSync(path(`.build/${file}/..`), { recursive: true });
writeFileSync(path(`.build/${file}`), code);

const client = "../../crates/tidings-client";
const installed = path(".build/node_modules/tidings-client");
mkdirSync(installed, { recursive: true });
cpSync(path(`${client}/package.json`), `${installed}/package.json`);
run(`${client}/node_modules/typescript/bin/tsc`, "--project", path(`${client}/tsconfig.build.json`), "--outDir", `${installed}/dist`);

process.env.NEXT_TELEMETRY_DISABLED = "1";
run("node_modules/next/dist/bin/next", "build", path(".build"));
