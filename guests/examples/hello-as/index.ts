/** The smallest guest in AssemblyScript: every request gets the same answer. */

import { response } from "http_guest";

export function run(): void {
  response.setHeader("content-type", "text/plain; charset=utf-8");
  response.setText("Hello from AssemblyScript\n");
}
