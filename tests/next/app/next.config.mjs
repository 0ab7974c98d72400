import { fileURLToPath } from "node:url";

// Where React is: modules are found in folders above this one.
export default { turbopack: { root: fileURLToPath(new URL("../", import.meta.url)) } };
