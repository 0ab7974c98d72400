// Publishes an event: publish.mjs TOPIC EVENT DATA
// REDIS_PORT is the port of Redis on this machine.

import { createClient } from 'redis'

const [topic, event, data] = process.argv.slice(2)
const client = createClient({ url: `redis://127.0.0.1:${process.env.REDIS_PORT ?? 6379}` })
await client.connect()
const entry = await client.xAdd('{tidings}:log', '*', { topic, event, data }, {
  TRIM: { strategy: 'MAXLEN', strategyModifier: '~', threshold: 100_000 },
})
console.log(entry)
await client.close()
