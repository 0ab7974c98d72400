/** Addresses are relative to the page, where there is one. */
export function absolute(url: string): URL {
  const { document, location } = globalThis as Partial<typeof globalThis>;
  return new URL(url, document?.baseURI ?? location?.href);
}
