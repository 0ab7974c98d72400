// Prints the names that an editor offers at the `|` of a file in this folder.

import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import ts from "typescript";

const file = resolve(process.argv[2]);
const [before, after] = readFileSync(file, "utf8").split("|");
writeFileSync(file, before + after);
const { config } = ts.readConfigFile(resolve("tsconfig.json"), ts.sys.readFile);
const { options } = ts.parseJsonConfigFileContent(config, ts.sys, process.cwd());
const service = ts.createLanguageService({
  getCompilationSettings: () => options,
  getScriptFileNames: () => [file],
  getScriptVersion: () => "1",
  getScriptSnapshot: (name) => {
    const text = ts.sys.readFile(name);
    return text === undefined ? undefined : ts.ScriptSnapshot.fromString(text);
  },
  getCurrentDirectory: () => process.cwd(),
  getDefaultLibFileName: (options) => ts.getDefaultLibFilePath(options),
  fileExists: ts.sys.fileExists,
  readFile: ts.sys.readFile,
  directoryExists: ts.sys.directoryExists,
});
const { entries } = service.getCompletionsAtPosition(file, before.length, {});
console.log(entries.map(({ name }) => name.replaceAll('"', "")).sort().join(" "));
