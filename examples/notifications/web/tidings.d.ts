// What `/tidings.js` defines.

import type * as client from "tidings-client";
import type * as tabs from "tidings-client/tabs";

declare global {
  const tidings: typeof client & typeof tabs;
}
