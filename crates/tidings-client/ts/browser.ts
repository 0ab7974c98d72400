// What a page without npm gets as the global `tidings`.

export * from "./index.ts";
export { tabs } from "./tabs.ts";
export type { TabsOptions } from "./tabs.ts";
