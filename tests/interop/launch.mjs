// Starts Firefox if `FIREFOX` is its path, or else Chromium.

import * as chromium from "../browser/chromium.mjs";
import * as firefox from "../browser/firefox.mjs";

export const { launch } = process.env.FIREFOX ? firefox : chromium;
