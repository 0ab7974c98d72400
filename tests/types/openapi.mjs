// Checks a document, `openapi.json` of the folder that the argument names, with the JSON Schema of OpenAPI 3.2; and messages,
// `messages.json`, with what the document says about them. Where a message says that it is `wrong`, it must be: as a whole, or by
// its data. What is not as it should be is printed, and makes this program fail.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { BASIC } from "@hyperjump/json-schema/experimental";
import { registerSchema, validate } from "@hyperjump/json-schema/openapi-3-2";

const read = (name) => JSON.parse(readFileSync(join(process.argv[2], name), "utf8"));
const document = read("openapi.json");
const messages = read("messages.json");
let failures = 0;

async function check(what, schema, instance, isValid = true) {
  const { valid, errors } = await validate(schema, instance, BASIC);
  if (valid === isValid) return;
  failures += 1;
  console.error(`${what}: ${valid ? "valid" : JSON.stringify(errors, null, 2)}\n${JSON.stringify(instance)}`);
}

// With the schemas of this version's dialect.
const schema = "https://spec.openapis.org/oas/3.2/schema-base";
await check("document", schema, document);
for (const [path, item] of Object.entries(document.paths)) {
  const content = item.get.responses["200"].content["text/event-stream"];
  // A schema that is none is found.
  const itemSchema = content.itemSchema;
  content.itemSchema = { anyOf: [] };
  await check(`document without a schema for ${path}`, schema, document, false);
  content.itemSchema = itemSchema;
}

const $schema = "https://spec.openapis.org/oas/3.2/dialect";
const { components } = document;
const register = (name, schema) => {
  const uri = `https://tidings.test/${name}`;
  registerSchema({ $schema, ...schema, components }, uri);
  return uri;
};
const dataOf = (event) => {
  const all = Object.values(components.schemas).flatMap(({ oneOf = [] }) => oneOf);
  return all.find(({ properties }) => properties?.event?.enum[0] === event).properties.data;
};
for (const [n, { path, message, wrong }] of messages.entries()) {
  const { itemSchema } = document.paths[path].get.responses["200"].content["text/event-stream"];
  await check(`message ${n} of ${path}`, register(`item${n}`, itemSchema), message, wrong !== "message");
  if (wrong === "message") continue;
  const { contentMediaType, contentSchema } = dataOf(message.event);
  if (contentMediaType === undefined) continue;
  const data = JSON.parse(message.data);
  await check(`data of message ${n} of ${path}`, register(`data${n}`, contentSchema), data, wrong !== "data");
}
process.exitCode = failures === 0 ? 0 : 1;
