// A page of somebody who uses the AI SDK, as its documentation has it. `/chat?id=…` is a chat; with `&quiet`, the page says
// which message it has.

import { useChat } from "@ai-sdk/react";
import { DefaultChatTransport } from "ai";
import { createRoot } from "react-dom/client";

const query = new URLSearchParams(location.search);
const id = query.get("id");
const messages = await (await fetch(`/api/chat/${id}`)).json();
const prepareReconnectToStreamRequest = () => ({ api: `/api/chat/${id}/stream?after=${messages.at(-1)?.id}` });
const transport = new DefaultChatTransport(query.has("quiet") ? { prepareReconnectToStreamRequest } : {});

function Chat() {
  const chat = useChat({ id, messages, resume: true, transport });
  globalThis.chat = chat;
  return (
    <main data-status={chat.status}>
      {chat.messages.map(({ id, role, parts }) => (
        <p key={id} data-role={role}>{parts.filter(({ type }) => type === "text").map(({ text }) => text).join("")}</p>
      ))}
      <p role="alert">{chat.error?.message}</p>
    </main>
  );
}

createRoot(document.getElementById("root")).render(<Chat />);
