// A client of the API, with the types that openapi-typescript makes of the document: `api.d.ts`.

import type { components } from "./api";

type Schemas = components["schemas"];
type Message = Schemas["OrderEventMessage"];
type Data<Name extends Message["event"]> = Schemas[`OrderEvent.${Name}` & keyof Schemas];

export function show(message: Message): string {
  switch (message.event) {
    case "all_closed":
      return message.data satisfies "";
    case "created": {
      const order: Data<"created"> = JSON.parse(message.data);
      return `${order.number} ${order.note} ${order.lines[0]?.article}`;
    }
    case "shipped": {
      const { number, carrier }: Data<"shipped"> = JSON.parse(message.data);
      return `${number} ${carrier}`;
    }
    default:
      return message.event satisfies Exclude<Message["event"], "all_closed" | "created" | "shipped">;
  }
}

export const status = (status: Schemas["TidingsStatus"]): string => `${status.status} ${status.client}`;
