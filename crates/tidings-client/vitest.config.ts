import { defineConfig } from "vitest/config";

export default defineConfig({
  test: { include: ["ts/tests/*.test.{ts,tsx}"], restoreMocks: true, unstubGlobals: true, testTimeout: 20_000 },
});
