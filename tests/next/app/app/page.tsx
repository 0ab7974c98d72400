// Rendered on the server with the newest events of a topic, and where its stream goes on.

import { Numbers } from "./numbers";

const HUB = process.env.HUB_URL;

export default async function Page({ searchParams }: { searchParams: Promise<{ topic?: string }> }) {
  const { topic = "a" } = await searchParams;
  const answer = await fetch(`${HUB}/history?topic=${encodeURIComponent(topic)}`, { cache: "no-store" });
  const { events, position } = await answer.json() as { events: { data: string }[]; position: string };
  const initial = events.map(({ data }): number => JSON.parse(data).n);
  return <Numbers topic={topic} initial={initial} lastEventId={position} />;
}
