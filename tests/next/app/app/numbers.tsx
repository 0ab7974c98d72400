"use client";

import { useTidings } from "tidings-client/react";

export function Numbers({ topic, initial, lastEventId }: { topic: string; initial: number[]; lastEventId: string }) {
  const { state, connection } = useTidings<number[], { tick: { n: number } }>(`/events?topic=${encodeURIComponent(topic)}`, {
    initial,
    afterReset: [],
    lastEventId,
    firstDelay: 20,
    on: { tick: (numbers, { n }) => [...numbers, n] },
  });
  return <ol className={connection}>{state.map((n, place) => <li key={place}>{n}</li>)}</ol>;
}
